/** X.509 certificates of parts and people against the authorities trusted for them. One CA, one leaf: no chains between. */
import { createHash, verify } from 'node:crypto';

import { GatehouseError } from '@gatehouse/kit/errors';

import { identityFailure, parseIdentity, type Identity } from './identity.js';
import { readSpki } from './keys.js';
import { parsePartName, type PartName } from './part-name.js';
import { checkValidity, refuse, refuseCertificateAsCa } from './refusals.js';
import { authorityUnit, leafUnits, oids } from './x509-names.js';
import { parseTlsCertificate, readNameTexts, type ParsedCertificate } from './x509-parse.js';

export interface TlsCheck {
  /** CA certificates, DER. */
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  /** Slack at both ends. Default 0. */
  readonly toleranceMs?: number;
  /** Demands this extended key usage. */
  readonly usage?: 'client' | 'server';
  /** Further certificates that the peer sent. They never lend trust; they only name the reason of a refusal. */
  readonly chain?: readonly Buffer[];
}

export interface VerifiedTls {
  /** What the certificate is; undefined for one that speaks for no part of the cluster. Every check is on this. */
  readonly part: PartName | undefined;
  /** Always there when `part` is a user, never otherwise. */
  readonly identity?: Identity;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string;
  readonly spki: Buffer;
  readonly commonName: string | undefined;
  readonly dnsNames: readonly string[];
}

/**
 * Verifies a leaf certificate: CA and its signature, times, usage, name and payload. Locks and roles are the caller's.
 * @throws CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_REFUSED, IDENTITY_INVALID, each with a
 * {@link RefusalReason}
 */
export function verifyTlsCertificate(bytes: Buffer, check: TlsCheck): VerifiedTls {
  const certificate = parseTlsCertificate(bytes);
  checkSignature(certificate, check);
  if (certificate.isAuthority) throw refuse('it is the certificate of an authority', 'wrong_kind');
  checkValidity({ fromMs: certificate.notBeforeMs, untilMs: certificate.notAfterMs }, check);
  if (check.usage && !certificate.usages.includes(check.usage)) {
    throw refuse(`it is not for a ${check.usage}`, 'wrong_kind');
  }
  const part = readPart(certificate);
  const identity = readIdentity(certificate, part);
  return {
    part,
    ...(identity ? { identity } : {}),
    notBeforeMs: certificate.notBeforeMs,
    notAfterMs: certificate.notAfterMs,
    fingerprint: createHash('sha256').update(bytes).digest('hex'),
    spki: certificate.spki,
    commonName: readNameTexts(certificate.subject).commonNames[0],
    dnsNames: certificate.dnsNames,
  };
}

export interface PartCheck extends Omit<TlsCheck, 'authorities'> {
  /** `user_tls`, CA certificates: may speak for people only. */
  readonly userAuthorities: readonly Buffer[];
  /** `host_tls`, CA certificates: may speak for services and agents only. */
  readonly hostAuthorities: readonly Buffer[];
}

/**
 * As {@link verifyTlsCertificate}, and the kind of part must fit the CA that signed (CRT-08): a user of `host_tls`, a
 * service of `user_tls` and a certificate without a part are refused.
 * @throws as {@link verifyTlsCertificate}; reason `wrong_kind`
 */
export function verifyPartCertificate(
  bytes: Buffer,
  check: PartCheck,
): VerifiedTls & { readonly part: PartName } {
  const authorities = [...check.userAuthorities, ...check.hostAuthorities];
  const verified = verifyTlsCertificate(bytes, { ...check, authorities });
  const { part } = verified;
  if (!part) throw refuse('it is not the certificate of a part', 'wrong_kind');
  const ofPart = part.type === 'user' ? check.userAuthorities : check.hostAuthorities;
  const { issuer } = parseTlsCertificate(bytes);
  if (!ofPart.some((authority) => parseTlsCertificate(authority).subject.equals(issuer))) {
    throw refuse(`its CA does not speak for a ${part.type}`, 'wrong_kind');
  }
  return { ...verified, part };
}

/** `sha256:` + hex of the SHA-256 of a CA certificate's SPKI (D18). @throws CERTIFICATE_REFUSED */
export function caPin(caDer: Buffer): string {
  return `sha256:${createHash('sha256').update(parseTlsCertificate(caDer).spki).digest('hex')}`;
}

