/** Certificates bound to an address: the payload's `sourceIp` and OpenSSH's critical option `source-address`. */
import { BlockList, isIP } from 'node:net';

import { identityError } from './errors.js';
import type { Identity } from './identity.js';

const maxRanges = 64;

/**
 * For certificates other than SSH ones: does the person come from where the payload's `sourceIp` says?
 * @param clientAddress `ip`, `ip:port` or `[ip]:port`
 * @throws SOURCE_ADDRESS, reason source_ip, when it is pinned and the address is another one or cannot be read
 */
export function checkSourceAddress(identity: Identity, clientAddress: string | undefined): void {
  if (identity.sourceIp !== undefined) checkRestrictions([[identity.sourceIp]], clientAddress);
}

/** The client must be in every list. @throws SOURCE_ADDRESS, reason source_ip */
export function checkRestrictions(
  restrictions: readonly (readonly string[])[],
  clientAddress: string | undefined,
): void {
  if (restrictions.length === 0) return;
  const ip = clientAddress === undefined ? undefined : parseClientIp(clientAddress);
  if (ip !== undefined && restrictions.every((ranges) => isAddressAllowed(ip, ranges))) return;
  throw identityError('SOURCE_ADDRESS', {
    details: { address: ip ?? 'an unknown address' },
    reason: 'source_ip',
  });
}

/**
 * The IP of `ip`, `ip:port` or `[ip]:port`, without zone and without the IPv4-in-IPv6 prefix; undefined for anything
 * else.
 */
export function parseClientIp(address: string): string | undefined {
  const bracketed = /^\[([^\]]+)\](:\d+)?$/.exec(address)?.[1];
  const host = bracketed ?? (isIP(address) === 0 ? address.replace(/:\d+$/, '') : address);
  const ip = host.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(ip) === 0 ? undefined : ip;
}

/**
 * True when `ip` (as {@link parseClientIp} gives it) is in one of `ranges`: addresses or CIDR blocks. One range that
 * cannot be read makes the whole list match nothing.
 */
export function isAddressAllowed(ip: string, ranges: readonly string[]): boolean {
  if (ranges.length > maxRanges) return false;
  const list = new BlockList();
  for (const text of ranges) {
    const range = parseRange(text.trim());
    if (!range) return false;
    // A BlockList would take an IPv4 address for one of ::/0.
    if (range.family === family(ip)) list.addSubnet(range.ip, range.bits, range.family);
  }
  return list.check(ip, family(ip));
}

interface Range {
  readonly ip: string;
  readonly bits: number;
  readonly family: 'ipv4' | 'ipv6';
}

function parseRange(range: string): Range | undefined {
  const [text = '', prefix, ...rest] = range.split('/');
  if (isIP(text) === 0 || rest.length > 0) return undefined;
  const maxBits = family(text) === 'ipv4' ? 32 : 128;
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return undefined;
  const bits = prefix === undefined ? maxBits : Number(prefix);
  return bits > maxBits ? undefined : { ip: text, bits, family: family(text) };
}

function family(ip: string): 'ipv4' | 'ipv6' {
  return isIP(ip) === 4 ? 'ipv4' : 'ipv6';
}
