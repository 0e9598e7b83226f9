/**
 * What our own directory connections moved: bytes on the wire, requests and replies with their headers.
 *
 * They belong to the totals of the bandwidth histories, beside what the workers count on links.
 *
 * @source dir-spec "Extra-info documents" (read-history, write-history)
 */

import { type Endpoint, isInternalIp } from '../bytes/address.ts';

/** Totals since the start, in bytes; they never fall. */
export class WireTraffic {
  read = 0;
  written = 0;
  /** Of these, over IPv6. */
  ipv6Read = 0;
  ipv6Written = 0;
  /** Of these, with private addresses: limited and counted only when torrc says so. */
  privateRead = 0;
  privateWritten = 0;

  /** Add what a connection to `endpoint` moved. */
  add(endpoint: Endpoint, read: number, written: number): void {
    this.read += read;
    this.written += written;
    if (isInternalIp(endpoint.host)) {
      this.privateRead += read;
      this.privateWritten += written;
    }
    if (endpoint.host.length !== 16) return;
    this.ipv6Read += read;
    this.ipv6Written += written;
  }
}
