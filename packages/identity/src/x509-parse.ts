/**
 * Reads X.509 certificates (RFC 5280 §4.1) strictly: DER only, no extension twice, and none that is critical and unknown. Checks form only: no signature, no time, no trust.
 */
import { isUtf8 } from 'node:buffer';

import { createDerReader, readDerTime, tags, type DerElement, type DerReader } from './der.js';
import { malformed } from './refusals.js';
import { oids } from './x509-names.js';

export interface ParsedCertificate {
  /** The bytes that the issuer signed. */
  readonly signedBytes: Buffer;
  /** OBJECT IDENTIFIER of the signature's algorithm, DER. */
  readonly signatureAlgorithm: Buffer;
  readonly signature: Buffer;
  /** Names as DER, for comparison. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Buffer;
  readonly isAuthority: boolean;
  readonly usages: readonly ('client' | 'server')[];
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** The identity payload as it stands there. */
  readonly identityJson: string | undefined;
}

const maxCertificateBytes = 128 * 1024;
const maxExtensions = 32;
const maxNames = 256;
const maxAttributes = 32;

/** @throws CERTIFICATE_REFUSED, reason malformed */
export function parseTlsCertificate(bytes: Buffer): ParsedCertificate {
  if (bytes.length > maxCertificateBytes) throw malformed('it is too long');
  const outer = createDerReader(bytes, malformed);
  const certificate = children(outer.next(tags.sequence));
  outer.end();
  const toSign = certificate.next(tags.sequence);
  const algorithm = certificate.next(tags.sequence);
  const signature = readBits(certificate.next(tags.bitString));
  certificate.end();
  return {
    signedBytes: toSign.raw,
    signatureAlgorithm: readAlgorithm(algorithm),
    signature,
    ...readBody(toSign, algorithm),
  };
}

function readBody(toSign: DerElement, algorithm: DerElement) {
  const body = children(toSign);
  readVersion(body);
  body.next(tags.integer);
  if (!body.next(tags.sequence).raw.equals(algorithm.raw)) throw malformed('its algorithms differ');
  const issuer = body.next(tags.sequence).raw;
  const validity = children(body.next(tags.sequence));
  const notBeforeMs = readDerTime(validity.next(), malformed);
  const notAfterMs = readDerTime(validity.next(), malformed);
  validity.end();
  const subject = body.next(tags.sequence).raw;
  const spki = body.next(tags.sequence).raw;
  const extensions = readExtensions(body.optional(0xa3));
  body.end();
  return { issuer, subject, notBeforeMs, notAfterMs, spki, ...extensions };
}

/** Strangers still make certificates of version 1, without extensions: read, so that the refusal names the true reason. */
function readVersion(body: DerReader): void {
  const wrapper = body.optional(0xa0);
  if (!wrapper) return;
  const version = children(wrapper).next(tags.integer).content;
  if (version.length !== 1 || version[0] !== 2) throw malformed('it is not of version 1 or 3');
}

/** Ed25519 and ECDSA have no parameters (RFC 8410 §3, RFC 5758 §3.2); what has any is not compared further. */
function readAlgorithm(element: DerElement): Buffer {
  return children(element).next(tags.oid).raw;
}

function readBits(element: DerElement): Buffer {
  if (element.content[0] !== 0) throw malformed('a bit string has odd bits');
  return element.content.subarray(1);
}

interface Extensions {
  isAuthority: boolean;
  usages: ('client' | 'server')[];
  uris: string[];
  dnsNames: string[];
  identityJson: string | undefined;
}

