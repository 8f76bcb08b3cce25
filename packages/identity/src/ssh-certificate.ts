/**
 * OpenSSH certificates (PROTOCOL.certkeys of OpenSSH): issue and parse. The layout:
 *   string type, string nonce, the key's own fields, uint64 serial, uint32 kind, string key id, string principals,
 *   uint64 valid after, uint64 valid before (s), string critical options, string extensions, string reserved,
 *   string signature key, string signature over everything before it.
 */
import { randomBytes } from 'node:crypto';

import { encodeIdentity, parseIdentity, type Identity } from './identity.js';
import { readSpki, type Signer } from './keys.js';
import { malformed, refuseCertificateAsCa } from './refusals.js';
import {
  encodeKeyObject,
  parseKeyAlgorithm,
  readKeyFields,
  readSshPublicKey,
  type SshKeyAlgorithm,
} from './ssh-keys.js';
import { encodeSshSignature } from './ssh-signature.js';
import {
  createSshReader,
  encodeSshString,
  encodeUint32,
  encodeUint64,
  type SshReader,
} from './ssh-wire.js';

/** The extension that carries a person's identity payload as JSON. */
export const identityExtension = 'identity-v1@gatehouse';

export interface SshCertificate {
  /** For example `ssh-ed25519-cert-v01@openssh.com`. */
  readonly algorithm: string;
  readonly type: 'user' | 'host';
  readonly serial: bigint;
  readonly keyId: string;
  readonly principals: readonly string[];
  /** ms since the epoch; Infinity means never. */
  readonly validAfterMs: number;
  /** ms since the epoch; Infinity means for ever. */
  readonly validBeforeMs: number;
  /** Name → value; a flag's value is ''. */
  readonly criticalOptions: ReadonlyMap<string, string>;
  readonly extensions: ReadonlyMap<string, string>;
  /** The certified key as a plain wire blob. */
  readonly publicKey: Buffer;
  /** The CA's key, wire blob. */
  readonly signatureKey: Buffer;
  /** Algorithm and signature, as on the wire. */
  readonly signature: Buffer;
  /** The bytes that the CA signed. */
  readonly signedBytes: Buffer;
  /**
   * The identity payload, read when asked for; undefined where there is none. It is what the certificate says, whoever
   * signed it. @throws IDENTITY_INVALID for a broken one
   */
  readonly identity: Identity | undefined;
}

export interface SshCertificateRequest {
  readonly type: 'user' | 'host';
  /** Plain wire blob: Ed25519, P-256 or RSA. */
  readonly publicKey: Buffer;
  readonly serial: bigint;
  readonly keyId: string;
  /** At least one: OpenSSH has read none as "anybody". */
  readonly principals: readonly string[];
  /** Rounded down to the second. */
  readonly validAfterMs: number;
  /** Rounded down to the second; Infinity means for ever. */
  readonly validBeforeMs: number;
  readonly criticalOptions?: Readonly<Record<string, string>>;
  /** `{'permit-pty': ''}`: flags have the value ''. */
  readonly extensions?: Readonly<Record<string, string>>;
  /** Becomes the extension `identity-v1@gatehouse`. */
  readonly identity?: Identity;
  readonly signer: Signer;
  /** Default: the system's. */
  readonly random?: (bytes: number) => Buffer;
}

const certificateSuffix = '-cert-v01@openssh.com';
const maxCertificateBytes = 256 * 1024;
const maxNonceBytes = 256;
const maxKeyBytes = 4 * 1024;
const maxNameBytes = 1024;
const maxPrincipals = 256;
const maxOptions = 64;
const forever = 2n ** 64n - 1n;
/** The largest time a Date can hold, in seconds. */
const maxSeconds = 8_640_000_000_000n;

/** A signed certificate, wire blob. @throws KEY_INVALID, IDENTITY_INVALID, CERTIFICATE_REFUSED when it would not be readable */
export async function issueSshCertificate(request: SshCertificateRequest): Promise<Buffer> {
  const caKey = readSpki(request.signer.publicKeySpki);
  const body = encodeBody(request, encodeKeyObject(caKey));
  const signature = await request.signer.sign(body);
  const certificate = Buffer.concat([body, encodeSshString(encodeSshSignature(caKey, signature))]);
  parseSshCertificate(certificate);
  return certificate;
}

function encodeBody(request: SshCertificateRequest, caBlob: Buffer): Buffer {
  if (request.principals.length === 0) throw malformed('it names no principal');
  const plain = createSshReader(request.publicKey, malformed);
  readSshPublicKey(request.publicKey);
  const algorithm = plain.text(64);
  const extensions = { ...request.extensions };
  if (request.identity) extensions[identityExtension] = encodeIdentity(request.identity);
  return Buffer.concat([
    encodeSshString(`${algorithm}${certificateSuffix}`),
    encodeSshString((request.random ?? randomBytes)(32)),
    request.publicKey.subarray(plain.offset()),
    encodeUint64(request.serial),
    encodeUint32(request.type === 'user' ? 1 : 2),
    encodeSshString(request.keyId),
    encodeSshString(Buffer.concat(request.principals.map(encodeSshString))),
    encodeUint64(toSeconds(request.validAfterMs)),
    encodeUint64(toSeconds(request.validBeforeMs)),
    encodeSshString(encodeOptions(request.criticalOptions ?? {})),
    encodeSshString(encodeOptions(extensions)),
    encodeSshString(''),
    encodeSshString(caBlob),
  ]);
}

