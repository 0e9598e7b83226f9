/**
 * Process entry of an attacker: `bun attacker.ts <attack> <plan as JSON>`. Attacks until its standard input ends, then
 * prints what it did as JSON. A process of its own, so that its work is not the generator's of honest traffic.
 */
import type { AttackPlan } from './attack.ts';
import { ATTACKS, type AttackName } from './catalogue.ts';

const [, , name, plan] = process.argv;
const attack = new ATTACKS[name as AttackName](JSON.parse(plan!) as AttackPlan);

process.stdin.resume();
process.stdin.on('end', async () => {
  await attack.stop();
  process.stdout.write(`${JSON.stringify(attack.tally)}\n`, () => process.exit(0));
});
await attack.start();
process.stdout.write('attacking\n');
