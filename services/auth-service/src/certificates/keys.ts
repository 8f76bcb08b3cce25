/** Public keys from outside: what a certificate may be issued for. */
import { createPublicKey, randomBytes } from 'node:crypto';

import { spkiFromSshPublicKey } from '@gatehouse/identity';

import type { Authorities } from '../authorities/authorities.js';
import { authError } from '../errors.js';

const maxKeyBytes = 4096;

/** Checks an OpenSSH public key blob; a certificate in its place is refused (CRT-02). @throws KEY_REFUSED */
export function checkSshKey(authorities: Authorities, blob: Buffer): Buffer {
  if (blob.length === 0 || blob.length > maxKeyBytes) throw refused('its size');
  let spki: Buffer;
  try {
    spki = spkiFromSshPublicKey(blob);
  } catch (thrown) {
    throw refused('not a plain OpenSSH public key', thrown);
  }
  checkSpki(authorities, spki);
  return blob;
}

/** Checks an SPKI: P-256, Ed25519 or RSA from 2048 bits. @throws KEY_REFUSED */
export function checkTlsKey(authorities: Authorities, spki: Buffer): Buffer {
  if (spki.length === 0 || spki.length > maxKeyBytes) throw refused('its size');
  checkSpki(authorities, spki);
  return spki;
}

function checkSpki(authorities: Authorities, spki: Buffer): void {
  let problem: string | undefined;
  let canonical: Buffer;
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    problem = findKeyProblem(key.asymmetricKeyType, key.asymmetricKeyDetails ?? {});
    canonical = key.export({ format: 'der', type: 'spki' });
  } catch (thrown) {
    throw refused('not a public key', thrown);
  }
  if (problem !== undefined) throw refused(problem);
  if (authorities.isAuthorityKey(canonical))
    throw authError('KEYS_SAME', { reason: 'certificate_as_ca' });
}

function findKeyProblem(
  type: string | undefined,
  details: { namedCurve?: string; modulusLength?: number },
): string | undefined {
  if (type === 'ed25519') return undefined;
  if (type === 'ec')
    return details.namedCurve === 'prime256v1' ? undefined : 'only the curve P-256';
  if (type === 'rsa')
    return (details.modulusLength ?? 0) >= 2048 ? undefined : 'RSA needs 2048 bits';
  return 'only Ed25519, P-256 and RSA';
}

function refused(why: string, cause?: unknown) {
  return authError('KEY_REFUSED', { details: { why }, ...(cause === undefined ? {} : { cause }) });
}

/** A serial that nobody can guess: 63 random bits, never 0. */
export function createSerial(): bigint {
  return (randomBytes(8).readBigUInt64BE() >> 1n) | 1n;
}