/** @throws CERTIFICATE_REFUSED: unknown_ca, certificate_as_ca or wrong_kind */
function checkSignature(certificate: ParsedCertificate, check: TlsCheck): void {
  const authorities = check.authorities.map(parseTlsCertificate);
  const named = authorities.filter((authority) => authority.subject.equals(certificate.issuer));
  if (named.length === 0) throw describeStranger(certificate, authorities, check.chain ?? []);
  const signers = named.filter((authority) => isSignedBy(certificate, authority.spki));
  if (signers.length === 0) throw refuse('its CA has not signed it', 'unknown_ca');
  if (!signers.every((authority) => authority.isAuthority)) throw refuseCertificateAsCa();
  const isInTime = signers.some(
    ({ notBeforeMs, notAfterMs }) => notBeforeMs <= check.nowMs && check.nowMs < notAfterMs,
  );
  if (!isInTime) throw refuse('its CA is not valid now', 'unknown_ca');
}

function isSignedBy(
  { signatureAlgorithm, signedBytes, signature }: ParsedCertificate,
  spki: Buffer,
): boolean {
  const key = readSpki(spki);
  if (signatureAlgorithm.equals(oids.ed25519)) {
    return key.asymmetricKeyType === 'ed25519' && verify(null, signedBytes, key, signature);
  }
  if (signatureAlgorithm.equals(oids.ecdsaWithSha256)) {
    return key.asymmetricKeyType === 'ec' && verify('sha256', signedBytes, key, signature);
  }
  return false;
}

/**
 * Why an issuer is not trusted. Refused it is in any case; the names in it only choose the word: someone's own
 * certificate as an issuer (CRT-02), another CA of a Gatehouse cluster (CRT-08), or a stranger.
 */
function describeStranger(
  certificate: ParsedCertificate,
  authorities: readonly ParsedCertificate[],
  chain: readonly Buffer[],
): GatehouseError {
  const issuer = readNameTexts(certificate.issuer);
  const isLeaf = (bytes: Buffer) => isNonAuthorityNamed(bytes, certificate.issuer);
  if (issuer.units.some((unit) => leafUnits.includes(unit)) || chain.some(isLeaf))
    return refuseCertificateAsCa();
  if (isOfAnotherKind(certificate.issuer, authorities)) {
    return refuse('it is signed by a CA for another kind', 'wrong_kind');
  }
  return refuse('its CA is not trusted', 'unknown_ca');
}

/** True for a CA of the same cluster as one of `authorities`, but of a kind that none of them has. */
function isOfAnotherKind(issuer: Buffer, authorities: readonly ParsedCertificate[]): boolean {
  const stranger = readAuthorityKind(issuer);
  if (!stranger) return false;
  const known = authorities.flatMap((authority) => readAuthorityKind(authority.subject) ?? []);
  const ofCluster = known.filter(({ cluster }) => cluster === stranger.cluster);
  return ofCluster.length > 0 && ofCluster.every(({ kind }) => kind !== stranger.kind);
}

/** Authorities are called `<cluster> <kind> …`. */
function readAuthorityKind(name: Buffer): { cluster: string; kind: string } | undefined {
  const { units, commonNames } = readNameTexts(name);
  const [, cluster, kind] =
    /^(\S+) (user_tls|host_tls|db_client)\b/.exec(commonNames[0] ?? '') ?? [];
  if (!units.includes(authorityUnit) || cluster === undefined || kind === undefined)
    return undefined;
  return { cluster, kind };
}

function isNonAuthorityNamed(bytes: Buffer, subject: Buffer): boolean {
  try {
    const certificate = parseTlsCertificate(bytes);
    return !certificate.isAuthority && certificate.subject.equals(subject);
  } catch (thrown) {
    if (thrown instanceof GatehouseError) return false;
    throw thrown;
  }
}

/** One URI at most, and what begins as a part's name must be one. */
function readPart({ uris }: ParsedCertificate): PartName | undefined {
  const [uri, ...others] = uris;
  if (others.length > 0) throw refuse('it has several names', 'wrong_kind');
  if (uri === undefined || !uri.toLowerCase().startsWith('gatehouse:')) return undefined;
  return parsePartName(uri);
}

/** A user has a payload of the same user; nobody else has one. */
function readIdentity(
  { identityJson }: ParsedCertificate,
  part: PartName | undefined,
): Identity | undefined {
  if (part?.type !== 'user') {
    if (identityJson !== undefined) throw identityFailure('is not for this kind of certificate');
    return undefined;
  }
  if (identityJson === undefined) throw identityFailure('is missing');
  const identity = parseIdentity(identityJson);
  if (identity.user !== part.name) throw refuse('its name is not its user', 'principal');
  return identity;
}
