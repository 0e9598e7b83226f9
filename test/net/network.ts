/**
 * Runs a private Tor network on loopback: C tor authorities, relays, exits and clients, and ours among them.
 *
 * Every process has a directory of its own under the system's temporary directory, listens on free ports of
 * loopback only, and is ended by its own pid. One network serves all tests of a file: starting it costs the
 * authorities' first vote, some twenty seconds.
 */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { warningsAgainst } from './c-tor-warnings.ts';
import { ControlPort } from './control-port.ts';
import { freePorts } from './free-ports.ts';
import { NetworkNode, type NodePlan, waitUntil } from './network-node.ts';

export { type NodePlan, type Software, waitUntil } from './network-node.ts';

const DEADLY_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const BOOTSTRAP_DEADLINE_MS = 100_000;

/** Whether tests with C tor can run here. Without C tor they are skipped, but never in CI. */
export function needsCTor(what: string): boolean {
  if (Bun.which('tor') !== null && Bun.which('tor-gencert') !== null) return true;
  if (process.env['CI'] !== undefined && process.env['CI'] !== '') {
    throw new Error(`${what}: C tor is not installed (Debian: apt install tor), and CI must not skip this`);
  }
  console.warn(`SKIPPED: ${what}: C tor is not installed (Debian: apt install tor)`);
  return false;
}

/** A network while it runs. */
export class Network {
  readonly directory: string;
  readonly nodes: NetworkNode[] = [];
  readonly #controls = new Map<string, ControlPort>();

