/** The form of X.509 certificates: what a CA of ours would never sign, signed by one of ours. */
import { beforeAll, describe, expect, it } from 'vitest';

import { refusal } from '../test/tools.js';
import { der, derBits, derInteger, derOid, derText, derTime, tags } from './der.js';
import { generateKeyPair } from './keys.js';
import { createTestTlsAuthority, type TestTlsAuthority } from './testing.js';
import { oids } from './x509-names.js';
import { parseTlsCertificate } from './x509-parse.js';
import { verifyTlsCertificate } from './x509-verify.js';

let authority: TestTlsAuthority;

beforeAll(async () => {
  authority = await createTestTlsAuthority('test host_tls', 'ed25519');
});

const sequence = (...contents: readonly Buffer[]) => der(tags.sequence, ...contents);
const ed25519 = sequence(oids.ed25519);
const yes = der(tags.boolean, Buffer.of(0xff));

function extension(oid: Buffer, value: Buffer, critical: Buffer = Buffer.alloc(0)): Buffer {
  return sequence(oid, critical, der(tags.octetString, value));
}

const uri = (text: string) => der(0x86, Buffer.from(text));
const part = extension(oids.subjectAltName, sequence(uri('gatehouse://test/agent/agt_1')));

interface Shape {
  readonly version?: Buffer;
  readonly innerAlgorithm?: Buffer;
  readonly outerAlgorithm?: Buffer;
  readonly extensions?: readonly Buffer[];
  readonly afterExtensions?: Buffer;
  readonly signatureBits?: (signature: Buffer) => Buffer;
  readonly notAfter?: Buffer;
}

async function build(shape: Shape = {}): Promise<Buffer> {
  const { subject } = parseTlsCertificate(authority.certificate);
  const toSign = sequence(
    shape.version ?? der(0xa0, derInteger(Buffer.of(2))),
    derInteger(Buffer.of(1)),
    shape.innerAlgorithm ?? ed25519,
    subject,
    sequence(derTime(Date.now() - 1000), shape.notAfter ?? derTime(Date.now() + 60_000)),
    sequence(),
    generateKeyPair('ed25519').spki,
    der(0xa3, sequence(...(shape.extensions ?? [part]))),
    shape.afterExtensions ?? Buffer.alloc(0),
  );
  const signature = await authority.signer.sign(toSign);
  return sequence(
    toSign,
    shape.outerAlgorithm ?? ed25519,
    (shape.signatureBits ?? derBits)(signature),
  );
}

function verify(bytes: Buffer) {
  return verifyTlsCertificate(bytes, { authorities: [authority.certificate], nowMs: Date.now() });
}

async function refused(shape: Shape, reason = 'malformed'): Promise<void> {
  const bytes = await build(shape);
  expect(refusal(() => verify(bytes))).toMatchObject({ code: 'CERTIFICATE_REFUSED', reason });
}

