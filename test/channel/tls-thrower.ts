/** A process whose links throw when bytes come: prints its port, then what ended up as an uncaught exception. */

import { type LinkEvents, listenOn } from '../../src/channel/tls.ts';
import { listenTcp } from '../../src/libc.ts';
import { makeTestRelay } from './credentials.ts';

process.on('uncaughtException', (error) => {
  process.stdout.write(`${error}\n`);
  process.exit(0);
});

const events: LinkEvents<object> = {
  onAccept: () => ({}),
  onSecured() {},
  onData() {
    throw new Error('a bug');
  },
  onDrain() {},
  onGone() {},
};

const listening = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port: 0, reusePort: false });
if (!('fd' in listening)) throw new Error(listening.text);
listenOn(listening.fd, makeTestRelay(Math.floor(Date.now() / 1000)).credentials, events);
process.stdout.write(`${listening.port}\n`);
