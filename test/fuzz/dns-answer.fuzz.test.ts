/** Fuzzes DNS answers. */
import { parseAnswer, RecordType } from '../../src/dns/message.ts';
import { answerBytes, soa } from '../dns/answers.ts';
import { fuzz } from './fuzz.ts';

const NAME = 'www.example.org';

fuzz('dns-answer', {
  corpus: [
    answerBytes(1, NAME, RecordType.A, {
      records: [{ type: RecordType.A, data: Uint8Array.of(192, 0, 2, 1) }],
    }),
    answerBytes(2, NAME, RecordType.AAAA, {
      records: [
        { type: RecordType.CNAME, data: 'a.example' },
        { owner: 'a.example', type: RecordType.CNAME, data: NAME },
        { owner: 'a.example', type: RecordType.AAAA, data: new Uint8Array(16) },
      ],
    }),
    answerBytes(3, '1.2.0.192.in-addr.arpa', RecordType.PTR, {
      records: [{ type: RecordType.PTR, data: 'host.example' }],
    }),
    answerBytes(4, NAME, RecordType.A, { code: 3, authorities: [soa(900, 1200)] }),
    answerBytes(5, NAME, RecordType.A, { truncated: true }),
  ],
  run: (bytes) => {
    const { hosts, hostname, name, ttlSec, type } = parseAnswer(bytes);
    const length = type === RecordType.A ? 4 : type === RecordType.AAAA ? 16 : -1;
    if (length > 0 && hosts.some((host) => host.length !== length))
      throw new Error('an address of another length');
    if (name.length > 254 || (hostname?.length ?? 0) > 254) throw new Error('a name that is too long');
    if (!(ttlSec >= 0 && ttlSec <= 0x7fffffff)) throw new Error('a TTL that cannot be');
  },
  cases: 10_000,
});
