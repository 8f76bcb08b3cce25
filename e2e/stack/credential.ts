/** Certificates and keys as their owners keep them, for clients that speak SSH or gRPC message by message. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';

import type { RawCredential } from '@gatehouse/protocol-ssh/testing';
import { z } from 'zod';

import type { TlsCredential } from './door.js';
import type { Person } from './person.js';

/** What `gate login` has put down for this person. */
export async function readCredential(person: Person): Promise<RawCredential> {
  const status = await person.json<Record<string, string>>(['status']);
  const line = readFileSync(status['sshCertFile'] ?? '', 'utf8');
  const certificate = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  return { certificate, key: readOpensshKey(status['sshKeyFile'] ?? '') };
}

/** The same person's for TLS. */
export async function readTlsCredential(person: Person): Promise<TlsCredential> {
  const status = await person.json<Record<string, string>>(['status']);
  const read = (name: string) => readFileSync(status[name] ?? '', 'utf8');
  const { raw } = new X509Certificate(read('tlsCertFile'));
  return { privateKeyPem: read('tlsKeyFile'), certificate: raw };
}

const storedSchema = z.looseObject({ privateKeyPem: z.string(), certificate: z.string() });

/** What an agent or a service has written down for its next start. */
export function readStoredCredential(file: string): TlsCredential {
  const { privateKeyPem, certificate } = storedSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  return { privateKeyPem, certificate: Buffer.from(certificate, 'base64') };
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
