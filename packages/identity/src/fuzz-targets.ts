/**
 * The decoders of this package as a fuzzer sees them. Keys, times and randomness are fixed, so that a run can be
 * repeated. Where a verifier accepts anything but a seed, that is thrown as a plain Error: a forgery.
 */
import { createPrivateKey, sign } from 'node:crypto';

import { der, derBits, tags } from './der.js';
import { signatureVectors } from './fuzz-vectors.js';
import { signGrant, verifyGrant } from './grant.js';
import { encodeIdentity, parseIdentity, type Identity } from './identity.js';
import { createSigner } from './keys.js';
import { formatPartName, parsePartName } from './part-name.js';
import { derToPem, pemToDer } from './pem.js';
import { refuse } from './refusals.js';
import { issueSshCertificate, parseSshCertificate } from './ssh-certificate.js';
import {
  formatSshPublicKey,
  parseSshPublicKey,
  spkiFromSshPublicKey,
  sshPublicKey,
  sshPublicKeyFromSpki,
} from './ssh-keys.js';
import { verifySshUserProof } from './ssh-proof.js';
import { verifySshSignature } from './ssh-signature.js';
import { verifySshHostCertificate, verifySshUserCertificate } from './ssh-verify.js';
import { encodeSshString } from './ssh-wire.js';
import { createTlsAuthority, issueTlsCertificate } from './x509-issue.js';
import { oids } from './x509-names.js';
import { parseTlsCertificate } from './x509-parse.js';
import { caPin, verifyTlsCertificate } from './x509-verify.js';

/** A decoder for the fuzzer. `run` may throw GatehouseError and nothing else. */
export interface FuzzTarget {
  /** Lower-case words with dots and hyphens; also the name of the corpus folder. */
  readonly name: string;
  readonly seeds: readonly Buffer[];
  run(input: Buffer): void;
}

const nowMs = Date.UTC(2026, 0, 1);
const validity = { validAfterMs: nowMs - 60_000, validBeforeMs: nowMs + 60_000 };
const tlsValidity = { notBeforeMs: validity.validAfterMs, notAfterMs: validity.validBeforeMs };

/** An Ed25519 key that everybody knows. */
function fixedKey(fill: number): string {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  return derToPem(Buffer.concat([prefix, Buffer.alloc(32, fill)]), 'PRIVATE KEY');
}

const fixedRandom = (bytes: number) => Buffer.alloc(bytes, 7);
const caPem = fixedKey(1);
const signer = createSigner(caPem);
const caBlob = sshPublicKey(caPem);
const leafPem = fixedKey(2);
const leafBlob = sshPublicKey(leafPem);
const leafSpki = createSigner(leafPem).publicKeySpki;

const identity: Identity = {
  v: 1,
  user: 'alice@example.com',
  roles: ['access', 'dba'],
  traits: { logins: ['alice', 'root'], team: [] },
  loginId: 'lgn_00000000000000000000000000000001',
  mfaAt: '2026-01-01T00:00:00Z',
  sourceIp: '127.0.0.1',
  requests: ['req_00000000000000000000000000000001'],
  route: { kind: 'database', name: 'pg-1', user: 'reader', database: 'app' },
};

const userCertificate = await issueSshCertificate({
  type: 'user',
  publicKey: leafBlob,
  serial: 1n,
  keyId: identity.user,
  principals: [identity.user],
  ...validity,
  criticalOptions: { 'source-address': '127.0.0.0/8,::1' },
  extensions: { 'permit-pty': '' },
  identity,
  signer,
  random: fixedRandom,
});

const hostCertificate = await issueSshCertificate({
  type: 'host',
  publicKey: leafBlob,
  serial: 2n ** 64n - 1n,
  keyId: 'web-1',
  principals: ['web-1', 'web-1.test'],
  validAfterMs: 0,
  validBeforeMs: Number.POSITIVE_INFINITY,
  signer,
  random: fixedRandom,
});

const authority = {
  certificate: await createTlsAuthority({
    commonName: 'fuzz',
    privateKeyPem: caPem,
    nowMs,
    days: 1,
    random: fixedRandom,
  }),
  signer,
};

const userTlsCertificate = await issueTlsCertificate({
  authority,
  publicKeySpki: leafSpki,
  part: { cluster: 'test', type: 'user', name: identity.user },
  identity,
  ...tlsValidity,
  usage: 'client',
  random: fixedRandom,
});

const proxyTlsCertificate = await issueTlsCertificate({
  authority,
  publicKeySpki: leafSpki,
  part: { cluster: 'test', type: 'service', kind: 'proxy', id: 'srv_1' },
  dnsNames: ['localhost', '*.test'],
  ipAddresses: ['127.0.0.1', '::1'],
  ...tlsValidity,
  usage: 'both',
  random: fixedRandom,
});

const grant = await signGrant(
  {
    v: 1,
    agent: 'agt_1',
    session: 'ses_1',
    target: 'web-1',
    protocol: 'ssh',
    principal: 'root',
    user: identity.user,
    mode: 'inspected',
    exp: nowMs / 1000 + 30,
    jti: 'jti-00000001',
    options: { rules: { list: [1, true, null] } },
  },
  { privateKeyPem: leafPem, certificate: proxyTlsCertificate },
);

const signedRequest = Buffer.concat([
  encodeSshString(Buffer.alloc(32, 9)),
  Buffer.of(50),
  encodeSshString('root@web-1'),
  encodeSshString('ssh-connection'),
  encodeSshString('publickey'),
  Buffer.of(1),
  encodeSshString('ssh-ed25519-cert-v01@openssh.com'),
  encodeSshString(userCertificate),
]);