describe('a certificate signed by a CA of ours', () => {
  it('is accepted in its right form', async () => {
    expect(verify(await build()).part).toEqual({ cluster: 'test', type: 'agent', id: 'agt_1' });
  });

  it('has no bytes after its end and none between its parts', async () => {
    const bytes = await build();
    expect(refusal(() => verify(Buffer.concat([bytes, Buffer.of(0)])))).toMatchObject({
      reason: 'malformed',
    });
    await refused({ afterExtensions: der(0xa4) });
  });

  it('has one signature algorithm, inside and outside', async () => {
    await refused({ innerAlgorithm: sequence(oids.ecdsaWithSha256) });
    await refused({ outerAlgorithm: sequence(oids.ed25519, der(0x05)) });
  });

  it('has whole bytes for a signature', async () => {
    await refused({ signatureBits: (signature) => der(tags.bitString, Buffer.of(1), signature) });
    await refused(
      { signatureBits: (signature) => derBits(Buffer.concat([signature, Buffer.of(0)])) },
      'unknown_ca',
    );
    await refused({ signatureBits: () => derBits(Buffer.alloc(0)) }, 'unknown_ca');
  });

  it('is of version 3', async () => {
    await refused({ version: der(0xa0, derInteger(Buffer.of(1))) });
    await refused({ version: der(0xa0, derInteger(Buffer.of(3))) });
  });

  // Readers that take the first and the last would see two parts.
  it('has each extension once and one name', async () => {
    const proxy = 'gatehouse://test/service/proxy/srv_1';
    await refused({ extensions: [part, extension(oids.subjectAltName, sequence(uri(proxy)))] });
    const both = sequence(uri('gatehouse://test/agent/agt_1'), uri(proxy));
    await refused({ extensions: [extension(oids.subjectAltName, both)] }, 'wrong_kind');
    const unknown = extension(derOid('1.2.3'), Buffer.alloc(0));
    await refused({ extensions: [part, unknown, unknown] });
    expect(verify(await build({ extensions: [part, unknown] })).part?.type).toBe('agent');
  });

  it('has no critical extension that is not known, and no odd truth value', async () => {
    await refused({ extensions: [part, extension(derOid('1.2.3'), Buffer.alloc(0), yes)] });
    await refused({
      extensions: [part, extension(oids.authorityKeyIdentifier, Buffer.alloc(0), yes)],
    });
    await refused({
      extensions: [
        part,
        extension(derOid('1.2.3'), Buffer.alloc(0), der(tags.boolean, Buffer.of(0))),
      ],
    });
    await refused({
      extensions: [
        part,
        extension(derOid('1.2.3'), Buffer.alloc(0), der(tags.boolean, Buffer.of(1))),
      ],
    });
  });

  it('is not a CA', async () => {
    await refused(
      { extensions: [part, extension(oids.basicConstraints, sequence(yes))] },
      'wrong_kind',
    );
    expect(
      verify(await build({ extensions: [part, extension(oids.basicConstraints, sequence())] })).part
        ?.type,
    ).toBe('agent');
  });

  it('has a name in ASCII that is a part’s', async () => {
    for (const [name, reason] of [
      ['gatehouse://test/agent/agt_1\0', 'malformed'],
      ['gatehouse://test/agent/agt_é', 'malformed'],
      ['gatehouse://test/root', 'wrong_kind'],
      ['GateHouse://test/agent/agt_1', 'wrong_kind'],
    ] as const) {
      const bytes = await build({
        extensions: [extension(oids.subjectAltName, sequence(uri(name)))],
      });
      expect(refusal(() => verify(bytes))).toMatchObject({ reason });
    }
  });

  it('has a payload as one UTF-8 text', async () => {
    for (const value of [
      der(tags.utf8String, Buffer.of(0xff)),
      der(tags.octetString, Buffer.from('{}')),
      Buffer.concat([derText('{}'), Buffer.of(0)]),
      Buffer.from('{}'),
    ]) {
      await refused({ extensions: [part, extension(oids.identity, value)] });
    }
  });

  it('has times to the second', async () => {
    await refused({ notAfter: der(tags.generalizedTime, Buffer.from('20990101000000.5Z')) });
    await refused({ notAfter: der(tags.utcTime, Buffer.from('9901010000Z')) });
    await refused({ notAfter: derInteger(Buffer.of(1)) });
  });

  it('has bounds: size, extensions, names', async () => {
    expect(refusal(() => verify(Buffer.alloc(128 * 1024 + 1)))).toMatchObject({
      reason: 'malformed',
    });
    const many = Array.from({ length: 40 }, (_, index) =>
      extension(derOid(`1.2.${index}`), Buffer.alloc(0)),
    );
    await refused({ extensions: [part, ...many] });
    const names = Array.from({ length: 300 }, (_, index) =>
      der(0x82, Buffer.from(`host-${index}.test`)),
    );
    await refused({ extensions: [extension(oids.subjectAltName, sequence(...names))] });
  });
});
