/** `pnpm soak NAME [flags]`: long runs on a cluster of processes. Prints what it saw; exit code 1 where something was wrong. */
import { parseArgs } from 'node:util';

import { agentsSoak } from './agents.js';
import { chaosSoak } from './chaos.js';
import { locksSoak } from './locks.js';
import { outageSoak } from './outage.js';
import { postgresSoak } from './postgres.js';
import { rollingSoak } from './rolling.js';
import type { Soak } from './soak.js';

const soaks: readonly Soak[] = [
  outageSoak,
  chaosSoak,
  rollingSoak,
  locksSoak,
  agentsSoak,
  postgresSoak,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    rate: { type: 'string' },
    count: { type: 'string' },
    part: { type: 'string' },
  },
});
const soak = soaks.find(({ name }) => name === positionals[0]);
if (soak === undefined) {
  const list = soaks.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`).join('\n');
  console.error(
    `usage: pnpm soak NAME [--seconds N] [--rate N] [--count N] [--part NAME]\n\n${list}`,
  );
  process.exit(2);
}
const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
const startedAt = performance.now();
const faults = await soak.run({
  seconds: number(values.seconds),
  rate: number(values.rate),
  count: number(values.count),
  part: values.part,
  say: (line) =>
    console.log(`${((performance.now() - startedAt) / 1_000).toFixed(0).padStart(5)} s  ${line}`),
});
for (const fault of faults.slice(0, 50)) console.log(`FAULT  ${fault}`);
process.exit(faults.length === 0 ? 0 : 1);
