/** Where a list goes on: sealed for one person and one list, so that a foreign or made-up token is refused (API-03). */
import { timingSafeEqual } from 'node:crypto';

import { authError } from '../errors.js';
import type { Keyring } from '../sealing/keyring.js';

export interface PageScope {
  /** Whose list. */
  readonly user: string;
  /** Which list, with its filters. */
  readonly list: string;
}

const maxTokenChars = 2048;

export function encodePageToken(
  keyring: Keyring,
  scope: PageScope,
  position: readonly string[],
): string {
  const text = JSON.stringify(position);
  const mac = keyring.mac('page', macInput(scope, text)).subarray(0, 16);
  return `${mac.toString('base64url')}.${Buffer.from(text).toString('base64url')}`;
}

/** Undefined for an empty token: the start. @throws PAGE_TOKEN */
export function decodePageToken(
  keyring: Keyring,
  scope: PageScope,
  token: string,
): string[] | undefined {
  if (token === '') return undefined;
  const [mac = '', body = ''] = token.length > maxTokenChars ? [] : token.split('.', 2);
  const text = Buffer.from(body, 'base64url').toString();
  const given = Buffer.from(mac, 'base64url');
  const expected = keyring.mac('page', macInput(scope, text)).subarray(0, 16);
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw authError('PAGE_TOKEN');
  const position: unknown = JSON.parse(text);
  return Array.isArray(position) ? position.map(String) : [];
}

function macInput({ user, list }: PageScope, text: string): string {
  return JSON.stringify([user, list, text]);
}
