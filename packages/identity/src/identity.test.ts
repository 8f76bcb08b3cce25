import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { refusal } from '../test/tools.js';
import { effectiveRoles, encodeIdentity, parseIdentity, type Identity } from './identity.js';

const minimal = {
  v: 1,
  user: 'alice',
  roles: ['dev'],
  traits: { logins: ['alice'] },
  loginId: 'lgn_1',
} as const;

const full: Identity = {
  ...minimal,
  mfaAt: '2026-01-01T10:00:00.123+02:00',
  sourceIp: '::1',
  requests: ['req_1'],
  route: { kind: 'database', name: 'pg-1', user: 'reader', database: 'app' },
};

function refused(json: string): void {
  expect(refusal(() => parseIdentity(json))).toMatchObject({
    code: 'IDENTITY_INVALID',
    reason: 'identity',
  });
}

describe('parseIdentity', () => {
  it('reads what encodeIdentity writes', () => {
    expect(parseIdentity(encodeIdentity(minimal))).toEqual(minimal);
    expect(parseIdentity(encodeIdentity(full))).toEqual(full);
  });

  it('lets optional keys of later versions through and drops them', () => {
    const later = {
      ...full,
      deviceTrust: { level: 3 },
      route: { kind: 'database', name: 'pg-1', extra: 1 },
    };
    expect(parseIdentity(JSON.stringify(later))).toEqual({
      ...full,
      route: { kind: 'database', name: 'pg-1' },
    });
  });

  it('refuses an unknown version, also one that only looks like the known', () => {
    for (const v of [2, 0, '1', 1.5, null, true, [1]]) refused(JSON.stringify({ ...minimal, v }));
    refused(JSON.stringify({ ...minimal, v: undefined }));
  });

  it('refuses broken JSON and what is no object', () => {
    for (const json of [
      '',
      '{',
      '[]',
      'null',
      '1',
      '"x"',
      '{"v":1,}',
      `${encodeIdentity(minimal)}x`,
      '\u{feff}{}',
    ]) {
      refused(json);
    }
  });

  // Two readers that keep the first and the last would see two people.
  it('refuses a key that stands twice, at any depth and however it is escaped', () => {
    const json = encodeIdentity(full);
    refused(json.replace('"user":"alice"', '"user":"alice","user":"root"'));
    refused(json.replace('"user":"alice"', String.raw`"user":"alice","us\u0065r":"root"`));
    refused(json.replace('"logins":["alice"]', '"logins":["alice"],"logins":["root"]'));
    refused(json.replace('"kind":"database"', '"kind":"database","kind":"node"'));
    refused(json.replace('"v":1', '"later":[{"a":1,"b":[],"a":2}],"v":1'));
  });

  it('does not take equal keys of different objects, or texts that look like keys, for repeats', () => {
    const json = encodeIdentity(minimal).replace(
      '"v":1',
      String.raw`"later":[{"a":"\"a\":"},{"a":["a","a"]}],"v":1`,
    );
    expect(parseIdentity(json)).toEqual(minimal);
  });

  it('refuses more than 16 KiB and accepts exactly that', () => {
    const build = (length: number) => JSON.stringify({ ...minimal, later: 'x'.repeat(length) });
    const overhead = build(0).length;
    expect(parseIdentity(build(16 * 1024 - overhead))).toEqual(minimal);
    refused(build(16 * 1024 - overhead + 1));
    refused(build(64 * 1024));
    refused(build((16 * 1024 - overhead) / 2).replaceAll('x', 'é\u{20ac}'));
  });

  it('refuses deep nesting', () => {
    refused(
      encodeIdentity(minimal).replace(
        '"v":1',
        `"later":${'['.repeat(5000)}${']'.repeat(5000)},"v":1`,
      ),
    );
  });

  it('refuses a restriction that it cannot read instead of reading none', () => {
    for (const sourceIp of ['', 'localhost', '127.0.0.1/8', '127.1', null, 7, []]) {
      refused(JSON.stringify({ ...minimal, sourceIp }));
    }
    for (const mfaAt of ['', 'yesterday', 0, null]) refused(JSON.stringify({ ...minimal, mfaAt }));
    for (const route of [
      null,
      {},
      { kind: 'database' },
      { kind: 'database', name: 'x', user: 1 },
      'pg-1',
    ]) {
      refused(JSON.stringify({ ...minimal, route }));
    }
    for (const requests of [null, 'req_1', [1], ['']])
      refused(JSON.stringify({ ...minimal, requests }));
  });

  it('refuses users that are not names', () => {
    for (const user of ['', 'a\nb', 'a\u0000', '\u{2028}', 'x'.repeat(257), 7, null, '\ud800']) {
      refused(JSON.stringify({ ...minimal, user }));
    }
  });

  it('refuses roles and traits of a wrong form', () => {
    for (const roles of [null, 'dev', [1], [''], {}])
      refused(JSON.stringify({ ...minimal, roles }));
    for (const traits of [null, [], { logins: 'root' }, { logins: [1] }])
      refused(JSON.stringify({ ...minimal, traits }));
    refused(encodeIdentity(minimal).replace('"logins"', '"__proto__"'));
  });

  it('throws nothing but its own refusal for any text', () => {
    const anything = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), mutatedPayload());
    fc.assert(
      fc.property(anything, (json) => {
        try {
          parseIdentity(json);
        } catch {
          refused(json);
        }
      }),
      { numRuns: 5000 },
    );
  });
});

function mutatedPayload(): fc.Arbitrary<string> {
  const json = encodeIdentity(full);
  return fc
    .tuple(fc.nat(json.length), fc.nat(4), fc.string({ maxLength: 4 }))
    .map(([at, drop, insert]) => json.slice(0, at) + insert + json.slice(at + drop));
}

describe('encodeIdentity', () => {
  it('refuses to write what nobody would read', () => {
    const large = {
      ...minimal,
      traits: { groups: Array.from({ length: 4000 }, (_, index) => `group-${index}`) },
    };
    expect(refusal(() => encodeIdentity(large))).toMatchObject({ reason: 'identity' });
    expect(refusal(() => encodeIdentity({ ...minimal, user: '' }))).toMatchObject({
      reason: 'identity',
    });
  });
});

describe('effectiveRoles', () => {
  it('keeps only roles that the user still has', () => {
    expect(effectiveRoles({ ...minimal, roles: ['dev', 'admin'] }, ['dev', 'dba'])).toEqual([
      'dev',
    ]);
  });
});
