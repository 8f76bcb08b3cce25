/**
 * Guessing is made slow (LIM-01): five wrong tries in a row make an account wait, whoever tries and however right the
 * next password is; many failures of one address leave it one try a second. The state is in PostgreSQL, so it holds
 * over all replicas, and its rows are bounded: unknown names and addresses share a fixed number of them (API-08).
 */
import { createHash } from 'node:crypto';

import { parseIpAddress } from '@gatehouse/kit/net';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { blockKey, clearThrottle, countFailure, readThrottle } from '../store/throttle.js';
import { ipOf } from './person.js';

type Needs = Pick<Deps, 'clock' | 'config' | 'store'>;

const addressRows = 16_384;
const unknownRows = 1_024;
/** An address gets one try back per second. */
const addressForgetPerMs = 1 / 1000;

/** The key under which tries of a name are counted. */
export function userKey(folded: string, isKnown: boolean): string {
  return isKnown ? `u:${folded}` : `x:${bucket(folded, unknownRows)}`;
}

function addressKey(clientAddress: string): string {
  return `a:${bucket(prefixOf(ipOf(clientAddress)), addressRows)}`;
}

/** One household of IPv6 addresses (a /64, however it is written) counts as one. */
function prefixOf(ip: string): string {
  const bytes = ip.includes(':') ? parseIpAddress(ip) : undefined;
  return bytes === undefined ? ip : bytes.subarray(0, 8).toString('hex');
}

function bucket(text: string, rows: number): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) % rows;
}

function userForgetPerMs({ config }: Needs): number {
  return config.lockout.attempts / config.lockout.wait;
}

/** @throws LOGIN_SLOWED */
export async function refuseSlowedAddress(deps: Needs, clientAddress: string): Promise<void> {
  const at = { nowMs: deps.clock.now(), forgetPerMs: addressForgetPerMs };
  const { level } = await readThrottle(deps.store.database, addressKey(clientAddress), at);
  const over = level - deps.config.lockout.address_attempts + 1;
  if (over <= 0) return;
  throw authError('LOGIN_SLOWED', { details: { seconds: String(Math.max(1, Math.ceil(over))) } });
}

/** Must this name wait? */
export async function isBlocked(deps: Needs, key: string): Promise<boolean> {
  const nowMs = deps.clock.now();
  const state = await readThrottle(deps.store.database, key, {
    nowMs,
    forgetPerMs: userForgetPerMs(deps),
  });
  return state.blockedUntilMs !== undefined && nowMs < state.blockedUntilMs;
}

export interface FailureCount {
  /** Set where this failure made the account wait. */
  readonly blockedUntil: Date | undefined;
  /** True where this failure was the one from which the address is slowed. */
  readonly isAddressSlowed: boolean;
}

/** Counts a failure of a name (undefined: of no name, as with links) and of an address. */
export async function countLoginFailure(
  deps: Needs,
  key: string | undefined,
  clientAddress: string,
): Promise<FailureCount> {
  const { config, store } = deps;
  const nowMs = deps.clock.now();
  const limit = config.lockout.address_attempts;
  const at = { nowMs, forgetPerMs: addressForgetPerMs };
  const addressLevel = await countFailure(store.database, addressKey(clientAddress), at);
  const isAddressSlowed = addressLevel > limit - 1 && addressLevel <= limit;
  if (key === undefined) return { blockedUntil: undefined, isAddressSlowed };
  const level = await countFailure(store.database, key, {
    nowMs,
    forgetPerMs: userForgetPerMs(deps),
  });
  if (level <= config.lockout.attempts - 1) return { blockedUntil: undefined, isAddressSlowed };
  const until = new Date(nowMs + config.lockout.wait);
  const isFirst = await blockKey(store.database, key, { until, now: new Date(nowMs) });
  return { blockedUntil: isFirst ? until : undefined, isAddressSlowed };
}

/** A right login takes the count away. */
export async function forgetFailures(deps: Needs, key: string): Promise<void> {
  await clearThrottle(deps.store.database, key);
}
