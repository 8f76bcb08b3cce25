/** Which algorithms each leg offers. The client's order decides (RFC 4253 §7.1), so a server controls by what it leaves out. */

/** Name lists of one KEXINIT, without the markers that ssh2 adds (strict key exchange, ext-info). */
export interface AlgorithmOffer {
  readonly kex: readonly string[];
  readonly ciphers: readonly string[];
  readonly macs: readonly string[];
}

const modernKex = [
  'mlkem768x25519-sha256',
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
];
const gcm = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];
const ctr = ['aes128-ctr', 'aes256-ctr'];
const etm = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'];

/** Towards people: GCM only, so that OpenSSH, which prefers others, uses the fast one; no ChaCha20, no CBC (SSH-22). */
export const clientFacing: AlgorithmOffer = { kex: modernKex, ciphers: gcm, macs: etm };

/**
 * The same for other clients, some of which know no GCM: the client's order decides, and only OpenSSH is known to put CTR
 * in front of GCM. CTR comes with SHA-2 MACs alone.
 */
const otherClientFacing: AlgorithmOffer = { ...clientFacing, ciphers: [...gcm, ...ctr] };

/** What a client is offered, by the software version of its identification line. */
export function offerForClient(software: string): AlgorithmOffer {
  return software.startsWith('OpenSSH') ? clientFacing : otherClientFacing;
}

/** Towards targets of any recent age. */
export const targetFacing: AlgorithmOffer = {
  kex: [
    ...modernKex,
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group14-sha256',
  ],
  ciphers: [...gcm, ...ctr],
  macs: [...etm, 'hmac-sha2-256', 'hmac-sha2-512'],
};

/** Towards a target whose document says `allow_legacy_algorithms: true`. */
export const legacyTargetFacing: AlgorithmOffer = {
  kex: [
    ...targetFacing.kex,
    'diffie-hellman-group-exchange-sha256',
    'diffie-hellman-group14-sha1',
    'diffie-hellman-group1-sha1',
  ],
  ciphers: [...targetFacing.ciphers, 'aes256-cbc', 'aes128-cbc', '3des-cbc'],
  macs: [...targetFacing.macs, 'hmac-sha1-etm@openssh.com', 'hmac-sha1'],
};

/** True where one of what was negotiated is none of those that every target is offered. An AEAD has no MAC of its own. */
export function isLegacy({ kex, serverHostKey, cs, sc }: NegotiatedNames): boolean {
  const macs = [...targetFacing.macs, ''];
  return (
    serverHostKey === 'ssh-rsa' ||
    !targetFacing.kex.includes(kex) ||
    [cs, sc].some(
      ({ cipher, mac }) => !targetFacing.ciphers.includes(cipher) || !macs.includes(mac),
    )
  );
}

interface NegotiatedNames {
  readonly kex: string;
  readonly serverHostKey: string;
  readonly cs: { readonly cipher: string; readonly mac: string };
  readonly sc: { readonly cipher: string; readonly mac: string };
}

/** Host key algorithms in the order in which a client leg prefers them. */
export const hostCertificateAlgorithms = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
];

/** Plain host key algorithms, for targets whose key is pinned. */
export const plainHostKeyAlgorithms = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];
