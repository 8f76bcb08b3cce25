/** Host keys in the form that ssh2's key exchange asks for: a plain one and one that shows a certificate. */
import { createPrivateKey, sign, type KeyObject } from 'node:crypto';

import { parseSshCertificate, sshPublicKey } from '@gatehouse/identity';
import type { HostCertificate } from '@gatehouse/protocol-api';
import type Protocol from 'ssh2/lib/protocol/Protocol.js';

import { WireReader } from '../wire/codec.js';

/**
 * The keys a server offers, certificate first, then the same key without it for clients that know no host
 * certificates.
 */
export function createHostKeys(host: HostCertificate): Record<string, Protocol.HostKey> {
  const key = createPrivateKey(host.privateKeyPem);
  const plain = sshPublicKey(host.privateKeyPem);
  const plainType = new WireReader(plain).text();
  const certificateType = parseSshCertificate(host.certificate).algorithm;
  return {
    [certificateType]: createHostKey(plainType, host.certificate, key),
    [plainType]: createHostKey(plainType, plain, key),
  };
}

function createHostKey(type: string, shown: Buffer, key: KeyObject): Protocol.HostKey {
  return {
    type,
    getPublicSSH: () => shown,
    sign: (data) => signWith(key, data),
  };
}

/** A signature as ssh2 expects it: raw Ed25519, or ECDSA in DER, which it converts. */
function signWith(key: KeyObject, data: Buffer): Buffer | Error {
  try {
    return sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', data, key);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}
