/** `pnpm dev:cluster [--data-dir D] [--replicas auth=1,proxy=2,tunnel=2,audit=1]`: the cluster until ctrl-C. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { waitForStopSignal } from '@gatehouse/kit/lifecycle';

import { defaultReplicas, startCluster } from './cluster.js';
import { root } from './installation.js';
import type { Replicas } from './plan.js';

const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: join(root, '.gatehouse/dev') },
    replicas: { type: 'string', default: '' },
  },
});

function readReplicas(text: string): Replicas {
  const given = text.split(',').filter((part) => part !== '');
  const pairs = given.map((part): [string, number] => {
    const [name = '', count] = part.split('=');
    if (!(name in defaultReplicas) || !/^[1-9]\d?$/.test(count ?? ''))
      throw new Error('write --replicas auth=1,proxy=2,tunnel=2,audit=1');
    return [name, Number(count)];
  });
  return { ...defaultReplicas, ...Object.fromEntries(pairs) };
}

const startedAt = performance.now();
const say = (text: string) => process.stderr.write(text);
const cluster = await startCluster({
  dataDir: values['data-dir'],
  replicas: readReplicas(values.replicas),
  onStep: (step) =>
    say(`  ${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)}s  ${step}\n`),
});
const { ready } = cluster;
say(`
The cluster is ready on ${ready.webUrl}    (${join(values['data-dir'], 'ready.json')})

  proxies   ${ready.proxies.join('  ')}
  kafka     ${ready.kafka}
  postgres  ${ready.postgres}
${ready.adminInviteUrl === null ? '' : `  invite    ${ready.adminInviteUrl}\n`}
  stop: ctrl-C
`);
await waitForStopSignal();
await cluster[Symbol.asyncDispose]();
process.exit(0);
