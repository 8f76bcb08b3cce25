/** Secrets that go out once: 32 random bytes in a link or command; the database has only their hash. */
import { createHash, randomBytes } from 'node:crypto';

/** A prefix says what a token is for, so that one kind is never taken for another (CRT-08). */
export type TokenKind = 'inv' | 'join';

export function createToken(kind: TokenKind): { token: string; hash: Buffer } {
  const token = `${kind}-${randomBytes(32).toString('base64url')}`;
  return { token, hash: hashToken(token) };
}

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** True for text that could be a token of this kind. */
export function isTokenShape(kind: TokenKind, text: string): boolean {
  return text.length <= 100 && text.startsWith(`${kind}-`);
}
