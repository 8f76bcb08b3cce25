/**
 * What `gate` knows of clusters, as whoever starts one here finds it (D31): the pin of the new one beside those of others,
 * so that `bin/gate` trusts the port without being told. The files are those of apps/cli/src/profile/known-clusters.ts.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';
import { z } from 'zod';

import type { Ready } from './ready.js';

const knownSchema = z.object({ clusters: z.array(z.looseObject({ proxyAddr: z.string() })) });
const lastSchema = z.object({ proxy: z.string() });

/**
 * Notes the cluster, in place of what was known of its address.
 * @param home of `gate`
 * @returns true where `gate login` means this cluster without being told which. A folder that can not be written is no error.
 */
export function noteKnownCluster(
  home: string,
  { proxyAddr, caPin, clusterName }: Pick<Ready, 'proxyAddr' | 'caPin' | 'clusterName'>,
): boolean {
  const file = join(home, 'known-clusters.json');
  const known = read(file, knownSchema)?.clusters ?? [];
  const others = known.filter((one) => one.proxyAddr.toLowerCase() !== proxyAddr.toLowerCase());
  const last = read(join(home, 'last-cluster.json'), lastSchema)?.proxy;
  const document = { version: 1, clusters: [...others, { proxyAddr, clusterName, caPin }] };
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const written = `${file}.${process.pid}`;
    writeFileSync(written, `${JSON.stringify(document, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(written, file);
  } catch (thrown) {
    if (systemErrorCode(thrown) === undefined) throw thrown;
  }
  return last === undefined ? others.length === 0 : last === proxyAddr;
}

/** Undefined where there is none, or none that is understood. */
function read<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): z.output<Schema> | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
