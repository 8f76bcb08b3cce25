/** `npm start`: reads flags, starts the cluster, says how to get in, stops in order. */
import { join } from 'node:path';

import { toGatehouseError } from '@gatehouse/kit/errors';
import { tuneGarbageCollection, waitForStopSignal, withDeadline } from '@gatehouse/kit/lifecycle';

import { renderBanner } from './banner.js';
import { startCluster, type Cluster } from './cluster.js';
import { readStandaloneConfig, usage, type StandaloneConfig } from './config.js';

const root = join(import.meta.dirname, '../../..');
const stopTimeoutMs = 9_500;

function say(text: string): void {
  process.stderr.write(text);
}

function fail(thrown: unknown): number {
  const { publicMessage, remedy, kind, message, id } = toGatehouseError(thrown);
  say(`gatehouse: ${kind === 'internal' ? message : publicMessage}\n`);
  if (remedy !== undefined) say(`  fix: ${remedy}\n`);
  if (kind === 'internal') say(`  id : ${id}\n`);
  return kind === 'invalid_argument' ? 2 : 1;
}

async function start(config: StandaloneConfig): Promise<Cluster> {
  const startedAt = performance.now();
  return startCluster(config, {
    root,
    onStep: (step) =>
      say(`  ${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)}s  ${step}\n`),
  });
}

async function main(): Promise<number> {
  let config: StandaloneConfig | undefined;
  try {
    config = readStandaloneConfig(process.argv.slice(2), {
      root,
      isTerminal: process.stdout.isTTY,
    });
    if (config === undefined) {
      process.stdout.write(usage);
      return 0;
    }
    const cluster = await start(config);
    tuneGarbageCollection();
    process.stdout.write(renderBanner(cluster, config));
    const reason = await Promise.race([waitForStopSignal(), cluster.failure]);
    const code = reason instanceof Error ? fail(reason) : 0;
    say('\n  stopping\n');
    await withDeadline(
      Promise.resolve(cluster[Symbol.asyncDispose]()),
      stopTimeoutMs,
      () => new Error('the stop took too long'),
    );
    return code;
  } catch (thrown) {
    return fail(thrown);
  }
}

process.on('unhandledRejection', (thrown) => {
  say(
    `gatehouse: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`,
  );
  process.exit(1);
});
process.exit(await main());
