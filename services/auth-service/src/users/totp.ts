/** Six digits every 30 s (RFC 6238, SHA-1: what authenticators know). */
import { Secret, TOTP } from 'otpauth';

const stepSeconds = 30;
const digits = 6;
/** A code of the step before and of the one after is taken too: clocks differ. */
const window = 1;

/** 20 random bytes (RFC 4226 §4 R6). */
export function createTotpSecret(): Buffer {
  return Buffer.from(new Secret({ size: 20 }).bytes);
}

/** What an authenticator is set up with. */
export function totpUri(secret: Buffer, names: { issuer: string; user: string }): string {
  return createTotp(secret, names).toString();
}

/** The time step that a code belongs to, or undefined for a wrong one. Takes the same time for both. */
export function findTotpStep(secret: Buffer, code: string, nowMs: number): number | undefined {
  const token = /^\d{6}$/.test(code) ? code : 'xxxxxx';
  const delta = createTotp(secret).validate({ token, timestamp: nowMs, window });
  return delta === null ? undefined : Math.floor(nowMs / 1000 / stepSeconds) + delta;
}

function createTotp(secret: Buffer, names?: { issuer: string; user: string }): TOTP {
  const bytes = new ArrayBuffer(secret.length);
  new Uint8Array(bytes).set(secret);
  return new TOTP({
    ...(names === undefined ? {} : { issuer: names.issuer, label: names.user }),
    algorithm: 'SHA1',
    digits,
    period: stepSeconds,
    secret: new Secret({ buffer: bytes }),
  });
}
