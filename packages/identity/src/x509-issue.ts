/** X.509 certificates (RFC 5280): authorities and leaves. */
import { createHash, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';

import { der, derBits, derInteger, derText, derTime, tags } from './der.js';
import { encodeIdentity, type Identity } from './identity.js';
import { createSigner, keyTypeOf, readSpki, signingHash, type Signer } from './keys.js';
import { formatPartName, type PartName } from './part-name.js';
import { malformed } from './refusals.js';
import { authorityUnit, oids } from './x509-names.js';
import { parseTlsCertificate } from './x509-parse.js';

const dayMs = 86_400_000;
/** Authorities begin early, so that a clock that is a little behind accepts them (D34). */
const authorityLeadMs = 120_000;
const maxCommonName = 64;

type Random = (bytes: number) => Buffer;

export interface TlsAuthorityRequest {
  /** `<cluster> <kind>`, for example `home user_tls`, with more words after it where wanted. */
  readonly commonName: string;
  readonly privateKeyPem: string;
  readonly nowMs: number;
  readonly days: number;
  /** Default: the system's. */
  readonly random?: Random;
}

/**
 * A self-signed CA certificate (DER) with path length 0. Its subject holds a digest of the key, so that two authorities
 * of one kind never have the same name during a rotation.
 * @throws KEY_INVALID, CERTIFICATE_REFUSED when the name is not usable
 */
export async function createTlsAuthority(request: TlsAuthorityRequest): Promise<Buffer> {
  const signer = createSigner(request.privateKeyPem);
  const keyId = keyIdentifier(signer.publicKeySpki);
  const subject = derName([
    [oids.commonName, request.commonName],
    [oids.organizationalUnit, authorityUnit],
    [oids.serialNumber, keyId.subarray(0, 8).toString('hex')],
  ]);
  return signCertificate(signer, {
    issuer: subject,
    subject,
    spki: signer.publicKeySpki,
    notBeforeMs: request.nowMs - authorityLeadMs,
    notAfterMs: request.nowMs + request.days * dayMs,
    random: request.random ?? randomBytes,
    extensions: [
      extension(
        oids.basicConstraints,
        { critical: true },
        derSequence(derTrue, derInteger(Buffer.of(0))),
      ),
      extension(oids.keyUsage, { critical: true }, der(tags.bitString, Buffer.of(1, 0b0000_0110))),
      extension(oids.subjectKeyIdentifier, {}, der(tags.octetString, keyId)),
      extension(oids.authorityKeyIdentifier, {}, derSequence(der(0x80, keyId))),
    ],
  });
}

/** A CA certificate and what signs for it. */
export interface TlsAuthority {
  readonly certificate: Buffer;
  readonly signer: Signer;
}

export interface TlsCertificateRequest {
  readonly authority: TlsAuthority;
  /** Ed25519, P-256, or RSA from 2048 bits. */
  readonly publicKeySpki: Buffer;
  /** What the certificate is (URI SAN). Without one it speaks for no part of the cluster: databases, web names. */
  readonly part?: PartName;
  /** Subject CN. Default: the part's name or the first DNS name. */
  readonly commonName?: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** Needed for a user, refused for every other part. */
  readonly identity?: Identity;
  /** Rounded down to the second, as `notAfterMs`. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly usage: 'client' | 'server' | 'both';
  /** Default: the system's. */
  readonly random?: Random;
}

/** A leaf certificate (DER). @throws KEY_INVALID, PART_NAME_INVALID, IDENTITY_INVALID, CERTIFICATE_REFUSED for names that are none */
export async function issueTlsCertificate(request: TlsCertificateRequest): Promise<Buffer> {
  const { identity } = request;
  checkIdentity(request);
  return issueUnchecked(
    identity ? { ...request, identityJson: encodeIdentity(identity) } : request,
  );
}

/** A request whose payload is a text, right or wrong. */
export interface LeafRequest extends Omit<TlsCertificateRequest, 'identity'> {
  readonly identityJson?: string;
}

/** As {@link issueTlsCertificate} with any payload and any issuer, so that tests can make what must be refused. */
export async function issueUnchecked(request: LeafRequest): Promise<Buffer> {
  const authority = parseTlsCertificate(request.authority.certificate);
  const { signer } = request.authority;
  if (!authority.spki.equals(signer.publicKeySpki)) throw malformed('its issuer has another key');
  keyTypeOf(readSpki(request.publicKeySpki));
  const keyId = keyIdentifier(signer.publicKeySpki);
  const payload = request.identityJson;
  return signCertificate(signer, {
    issuer: authority.subject,
    subject: derName(subjectOf(request)),
    spki: request.publicKeySpki,
    notBeforeMs: request.notBeforeMs,
    notAfterMs: request.notAfterMs,
    random: request.random ?? randomBytes,
    extensions: [
      ...leafExtensions(request, keyId),
      ...(payload === undefined ? [] : [extension(oids.identity, {}, derText(payload))]),
    ],
  });
}

function checkIdentity({ authority, part, identity }: TlsCertificateRequest): void {
  if (!parseTlsCertificate(authority.certificate).isAuthority)
    throw malformed('its issuer is no authority');
  const user = part?.type === 'user' ? part.name : undefined;
  if (user !== identity?.user) throw malformed('name and identity payload differ');
}

function subjectOf(request: LeafRequest): [Buffer, string][] {
  const { part } = request;
  const commonName = request.commonName ?? (part ? labelOf(part) : request.dnsNames?.[0]);
  if (commonName === undefined || commonName === '') throw malformed('it has no name');
  if (!part) return [[oids.commonName, commonName]];
  return [
    [oids.commonName, Array.from(commonName).slice(0, maxCommonName).join('')],
    [oids.organizationalUnit, part.type],
    [oids.organization, part.cluster],
  ];
}

function labelOf(part: PartName): string {
  return part.type === 'user' ? part.name : part.id;
}

function leafExtensions(request: LeafRequest, authorityKeyId: Buffer): Buffer[] {
  const usages = [
    ...(request.usage === 'server' ? [] : [oids.clientAuth]),
    ...(request.usage === 'client' ? [] : [oids.serverAuth]),
  ];
  const names = alternativeNames(request);
  return [
    extension(oids.basicConstraints, { critical: true }, derSequence()),
    extension(oids.keyUsage, { critical: true }, der(tags.bitString, Buffer.of(7, 0b1000_0000))),
    extension(oids.extendedKeyUsage, {}, derSequence(...usages)),
    extension(
      oids.subjectKeyIdentifier,
      {},
      der(tags.octetString, keyIdentifier(request.publicKeySpki)),
    ),
    extension(oids.authorityKeyIdentifier, {}, derSequence(der(0x80, authorityKeyId))),
    ...(names.length === 0 ? [] : [extension(oids.subjectAltName, {}, derSequence(...names))]),
  ];
}

function alternativeNames({ part, dnsNames = [], ipAddresses = [] }: LeafRequest): Buffer[] {
  return [
    ...(part ? [der(0x86, Buffer.from(formatPartName(part), 'latin1'))] : []),
    ...dnsNames.map((name) => der(0x82, encodeDnsName(name))),
    ...ipAddresses.map((address) => der(0x87, encodeIp(address))),
  ];
}

function encodeDnsName(name: string): Buffer {
  const isName =
    name.length <= 253 && /^(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$/.test(name);
  if (!isName) throw malformed('a DNS name is not one');
  return Buffer.from(name, 'latin1');
}

function encodeIp(address: string): Buffer {
  const version = isIP(address);
  if (version === 4) return Buffer.from(address.split('.').map(Number));
  if (version !== 6 || address.includes('%')) throw malformed('an IP address is not one');
  const [head = '', tail] = normalizeIpv6(address).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const words = tail === undefined ? left : [...left, ...zeros, ...right];
  return Buffer.from(words.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

/** The form without a dotted tail (`::ffff:127.0.0.1`). */
function normalizeIpv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

interface CertificateBody {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly random: Random;
  readonly extensions: readonly Buffer[];
}

async function signCertificate(signer: Signer, body: CertificateBody): Promise<Buffer> {
  if (!(body.notBeforeMs < body.notAfterMs)) throw malformed('it ends before it begins');
  const isEd25519 = signingHash(readSpki(signer.publicKeySpki)) === null;
  const algorithm = derSequence(isEd25519 ? oids.ed25519 : oids.ecdsaWithSha256);
  const toSign = derSequence(
    der(0xa0, derInteger(Buffer.of(2))),
    derInteger(positiveSerial(body.random)),
    algorithm,
    body.issuer,
    derSequence(derTime(body.notBeforeMs), derTime(body.notAfterMs)),
    body.subject,
    body.spki,
    der(0xa3, derSequence(...body.extensions)),
  );
  const certificate = derSequence(toSign, algorithm, derBits(await signer.sign(toSign)));
  parseTlsCertificate(certificate);
  return certificate;
}

/** 16 bytes, positive and not 0 (RFC 5280 §4.1.2.2). */
function positiveSerial(random: Random): Buffer {
  const serial = Buffer.from(random(16));
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

/** SHA-256 of the key itself, cut to 20 bytes (RFC 7093 §2, method 1). */
function keyIdentifier(spki: Buffer): Buffer {
  return createHash('sha256').update(spki).digest().subarray(0, 20);
}

function derSequence(...contents: readonly Uint8Array[]): Buffer {
  return der(tags.sequence, ...contents);
}

const derTrue = der(tags.boolean, Buffer.of(0xff));

function extension(oid: Buffer, options: { readonly critical?: boolean }, value: Buffer): Buffer {
  return derSequence(oid, ...(options.critical ? [derTrue] : []), der(tags.octetString, value));
}

function derName(attributes: readonly (readonly [Buffer, string])[]): Buffer {
  return derSequence(
    ...attributes.map(([oid, text]) => der(tags.set, derSequence(oid, derText(text)))),
  );
}
