import { usageError } from '../errors.js';
import { parseProxyAddress, type ProxyAddress } from '../profile/address.js';

/** The cluster and the token of an invitation link. @throws USAGE */
export function parseInviteUrl(text: string): { address: ProxyAddress; token: string } {
  const match = /^https:\/\/([^/?#\s]+)\/invite\/([A-Za-z0-9_.~-]{1,512})\/?$/.exec(text.trim());
  const [, host, token] = match ?? [];
  if (host === undefined || token === undefined) {
    throw usageError('an invitation is a link like https://HOST:PORT/invite/…');
  }
  return { address: parseProxyAddress(host), token };
}
