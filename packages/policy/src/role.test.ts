import { describe, expect, it } from 'vitest';

import { builtinRoles } from './builtin-roles.js';
import { findLock, findUnreadableLock, parseLock, readLock } from './lock.js';
import { parseRole } from './role.js';
import { roleDocument, standingRoleDocuments } from './testing.js';

const spec = (allow: object, rest: object = {}) => ({
  kind: 'role',
  version: 'v1',
  metadata: { name: 'r' },
  spec: { allow, ...rest },
});

describe('parseRole', () => {
  it('reads the roles of the scenarios, the built-in ones and the sample of the architecture', () => {
    for (const document of [...standingRoleDocuments(), ...builtinRoles()]) {
      expect(parseRole(document).name).toBe(document.metadata.name);
    }
    const sample = roleDocument('dba', {
      options: {
        max_session_ttl: '8h',
        require_session_mfa: false,
        audit: 'strict',
        idle_timeout: '30m',
        forward_agent: false,
        ssh_session: 'inspect',
      },
      allow: {
        logins: ['{{internal.logins}}', 'deploy'],
        node_labels: { env: ['staging', 'dev-*'] },
        kubernetes_groups: ['viewers'],
        kubernetes_labels: { team: '{{external.team}}' },
        kubernetes_resources: [
          { kind: 'pods', namespace: 'web-*', name: '*', verbs: ['get', 'list', 'exec'] },
        ],
        db_labels: { env: 'prod' },
        app_labels: { '*': '*' },
        request: { roles: ['prod-admin'], thresholds: [{ approve: 2, deny: 1 }] },
      },
      deny: {},
    });
    expect(parseRole(sample).options.idleTimeoutMs).toBe(1_800_000);
  });

  it.each([
    ['an unknown field', spec({ login: ['root'] }), 'spec.allow.login: unknown field'],
    [
      'an unknown option',
      spec({}, { options: { max_ttl: '1h' } }),
      'spec.options.max_ttl: unknown field',
    ],
    ['a field beside spec', { ...spec({}), extra: 1 }, 'extra: unknown field'],
    [
      'a bad expression',
      spec({ node_labels: { name: '^web-($' } }),
      'spec.allow.node_labels.name[0]',
    ],
    ['a half-anchored expression', spec({ logins: ['^web'] }), 'spec.allow.logins[0]'],
    ['a bad template', spec({ logins: ['{{logins}}'] }), 'spec.allow.logins[0]'],
    ['a bad duration', spec({}, { options: { idle_timeout: '20' } }), 'spec.options.idle_timeout'],
    [
      'a duration of zero',
      spec({}, { options: { max_session_ttl: '0s' } }),
      'spec.options.max_session_ttl',
    ],
    ['a label that is no text', spec({ node_labels: { env: 1 } }), 'spec.allow.node_labels.env'],
    ['the key * with a value', spec({ node_labels: { '*': 'prod' } }), 'spec.allow.node_labels.*'],
    [
      'a key that is a pattern',
      spec({ node_labels: { 'e*': 'prod' } }),
      'spec.allow.node_labels.e*',
    ],
    [
      'an empty deny field',
      spec({}, { deny: { node_labels: {}, logins: ['root'] } }),
      'spec.deny.node_labels',
    ],
    ['an empty deny list', spec({}, { deny: { logins: [] } }), 'spec.deny.logins'],
    [
      'an unknown kind in rules',
      spec({ rules: [{ kinds: ['nodes'], verbs: ['read'] }] }),
      'spec.allow.rules[0].kinds[0]',
    ],
    ['another kind', { ...spec({}), kind: 'user' }, 'kind'],
    ['another version', { ...spec({}), version: 'v2' }, 'version'],
    ['a bad name', { ...spec({}), metadata: { name: 'a b' } }, 'metadata.name'],
    ['no object', 'role', ''],
  ])('refuses %s and says where', (_name, document, where) => {
    expect(() => parseRole(document)).toThrow(where);
  });

  it('refuses a key that schemas would pass over, which would silently be no restriction', () => {
    const document: unknown = JSON.parse(
      '{"kind":"role","version":"v1","metadata":{"name":"r"},"spec":{"allow":{"node_labels":{"env":"prod","__proto__":"x"}}}}',
    );
    expect(() => parseRole(document)).toThrow('spec.allow.node_labels.__proto__');
  });
});

