/** What a person sees when the cluster is ready: where, and what to type next. */
import { relative } from 'node:path';

import type { Cluster } from './cluster.js';
import type { StandaloneConfig } from './config.js';

export function renderBanner(
  { ready, isMeant }: Pick<Cluster, 'ready' | 'isMeant'>,
  config: StandaloneConfig,
): string {
  const where = `(data in ${relative(process.cwd(), config.data_dir) || config.data_dir}/)`;
  const command = `bin/gate login${isMeant ? '' : ` --proxy ${ready.proxyAddr}`}`;
  const node = `bin/gate ssh ${config.login}@${config.node_name}`;
  const steps =
    ready.adminInviteUrl === null
      ? [`run    ${command}`, 'run    bin/gate ls', `run    ${node}`]
      : [
          `open   ${ready.adminInviteUrl}\n          create the first administrator (valid 24 h)`,
          `run    ${command}`,
          `run    ${node}`,
        ];
  const numbered = steps.map((step, index) => `  ${index + 1}  ${step}\n`).join('');
  const others =
    config.listen === '127.0.0.1'
      ? 'let others in: --listen 0.0.0.0 --public-addr NAME:443'
      : `listening on ${config.listen}`;
  return `\nGatehouse is ready on ${ready.webUrl}   ${where}\n\n${numbered}\n  stop: ctrl-C · ${others} · docs/first-steps.md\n\n`;
}
