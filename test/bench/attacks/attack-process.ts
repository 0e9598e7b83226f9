/** Runs an attacker as a child process with the lowest priority: on one machine it must not fight with its victim for CPU. */
import { join } from 'node:path';
import type { Hop } from '../../../src/load/client.ts';
import { type AttackPlan, hex } from './attack.ts';
import { type AttackName, STRENGTH } from './catalogue.ts';

/** Where attacks come from: other addresses than honest traffic. */
export function attackAddress(attacker = 0): string {
  return `127.0.0.${66 + attacker}`;
}

const NICEST = 19;

/** An attack that is under way. */
export class AttackProcess {
  readonly #child: Bun.Subprocess<'pipe', 'pipe', 'inherit'>;
  readonly #output: Promise<string>;

  private constructor(name: AttackName, plan: AttackPlan, nice: number) {
    const entry = join(import.meta.dir, 'attacker.ts');
    const command = [process.execPath, entry, name, JSON.stringify(plan)];
    this.#child = Bun.spawn(nice === 0 ? command : ['nice', '-n', String(nice), ...command], {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'inherit',
    });
    this.#output = new Response(this.#child.stdout).text();
  }

  /** Start one against a relay. */
  static start(
    name: AttackName,
    relay: Hop,
    strength: Partial<Pick<AttackPlan, 'connectsPerSec' | 'links' | 'from'>> = {},
    nice = NICEST,
  ): AttackProcess {
    const plan: AttackPlan = {
      port: relay.port,
      rsaId: hex(relay.rsaId),
      ed25519Id: hex(relay.ed25519Id),
      onionKey: hex(relay.onionKey!),
      from: attackAddress(),
      ...STRENGTH[name],
      ...strength,
    };
    return new AttackProcess(name, plan, nice);
  }

  /** End it. Returns what it says that it did. */
  async stop(): Promise<Record<string, number>> {
    this.#child.stdin.end();
    const gone = await Promise.race([this.#child.exited, Bun.sleep(10_000).then(() => null)]);
    if (gone === null) this.#child.kill('SIGKILL');
    const lines = (await this.#output).trim().split('\n');
    const last = lines[lines.length - 1] ?? '';
    return last.startsWith('{') ? (JSON.parse(last) as Record<string, number>) : {};
  }
}
