/** One agent per data directory: two with one identity would look like a stolen certificate. */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';

import { takeLock } from '@gatehouse/kit/lifecycle';

import { agentError } from './errors.js';

/** @throws AGENT_DATA_DIR_IN_USE */
export function lockDataDir(dir: string): Disposable {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return takeLock(resolve(dir, 'agent.lock'), (pid) =>
    agentError('AGENT_DATA_DIR_IN_USE', { details: { dir, pid } }),
  );
}
