/**
 * Sealed columns: AES-256-GCM under a key-encryption key, bound to table, column, row and key id, so that a value moved
 * elsewhere can't be opened (D31). Layout: version (1) · key id (8) · nonce (12) · tag (16) · ciphertext.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { authError } from '../errors.js';

/** Where a sealed value lives. */
export interface SealPlace {
  readonly table: string;
  readonly column: string;
  readonly row: string;
}

/** What seals; a KMS fits the same shape. */
export interface Keyring {
  /** Id of the key that seals. */
  readonly activeKeyId: string;
  hasKey(keyId: string): boolean;
  seal(place: SealPlace, plain: Buffer): Buffer;
  /** @throws SEAL_BROKEN for an unknown key, another place, or changed bytes */
  open(place: SealPlace, sealed: Buffer): Buffer;
  /** A MAC for handles that go out and come back (page tokens), the same in all replicas. */
  mac(label: string, data: string): Buffer;
}

const version = 1;
const headBytes = 1 + 8 + 12 + 16;
const maxKeys = 16;

/** A keyring of keys in memory; the first one is active. */
export function createKeyring(keys: readonly Buffer[]): Keyring {
  const byId = new Map(keys.map((key) => [idOf(key), key]));
  const [active] = keys;
  if (active === undefined) throw authError('KEK_MISMATCH');
  const activeKeyId = idOf(active);
  return {
    activeKeyId,
    hasKey: (keyId) => byId.has(keyId),
    mac(label, data) {
      const key = createHmac('sha256', active).update(`mac ${label}`).digest();
      return createHmac('sha256', key).update(data).digest();
    },
    seal(place, plain) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', active, nonce);
      cipher.setAAD(placeBytes(place, activeKeyId));
      const body = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([
        Buffer.from([version]),
        Buffer.from(activeKeyId, 'hex'),
        nonce,
        cipher.getAuthTag(),
        body,
      ]);
    },
    open(place, sealed) {
      if (sealed.length < headBytes || sealed[0] !== version) throw authError('SEAL_BROKEN');
      const keyId = sealed.toString('hex', 1, 9);
      const key = byId.get(keyId);
      if (key === undefined)
        throw authError('SEAL_BROKEN', { message: `sealed under unknown key ${keyId}` });
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(9, 21), {
          authTagLength: 16,
        });
        decipher.setAAD(placeBytes(place, keyId));
        decipher.setAuthTag(sealed.subarray(21, headBytes));
        return Buffer.concat([decipher.update(sealed.subarray(headBytes)), decipher.final()]);
      } catch (thrown) {
        throw authError('SEAL_BROKEN', {
          cause: thrown,
          message: `sealed ${place.table}.${place.column} does not open`,
        });
      }
    },
  };
}

function idOf(key: Buffer): string {
  return createHash('sha256')
    .update('gatehouse key-encryption key')
    .update(key)
    .digest('hex')
    .slice(0, 16);
}

function placeBytes(place: SealPlace, keyId: string): Buffer {
  return Buffer.from(JSON.stringify([place.table, place.column, place.row, keyId]));
}

/** Reads a file of keys. @throws KEY_FILE_INVALID */
export function readKeyFile(path: string): Buffer[] {
  const content = readFileSync(path);
  if (content.length === 32) return [content];
  const lines = content
    .toString('latin1')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length === 0 || lines.length > maxKeys) {
    throw authError('KEY_FILE_INVALID', { details: { file: path, why: `${lines.length} keys` } });
  }
  return lines.map((line, index) => {
    const key = /^[0-9a-fA-F]{64}$/.test(line)
      ? Buffer.from(line, 'hex')
      : Buffer.from(line, 'base64');
    if (key.length === 32) return key;
    throw authError('KEY_FILE_INVALID', {
      details: { file: path, why: `line ${index + 1} is not 32 bytes` },
    });
  });
}