function readExtensions(element: DerElement | undefined): Extensions {
  const found: Extensions = {
    isAuthority: false,
    usages: [],
    uris: [],
    dnsNames: [],
    identityJson: undefined,
  };
  if (!element) return found;
  const list = only(element.content, tags.sequence);
  const seen = new Set<string>();
  while (!list.isAtEnd()) {
    const entry = children(list.next(tags.sequence));
    const oid = entry.next(tags.oid).raw.toString('hex');
    const isCritical = readCritical(entry);
    const value = entry.next(tags.octetString).content;
    entry.end();
    if (seen.has(oid) || seen.size === maxExtensions)
      throw malformed('it has an extension twice or too many');
    seen.add(oid);
    const read = extensionReaders.get(oid);
    if (read) read(value, found);
    else if (isCritical && !ignoredExtensions.has(oid))
      throw malformed('it has a critical extension that is not known');
  }
  return found;
}

/** DER leaves FALSE out. */
function readCritical(entry: DerReader): boolean {
  const flag = entry.optional(tags.boolean);
  if (flag && (flag.content.length !== 1 || flag.content[0] !== 0xff))
    throw malformed('a truth value is not one');
  return flag !== undefined;
}

const ignoredExtensions: ReadonlySet<string> = new Set([oids.keyUsage.toString('hex')]);

const extensionReaders: ReadonlyMap<string, (value: Buffer, found: Extensions) => void> = new Map([
  [oids.basicConstraints.toString('hex'), readBasicConstraints],
  [oids.extendedKeyUsage.toString('hex'), readUsages],
  [oids.subjectAltName.toString('hex'), readAlternativeNames],
  [oids.identity.toString('hex'), readIdentity],
]);

function readBasicConstraints(value: Buffer, found: Extensions): void {
  const reader = only(value, tags.sequence);
  found.isAuthority = readCritical(reader);
  reader.optional(tags.integer);
  reader.end();
}

function readUsages(value: Buffer, found: Extensions): void {
  const reader = only(value, tags.sequence);
  for (let count = 0; !reader.isAtEnd() && count < maxNames; count += 1) {
    const oid = reader.next(tags.oid).raw;
    if (oid.equals(oids.clientAuth)) found.usages.push('client');
    if (oid.equals(oids.serverAuth)) found.usages.push('server');
  }
  reader.end();
}

function readAlternativeNames(value: Buffer, found: Extensions): void {
  const reader = only(value, tags.sequence);
  for (let count = 0; !reader.isAtEnd() && count < maxNames; count += 1) {
    const { tag, content } = reader.next();
    if (tag === 0x86) found.uris.push(readAscii(content));
    if (tag === 0x82) found.dnsNames.push(readAscii(content));
  }
  reader.end();
}

function readIdentity(value: Buffer, found: Extensions): void {
  const reader = createDerReader(value, malformed);
  const { content } = reader.next(tags.utf8String);
  reader.end();
  if (!isUtf8(content)) throw malformed('a text is not UTF-8');
  found.identityJson = content.toString('utf8');
}

function readAscii(content: Buffer): string {
  if (content.some((byte) => byte < 0x21 || byte > 0x7e)) throw malformed('a name is not ASCII');
  return content.toString('latin1');
}

/** Values of the common names and organizational units of a name (DER), for words and reasons only. */
export function readNameTexts(name: Buffer): { commonNames: string[]; units: string[] } {
  const texts: { commonNames: string[]; units: string[] } = { commonNames: [], units: [] };
  const reader = only(name, tags.sequence);
  for (let count = 0; !reader.isAtEnd() && count < maxAttributes; count += 1) {
    const attribute = children(children(reader.next(tags.set)).next(tags.sequence));
    const oid = attribute.next(tags.oid).raw;
    const value = attribute.next();
    if (oid.equals(oids.commonName)) texts.commonNames.push(value.content.toString('utf8'));
    if (oid.equals(oids.organizationalUnit)) texts.units.push(value.content.toString('utf8'));
  }
  return texts;
}

function children(element: DerElement): DerReader {
  return createDerReader(element.content, malformed);
}

/** The inside of a value that is one element. */
function only(bytes: Buffer, tag: number): DerReader {
  const outer = createDerReader(bytes, malformed);
  const element = outer.next(tag);
  outer.end();
  return children(element);
}
