/** Where a list goes on: sealed for one person and one search, so that a foreign or made-up token is refused. */
import { createHmac, timingSafeEqual } from 'node:crypto';

import { auditError } from '../errors.js';

interface PageScope {
  readonly user: string;
  /** Which list, with its filters. */
  readonly list: unknown;
}

export interface PageTokens {
  encode(scope: PageScope, position: readonly (string | number)[]): string;
  /** Undefined for an empty token: the start. @throws AUDIT_PAGE_TOKEN */
  decode(scope: PageScope, token: string): (string | number)[] | undefined;
}

const maxTokenChars = 1024;
const macBytes = 16;

/** @param secret what all replicas share and nobody else knows */
export function createPageTokens(secret: string): PageTokens {
  const key = createHmac('sha256', secret).update('gatehouse-audit-page-v1').digest();
  const seal = ({ user, list }: PageScope, text: string) =>
    createHmac('sha256', key)
      .update(JSON.stringify([user, list, text]))
      .digest()
      .subarray(0, macBytes);
  return {
    encode: (scope, position) => {
      const text = JSON.stringify(position);
      return `${seal(scope, text).toString('base64url')}.${Buffer.from(text).toString('base64url')}`;
    },
    decode: (scope, token) => {
      if (token === '') return undefined;
      const [mac = '', body = ''] = token.length > maxTokenChars ? [] : token.split('.', 2);
      const text = Buffer.from(body, 'base64url').toString();
      const given = Buffer.from(mac, 'base64url');
      if (given.length !== macBytes || !timingSafeEqual(given, seal(scope, text)))
        throw auditError('AUDIT_PAGE_TOKEN');
      const position: unknown = JSON.parse(text);
      return Array.isArray(position)
        ? position.map((part) => (typeof part === 'number' ? part : String(part)))
        : [];
    },
  };
}
