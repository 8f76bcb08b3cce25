/** A person's own certificate and key, for clients that speak SSH message by message. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';

import type { RawCredential } from '@gatehouse/protocol-ssh/testing';

import type { Person } from './person.js';

/** What `gate login` has put down for this person. */
export async function readCredential(person: Person): Promise<RawCredential> {
  const status = await person.json<Record<string, string>>(['status']);
  const line = readFileSync(status['sshCertFile'] ?? '', 'utf8');
  const certificate = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  return { certificate, key: readOpensshKey(status['sshKeyFile'] ?? '') };
}

/** The Ed25519 key in an unencrypted OpenSSH file (PROTOCOL.key). */
function readOpensshKey(file: string): KeyObject {
  const bytes = Buffer.from(
    readFileSync(file, 'utf8')
      .replaceAll(/-----[^-]+-----/g, '')
      .replaceAll(/\s/g, ''),
    'base64',
  );
  const marker = Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20', 'latin1');
  const at = bytes.lastIndexOf(marker) + marker.length + 32 + 4;
  const head = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key = Buffer.concat([head, bytes.subarray(at, at + 32)]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}
