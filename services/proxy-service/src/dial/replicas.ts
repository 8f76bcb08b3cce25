/**
 * Which tunnel replicas there are (D28): what the configured addresses stand for. Names are looked up again and again, so
 * that one name of a headless service is enough for any number of replicas.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

import { sleep } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { splitAddress } from '@gatehouse/kit/net';

export interface ReplicasOptions {
  readonly addresses: readonly string[];
  /** Where agents' tunnels are passed on to, in the same order. */
  readonly publicAddresses: readonly string[];
  readonly logger: Logger;
  /** Told of the internal addresses at once and after each change. */
  onChange(addresses: readonly string[]): void;
  /** All addresses of a name. Default: the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** How often names are looked up. Default 5 s. */
  readonly intervalMs?: number;
}

export interface Replicas extends Disposable {
  /** Of a replica, by its internal address. */
  publicAddress(address: string): string | undefined;
}

/** More are taken for a mistake. */
const maxReplicas = 200;

/** Resolves once every name was looked up once. */
export async function findReplicas(options: ReplicasOptions): Promise<Replicas> {
  const stop = new AbortController();
  let known = new Map<string, string>();
  const look = async () => {
    const found = await resolveAll(options);
    const isSame = found.size === known.size && [...found.keys()].every((key) => known.has(key));
    // A resolver that has nothing to say is no reason to forget replicas.
    if (isSame || found.size === 0) return;
    known = found;
    options.onChange([...found.keys()]);
  };
  await look();
  if (options.addresses.some((address) => isIP(splitAddress(address).host) === 0))
    runInBackground(
      async () => {
        while (!stop.signal.aborted) {
          await sleep(options.intervalMs ?? 5_000, stop.signal).catch(() => undefined);
          if (!stop.signal.aborted) await look();
        }
      },
      options.logger,
      'looking for tunnel replicas stopped',
    );
  return {
    publicAddress: (address) => known.get(address),
    [Symbol.dispose]: () => stop.abort(),
  };
}

/** Internal to public address, of every replica. A name that can't be resolved just now has none. */
async function resolveAll(options: ReplicasOptions): Promise<Map<string, string>> {
  const { addresses, publicAddresses, resolve = lookupAll, logger } = options;
  const found = await Promise.all(
    addresses.map(async (address, index) => {
      const { host, port } = splitAddress(address);
      const outer = splitAddress(publicAddresses[index] ?? address);
      const ips = isIP(host) === 0 ? await resolve(host).catch(noteFailure(logger, host)) : [host];
      return ips.map((ip): [string, string] => [
        joinAddress(ip, port),
        joinAddress(outer.host === host ? ip : outer.host, outer.port),
      ]);
    }),
  );
  return new Map(found.flat().slice(0, maxReplicas));
}

function noteFailure(logger: Logger, host: string) {
  return (thrown: unknown): readonly string[] => {
    logger.debug({ err: thrown, host }, 'a name of tunnel replicas is not known');
    return [];
  };
}

async function lookupAll(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function joinAddress(ip: string, port: number): string {
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
}