describe('parseLock', () => {
  const lock = (target: object, rest: object = {}) => ({
    kind: 'lock',
    version: 'v1',
    metadata: { name: 'l' },
    spec: { target, ...rest },
  });

  it('reads what it names, its message and its end', () => {
    expect(
      parseLock(
        lock(
          { login_session: 'lgn_1' },
          { message: 'incident 7', expires_at: '2026-11-25T12:00:00Z' },
        ),
      ),
    ).toEqual({
      name: 'l',
      target: { loginSession: 'lgn_1' },
      message: 'incident 7',
      expiresAtMs: Date.UTC(2026, 10, 25, 12),
      createdAtMs: 0,
    });
  });

  it.each([
    ['nobody', lock({})],
    ['two at once', lock({ user: 'alice', role: 'dev' })],
    ['an unknown thing', lock({ device: 'x' })],
    ['a bad time', lock({ user: 'alice' }, { expires_at: 'tomorrow' })],
  ])('refuses a lock on %s', (_name, document) => {
    expect(() => parseLock(document)).toThrow('lock is not valid');
  });
});

describe('readLock', () => {
  const document = (spec: unknown, rest: object = {}) => ({
    kind: 'lock',
    version: 'v1',
    metadata: { name: 'l' },
    spec,
    ...rest,
  });
  const named = (spec: unknown, rest?: object) => readLock(document(spec, rest), 'l');

  it('is as parseLock has it where the document is understood', () => {
    const good = document({ target: { user: 'alice' }, message: 'incident 7' });
    expect(readLock(good, 'l')).toEqual(parseLock(good));
    expect(findUnreadableLock([readLock(good, 'l')])).toBeUndefined();
  });

  it.each([
    ['an unknown field beside its target', named({ target: { user: 'alice' }, since: 'now' })],
    ['a bad end', named({ target: { user: 'alice' }, expires_at: 'tomorrow' })],
    ['two names at once', named({ target: { user: 'alice', role: 'dev' } })],
    ['another version', named({ target: { user: 'alice' } }, { version: 'v2' })],
    ['a message too long', named({ target: { user: 'alice' }, message: 'x'.repeat(5_000) })],
  ])('locks whom the target names in spite of %s', (_what, lock) => {
    expect(lock.problem).toContain('not valid');
    expect(findLock([lock], { user: 'alice' }, Number.MAX_SAFE_INTEGER)).toBe(lock);
    expect(findLock([lock], { user: 'bob', roles: [] }, 0)).toBeUndefined();
    expect(findUnreadableLock([lock])).toBeUndefined();
  });

  it('keeps an end and a message that it understands', () => {
    const spec = { target: { user: 'a' }, message: 'm', expires_at: '2026-11-25T12:00:00Z', x: 1 };
    expect(named(spec)).toMatchObject({
      message: 'm',
      expiresAtMs: Date.UTC(2026, 10, 25, 12),
    });
  });

  it.each([
    ['names something unknown', { target: { device: 'x' } }],
    ['names something unknown beside a person', { target: { user: 'alice', device: 'x' } }],
    ['names a thing that is no name', { target: { user: ['alice'] } }],
    ['names nothing', { target: {} }],
    ['has no target', {}],
    ['is no object', 7],
  ])('is unreadable where its target %s', (_what, spec) => {
    const lock = named(spec);
    expect(findUnreadableLock([lock])).toBe(lock);
    expect(readLock(spec, 'l').name).toBe('l');
  });
});