function toSeconds(ms: number): bigint {
  if (ms === Number.POSITIVE_INFINITY) return forever;
  if (!Number.isFinite(ms) || ms < 0) throw malformed('its times are not times');
  return BigInt(Math.floor(ms / 1000));
}

/** Sorted by name; a value is a string inside the data's string, a flag has empty data. */
function encodeOptions(options: Readonly<Record<string, string>>): Buffer {
  const sorted = Object.entries(options).toSorted(([a], [b]) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
  return Buffer.concat(
    sorted.flatMap(([name, value]) => [
      encodeSshString(name),
      encodeSshString(value === '' ? '' : encodeSshString(value)),
    ]),
  );
}

/**
 * Reads a certificate strictly (at most 256 KiB, nothing left over, options sorted and unique). Checks its form only:
 * no signature, no time, no trust.
 * @throws CERTIFICATE_REFUSED, reason malformed or certificate_as_ca
 */
export function parseSshCertificate(blob: Buffer): SshCertificate {
  if (blob.length > maxCertificateBytes) throw malformed('it is too long');
  const reader = createSshReader(blob, malformed);
  const { algorithm, keyAlgorithm } = readAlgorithm(reader);
  reader.string(maxNonceBytes);
  const start = reader.offset();
  readKeyFields(reader, keyAlgorithm, malformed);
  const publicKey = Buffer.concat([
    encodeSshString(keyAlgorithm),
    blob.subarray(start, reader.offset()),
  ]);
  const fields = readFields(reader);
  const signatureKey = readSignatureKey(reader);
  const signedBytes = blob.subarray(0, reader.offset());
  const signature = reader.string(maxKeyBytes);
  reader.end();
  return {
    algorithm,
    publicKey,
    ...fields,
    signatureKey,
    signature,
    signedBytes,
    get identity() {
      const json = fields.extensions.get(identityExtension);
      return json === undefined ? undefined : parseIdentity(json);
    },
  };
}

function readAlgorithm(reader: SshReader): { algorithm: string; keyAlgorithm: SshKeyAlgorithm } {
  const algorithm = reader.text(64);
  if (!algorithm.endsWith(certificateSuffix)) throw malformed('it is no certificate');
  const keyAlgorithm = parseKeyAlgorithm(algorithm.slice(0, -certificateSuffix.length), malformed);
  return { algorithm, keyAlgorithm };
}

function readFields(reader: SshReader) {
  const serial = reader.uint64();
  const type = readType(reader.uint32());
  const keyId = reader.text(maxNameBytes);
  const principals = readPrincipals(reader.string(maxPrincipals * maxNameBytes));
  const validAfterMs = toMs(reader.uint64());
  const validBeforeMs = toMs(reader.uint64());
  const criticalOptions = readOptions(reader.string(maxCertificateBytes));
  const extensions = readOptions(reader.string(maxCertificateBytes));
  reader.string(0);
  return {
    serial,
    type,
    keyId,
    principals,
    validAfterMs,
    validBeforeMs,
    criticalOptions,
    extensions,
  };
}

function readType(type: number): 'user' | 'host' {
  if (type === 1) return 'user';
  if (type === 2) return 'host';
  throw malformed('it is neither a user nor a host certificate');
}

function toMs(seconds: bigint): number {
  return seconds > maxSeconds ? Number.POSITIVE_INFINITY : Number(seconds) * 1000;
}

function readPrincipals(bytes: Buffer): string[] {
  const reader = createSshReader(bytes, malformed);
  const principals: string[] = [];
  while (!reader.isAtEnd()) {
    if (principals.length === maxPrincipals) throw malformed('it has too many principals');
    principals.push(reader.text(maxNameBytes));
  }
  return principals;
}

function readOptions(bytes: Buffer): Map<string, string> {
  const reader = createSshReader(bytes, malformed);
  const options = new Map<string, string>();
  let previous: Buffer | undefined;
  while (!reader.isAtEnd()) {
    if (options.size === maxOptions) throw malformed('it has too many options');
    const name = reader.text(maxNameBytes);
    const nameBytes = Buffer.from(name, 'utf8');
    if (previous && Buffer.compare(previous, nameBytes) >= 0)
      throw malformed('its options are not sorted');
    previous = nameBytes;
    options.set(name, readOptionValue(reader.string(maxCertificateBytes)));
  }
  return options;
}

function readOptionValue(data: Buffer): string {
  if (data.length === 0) return '';
  const reader = createSshReader(data, malformed);
  const value = reader.text(maxCertificateBytes);
  reader.end();
  return value;
}

/** A certificate in place of the CA's key would make its holder a CA (CRT-02). */
function readSignatureKey(reader: SshReader): Buffer {
  const signatureKey = reader.string(maxCertificateBytes);
  const algorithm = createSshReader(signatureKey, malformed).text(64);
  if (algorithm.endsWith(certificateSuffix)) throw refuseCertificateAsCa();
  if (signatureKey.length > maxKeyBytes) throw malformed('its signature key is too long');
  return signatureKey;
}