const proofSignature = Buffer.concat([
  encodeSshString('ssh-ed25519'),
  encodeSshString(signRaw(signedRequest, leafPem)),
]);

function signRaw(bytes: Buffer, privateKeyPem: string): Buffer {
  return sign(null, bytes, createPrivateKey(privateKeyPem));
}

function signSsh(bytes: Buffer): Buffer {
  return Buffer.concat([encodeSshString('ssh-ed25519'), encodeSshString(signRaw(bytes, caPem))]);
}

/** A target that accepts its seeds and nothing else. */
function verifier(
  name: string,
  seeds: readonly Buffer[],
  accept: (input: Buffer) => unknown,
): FuzzTarget {
  return {
    name,
    seeds,
    run(input) {
      accept(input);
      if (!seeds.some((seed) => seed.equals(input)))
        throw new Error(`${name} accepted what nobody signed`);
    },
  };
}

const sshCheck = { authorities: [caBlob], nowMs };

export const fuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'identity.ssh-certificate',
    seeds: [userCertificate, hostCertificate],
    run: (input) => void parseSshCertificate(input),
  },
  verifier('identity.ssh-user', [userCertificate], (input) =>
    verifySshUserCertificate(input, { ...sshCheck, clientAddress: '127.0.0.1:5000' }),
  ),
  verifier('identity.ssh-host', [hostCertificate], (input) =>
    verifySshHostCertificate(input, { ...sshCheck, principal: 'web-1' }),
  ),
  verifier('identity.ssh-proof', [signedRequest], (signedData) =>
    verifySshUserProof(
      { certificate: userCertificate, signedData, signature: proofSignature },
      sshCheck,
    ),
  ),
  verifier('identity.ssh-signature', [proofSignature], (signature) =>
    verifySshUserProof(
      { certificate: userCertificate, signedData: signedRequest, signature },
      sshCheck,
    ),
  ),
  ...signatureVectors.map(({ name, key, signature }) =>
    verifier(`identity.ssh-signature-${name}`, [Buffer.from(signature, 'base64')], (input) => {
      const isValid = verifySshSignature(
        Buffer.from(key, 'base64'),
        Buffer.from('gatehouse'),
        input,
      );
      if (!isValid) throw refuse('the signature does not fit', 'signature');
    }),
  ),
  verifier('identity.tls-certificate', [userTlsCertificate, proxyTlsCertificate], (input) =>
    verifyTlsCertificate(input, { authorities: [authority.certificate], chain: [input], nowMs }),
  ),
  {
    name: 'identity.tls-authority',
    seeds: [authority.certificate, userTlsCertificate],
    run: (input) => void caPin(input),
  },
  verifier('identity.grant', [Buffer.from(grant)], (input) =>
    verifyGrant(input.toString('latin1'), {
      hostAuthorities: [authority.certificate],
      nowMs,
      agentId: 'agt_1',
      isUsed: () => false,
    }),
  ),
  // The same once more behind the signature: the fuzzer's bytes are signed by the CA, so that what is read after it is reached.
  {
    name: 'identity.ssh-user-signed',
    seeds: [parseSshCertificate(userCertificate).signedBytes],
    run: (body) =>
      void verifySshUserCertificate(Buffer.concat([body, encodeSshString(signSsh(body))]), {
        ...sshCheck,
        clientAddress: '127.0.0.1',
      }),
  },
  {
    name: 'identity.tls-signed',
    seeds: [userTlsCertificate, proxyTlsCertificate].map(
      (bytes) => parseTlsCertificate(bytes).signedBytes,
    ),
    run: (body) =>
      void verifyTlsCertificate(
        der(tags.sequence, body, der(tags.sequence, oids.ed25519), derBits(signRaw(body, caPem))),
        { authorities: [authority.certificate], nowMs },
      ),
  },
  {
    name: 'identity.grant-signed',
    seeds: [Buffer.from(grant.split('.')[1] ?? '', 'base64url')],
    run(payload) {
      const signingInput = `${grant.split('.')[0] ?? ''}.${payload.toString('base64url')}`;
      const signature = signRaw(Buffer.from(signingInput), leafPem).toString('base64url');
      verifyGrant(`${signingInput}.${signature}`, {
        hostAuthorities: [authority.certificate],
        nowMs,
        agentId: 'agt_1',
        isUsed: () => false,
      });
    },
  },
  {
    name: 'identity.payload',
    seeds: [
      Buffer.from(encodeIdentity(identity)),
      Buffer.from('{"v":1,"user":"a","roles":[],"traits":{},"loginId":"l"}'),
    ],
    run: (input) => void parseIdentity(encodeIdentity(parseIdentity(input.toString('utf8')))),
  },
  {
    name: 'identity.part-name',
    seeds: ['service/tunnel/srv_1', 'agent/agt_1', 'user/alice@example.com', 'user/%C3%A9%20b'].map(
      (path) => Buffer.from(`gatehouse://test.example/${path}`),
    ),
    run(input) {
      const uri = input.toString('utf8');
      if (formatPartName(parsePartName(uri)) !== uri) throw new Error('a part has two names');
    },
  },
  {
    name: 'identity.ssh-public-key',
    seeds: [Buffer.from(formatSshPublicKey(leafBlob, 'alice'))],
    run: (input) =>
      void sshPublicKeyFromSpki(spkiFromSshPublicKey(parseSshPublicKey(input.toString('latin1')))),
  },
  {
    name: 'identity.pem',
    seeds: [
      Buffer.from(
        derToPem(userTlsCertificate, 'CERTIFICATE') +
          derToPem(authority.certificate, 'CERTIFICATE'),
      ),
    ],
    run: (input) => void pemToDer(input.toString('latin1')),
  },
];