  /** Plan the network. Nothing runs yet. */
  constructor(plans: readonly NodePlan[]) {
    this.directory = mkdtempSync(join(tmpdir(), 'onionrelay-net-'));
    const ports = freePorts(plans.length * 5);
    for (const plan of plans) {
      const directory = join(this.directory, plan.name);
      mkdirSync(directory, { mode: 0o700 });
      this.nodes.push(new NetworkNode(plan, directory, ports.splice(0, 5)));
    }
    process.once('exit', this.#killAll);
    for (const signal of DEADLY_SIGNALS) process.once(signal, this.#killAllAndExit);
  }

  /** Make the authorities' keys, start every process that is not `late`, and return at once. */
  async start(): Promise<void> {
    const authorities = this.nodes.filter(({ plan }) => plan.role === 'authority');
    await Promise.all(authorities.map((node) => node.makeAuthorityKeys()));
    const common = [
      'TestingTorNetwork 1',
      'AssumeReachable 1',
      'AssumeReachableIPv6 1',
      ...authorities.map((node) => node.authorityLine()),
    ];
    for (const node of this.nodes) node.writeTorrc(common);
    for (const node of this.nodes) if (node.plan.late !== true) node.start();
  }

  /** Find a node by its name. */
  node(name: string): NetworkNode {
    const found = this.nodes.find(({ plan }) => plan.name === name);
    if (found === undefined) throw new Error(`this network has no node ${name}`);
    return found;
  }

  /** Connect to a C tor's control port; once per process. */
  async control(name: string): Promise<ControlPort> {
    const known = this.#controls.get(name);
    if (known !== undefined) return known;
    const node = this.node(name);
    let control: ControlPort | null = null;
    await waitUntil(`control port of ${name}`, BOOTSTRAP_DEADLINE_MS, async () => {
      control = await ControlPort.open(node.controlPort).catch(() => null);
      return control !== null;
    });
    this.#controls.set(name, control!);
    return control!;
  }

  /** Stop a process and forget the connection to its control port. */
  async stopNode(name: string): Promise<void> {
    this.#controls.get(name)?.close();
    this.#controls.delete(name);
    await this.node(name).stop();
  }

  /** Wait until a client can use each of these relays, with a microdescriptor and these flags. */
  async usable(client: string, relays: readonly string[], flags: readonly string[] = []): Promise<void> {
    const control = await this.control(client);
    for (const relay of relays) {
      await waitUntil(`${relay} usable for ${client}`, BOOTSTRAP_DEADLINE_MS, async () => {
        const fingerprint = this.node(relay).fingerprint();
        if (fingerprint === null) return false;
        const status = await control.getInfo(`ns/id/${fingerprint}`);
        const has = status?.match(/^s (.*)$/m)?.[1]?.split(' ') ?? [];
        if (has.length === 0 || !flags.every((flag) => has.includes(flag))) return false;
        return (await control.getInfo(`md/id/${fingerprint}`)) !== null;
      });
    }
  }

  /** Wait until a C tor has these relays in its consensus. */
  async knows(name: string, relays: readonly string[]): Promise<void> {
    const control = await this.control(name);
    for (const relay of relays) {
      await waitUntil(`${relay} in the consensus of ${name}`, BOOTSTRAP_DEADLINE_MS, async () => {
        const fingerprint = this.node(relay).fingerprint();
        return fingerprint !== null && (await control.getInfo(`ns/id/${fingerprint}`)) !== null;
      });
    }
  }

  /** Wait until a C tor goes by a consensus at least this new. */
  async current(name: string, validAfterSec: number): Promise<void> {
    const control = await this.control(name);
    await waitUntil(`a newer consensus at ${name}`, BOOTSTRAP_DEADLINE_MS, async () => {
      const time = await control.getInfo('consensus/valid-after');
      return time !== null && Date.parse(`${time.replace(' ', 'T')}Z`) / 1000 >= validAfterSec;
    });
  }

  /** Wait until a client goes by a consensus at least this new, and has this relay's microdescriptor of it. */
  async caughtUp(client: string, relay: string, validAfterSec: number): Promise<void> {
    await this.current(client, validAfterSec);
    await this.usable(client, [relay]);
  }

  /** The fingerprints of these nodes, to lay a circuit. */
  path(...names: string[]): string[] {
    return names.map((name) => this.node(name).fingerprint()!);
  }

  /**
   * Lay a circuit of a client over these relays, run something that opens streams to this port on it, and tear it
   * down.
   */
  async over<T>(
    client: string,
    names: readonly string[],
    port: number,
    transfer: (socksPort: number) => Promise<T>,
  ): Promise<T> {
    const control = await this.control(client);
    const circuit = await control.buildCircuit(this.path(...names));
    const detach = control.attachStreams(port, circuit);
    try {
      return await transfer(this.node(client).socksPort);
    } finally {
      detach();
      await control.closeCircuit(circuit).catch(() => {});
    }
  }

  /** What the C tors warned of that they would not warn of without ours. `tidy` takes out of a log what may pass. */
  warnings(ours: readonly string[], tidy: (log: string) => string = (log) => log): string[] {
    const marks = ours.map((name) => this.node(name).marks());
    return this.nodes.flatMap((node) =>
      warningsAgainst(marks, tidy(node.log('tor'))).map((line) => `${node.plan.name}: ${line}`),
    );
  }

  /** Lines in the logs of ours that tell of an error, a bug or a dead worker. */
  faults(ours: readonly string[]): string[] {
    return ours.flatMap((name) =>
      this.node(name)
        .log()
        .split('\n')
        .filter((line) => / \[err\] |\bbug\b|died/i.test(line)),
    );
  }

  /**
   * What the authorities agreed on: the newest consensus as this authority serves it.
   *
   * Authorities serve directory documents on their DirPort in plain HTTP.
   */
  async consensus(authority: string): Promise<string> {
    const { dirPort } = this.node(authority);
    const reply = await fetch(`http://127.0.0.1:${dirPort}/tor/status-vote/current/consensus`, {
      headers: { 'Accept-Encoding': 'identity' },
      signal: AbortSignal.timeout(10_000),
    }).catch(() => null);
    return reply?.ok === true ? await reply.text() : '';
  }

  /** Stop everything and remove every file. Files stay when the environment says ONIONRELAY_KEEP_NET=1. */
  async stop(): Promise<void> {
    for (const control of this.#controls.values()) control.close();
    this.#controls.clear();
    await Promise.all(this.nodes.map((node) => node.kill()));
    process.off('exit', this.#killAll);
    for (const signal of DEADLY_SIGNALS) process.off(signal, this.#killAllAndExit);
    if (process.env['ONIONRELAY_KEEP_NET'] === '1') console.warn(`network files kept in ${this.directory}`);
    else rmSync(this.directory, { recursive: true, force: true });
  }

  readonly #killAll = (): void => {
    for (const node of this.nodes) void node.kill();
  };

  readonly #killAllAndExit = (): void => {
    this.#killAll();
    rmSync(this.directory, { recursive: true, force: true });
    process.exit(1);
  };
}
