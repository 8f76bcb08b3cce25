/** What an agent keeps between starts: who it is, and whom it trusts. One file, 0600, whole or not at all. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import { z } from 'zod';

import { agentError } from '../errors.js';

/** An agent's identity and trust. */
export interface AgentState {
  readonly agentId: string;
  readonly name: string;
  readonly clusterName: string;
  /** `host:port` of the public port. */
  readonly proxy: string;
  readonly caPins: readonly string[];
  /** Configuration file of the first start, so that later starts need only the data directory. */
  readonly configFile: string | undefined;
  readonly privateKeyPem: string;
  /** DER. */
  readonly certificate: Buffer;
  /** Host key of the built-in node, PEM. */
  readonly hostKeyPem: string;
  readonly trust: TrustBundle;
}

const bytes = z.base64().transform((text) => Buffer.from(text, 'base64'));

const storedSchema = z.object({
  version: z.literal(1),
  agentId: z.string(),
  name: z.string(),
  clusterName: z.string(),
  proxy: z.string(),
  caPins: z.array(z.string()),
  configFile: z.string().optional(),
  privateKeyPem: z.string(),
  certificate: bytes,
  hostKeyPem: z.string(),
  trust: bytes,
});

function stateFile(dataDir: string): string {
  return join(dataDir, 'agent.json');
}

/** What an earlier start kept; undefined where there was none. @throws AGENT_STATE_INVALID */
export function loadState(dataDir: string): AgentState | undefined {
  const file = stateFile(dataDir);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return undefined;
    throw invalid(file, thrown);
  }
  try {
    const { configFile, trust, version: _version, ...rest } = storedSchema.parse(JSON.parse(text));
    return { ...rest, configFile, trust: TrustBundle.decode(trust) };
  } catch (thrown) {
    throw invalid(file, thrown);
  }
}

function invalid(file: string, cause: unknown): Error {
  const why = systemErrorCode(cause) ?? 'it is not what this agent wrote';
  return agentError('AGENT_STATE_INVALID', { cause, details: { file, why } });
}

/** Replaces what is kept. */
export function saveState(dataDir: string, state: AgentState): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const stored = {
    ...state,
    version: 1,
    certificate: state.certificate.toString('base64'),
    trust: Buffer.from(TrustBundle.encode(state.trust).finish()).toString('base64'),
  };
  const file = stateFile(dataDir);
  const fresh = `${file}.new`;
  const descriptor = openSync(fresh, 'w', 0o600);
  try {
    writeSync(descriptor, `${JSON.stringify(stored, undefined, 2)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(fresh, file);
}
