/**
 * First contact: `https://<proxy>/.well-known/gatehouse.json` names the cluster and its certificate authorities. With
 * pins, the page proves itself: only authorities whose key has a pin are taken, whoever sent it. Without, the page must
 * come from a server that public authorities vouch for.
 */
import { request } from 'node:https';
import { connect } from 'node:tls';

import { caPin, pemToDer } from '@gatehouse/identity';
import { GatehouseError } from '@gatehouse/kit/errors';
import { z } from 'zod';

import { agentError } from '../errors.js';
import { connectThrough, type Egress } from './egress.js';

/** Where the port is, and whom to believe. */
export interface PortAddress {
  /** `host:port`. */
  readonly proxy: string;
  readonly caPins: readonly string[];
  readonly egress: Egress | undefined;
}

/** A cluster as its port describes it. */
export interface ClusterInfo {
  readonly clusterName: string;
  /** `host_tls` CA certificates, DER, that may be trusted. */
  readonly hostTlsCa: readonly Buffer[];
}

const maxPageBytes = 256 << 10;
const timeoutMs = 10_000;

const pageSchema = z.object({
  clusterName: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  caBundle: z.string().max(maxPageBytes),
});

/** @throws AGENT_CLUSTER_UNREACHABLE, AGENT_CA_PIN_MISMATCH */
export async function fetchClusterInfo(where: PortAddress): Promise<ClusterInfo> {
  const { proxy, caPins } = where;
  const { clusterName, caBundle } = await fetchPage(where);
  const authorities = pemToDer(caBundle);
  const trusted =
    caPins.length === 0 ? authorities : authorities.filter((der) => caPins.includes(caPin(der)));
  if (trusted.length === 0) throw agentError('AGENT_CA_PIN_MISMATCH', { details: { proxy } });
  return { clusterName, hostTlsCa: trusted };
}

async function fetchPage(where: PortAddress): Promise<z.output<typeof pageSchema>> {
  const { proxy } = where;
  try {
    const text = await fetchText(where);
    return pageSchema.parse(JSON.parse(text));
  } catch (thrown) {
    if (thrown instanceof GatehouseError) throw thrown;
    const why = thrown instanceof z.ZodError || thrown instanceof SyntaxError;
    throw agentError('AGENT_CLUSTER_UNREACHABLE', {
      cause: thrown,
      details: { proxy, why: why ? 'it is not a Gatehouse port' : messageOf(thrown) },
    });
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

async function fetchText({ proxy, caPins, egress }: PortAddress): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs);
  const rejectUnauthorized = caPins.length === 0;
  const socket = egress && (await connectThrough(egress, proxy, signal));
  const url = new URL('/.well-known/gatehouse.json', `https://${proxy}`);
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        rejectUnauthorized,
        agent: false,
        signal,
        ...(socket && {
          createConnection: () => connect({ socket, rejectUnauthorized, servername: url.hostname }),
        }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('error', reject);
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > maxPageBytes) response.destroy(new Error('the page is too long'));
          else chunks.push(chunk);
        });
        response.once('end', () => {
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
          else reject(new Error(`HTTP ${response.statusCode ?? 0}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}
