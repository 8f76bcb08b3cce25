/**
 * Which clusters this person has met and by which CA they are known, and which was logged in to last. Standalone adds
 * itself here at its start (D31).
 */
import { join } from 'node:path';

import { cliError } from '../errors.js';
import { parseProxyAddress, type ProxyAddress } from './address.js';
import { readFileIfThere, writeFileWhole } from './files.js';
import { isRecord, parseJson, textList } from './json.js';
import { knownClustersFile } from './paths.js';

/** A cluster that was met before. */
export interface KnownCluster {
  /** `host:port` */
  readonly proxyAddr: string;
  readonly clusterName?: string;
  /** `sha256:…` of host_tls CAs; empty where a public authority signs the port's certificate. */
  readonly caPins: readonly string[];
}

/** `{version: 1, clusters: [{proxyAddr, clusterName?, caPin | caPins}]}`. What is not understood is passed over. */
export function readKnownClusters(home: string): readonly KnownCluster[] {
  const value = parseJson(readFileIfThere(knownClustersFile(home)) ?? '{}');
  if (!isRecord(value) || !Array.isArray(value['clusters'])) return [];
  return value['clusters'].flatMap((entry: unknown) => decodeCluster(entry) ?? []);
}

function decodeCluster(entry: unknown): KnownCluster | undefined {
  if (!isRecord(entry) || typeof entry['proxyAddr'] !== 'string') return undefined;
  const { proxyAddr, clusterName, caPin } = entry;
  const caPins = [...textList(entry['caPins']), ...(typeof caPin === 'string' ? [caPin] : [])];
  return {
    proxyAddr: proxyAddr.toLowerCase(),
    caPins,
    ...(typeof clusterName === 'string' ? { clusterName } : {}),
  };
}

/** What is known of an address, `host:port`. */
export function findKnownCluster(home: string, proxy: string): KnownCluster | undefined {
  return readKnownClusters(home).find((cluster) => cluster.proxyAddr === proxy);
}

/** Notes a cluster, in place of what was known of that address. */
export function rememberCluster(home: string, cluster: KnownCluster): void {
  const others = readKnownClusters(home).filter(({ proxyAddr }) => proxyAddr !== cluster.proxyAddr);
  const document = { version: 1, clusters: [...others, cluster] };
  writeFileWhole(knownClustersFile(home), `${JSON.stringify(document, null, 2)}\n`);
}

function lastClusterFile(home: string): string {
  return join(home, 'last-cluster.json');
}

/** Notes the cluster that commands mean from now on. */
export function rememberLastCluster(home: string, proxy: string): void {
  writeFileWhole(lastClusterFile(home), `${JSON.stringify({ version: 1, proxy })}\n`);
}

/**
 * Which cluster is meant: `--proxy`, else `$GATE_PROXY`, else the one logged in to last, else the only one known.
 * @throws NO_CLUSTER, USAGE
 */
export function chooseCluster(
  home: string,
  variables: Readonly<Record<string, string | undefined>>,
  option: string | undefined,
): ProxyAddress {
  const named = option ?? variables['GATE_PROXY'];
  if (named !== undefined && named !== '') return parseProxyAddress(named);
  const last = parseJson(readFileIfThere(lastClusterFile(home)) ?? '{}');
  if (isRecord(last) && typeof last['proxy'] === 'string') return parseProxyAddress(last['proxy']);
  const [only, ...more] = readKnownClusters(home);
  if (only === undefined || more.length > 0) throw cliError('NO_CLUSTER');
  return parseProxyAddress(only.proxyAddr);
}
