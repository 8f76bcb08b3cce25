/** Certificates bound to an address: the payload's `sourceIp` and OpenSSH's critical option `source-address`. */
import { BlockList, isIP } from 'node:net';

const maxRanges = 64;

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

/** True when `ip` (as {@link parseClientIp} gives it) is one of `ranges`: addresses or CIDR blocks. A bad range matches nothing. */
export function isAddressAllowed(ip: string, ranges: readonly string[]): boolean {
  if (ranges.length > maxRanges) return false;
  const list = new BlockList();
  for (const range of ranges) {
    if (!addRange(list, range.trim())) return false;
  }
  return list.check(ip, family(ip));
}

function addRange(list: BlockList, range: string): boolean {
  const [text = '', prefix, ...rest] = range.split('/');
  const ip = parseClientIp(text);
  if (ip === undefined || rest.length > 0) return false;
  const maxPrefix = family(ip) === 'ipv4' ? 32 : 128;
  const bits = prefix === undefined ? maxPrefix : Number(prefix);
  if (!/^\d{1,3}$/.test(prefix ?? '0') || bits > maxPrefix) return false;
  list.addSubnet(ip, bits, family(ip));
  return true;
}

function family(ip: string): 'ipv4' | 'ipv6' {
  return isIP(ip) === 4 ? 'ipv4' : 'ipv6';
}
