import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { mayAdminister } from './administration.js';
import {
  canSee,
  decideAccess,
  isLoginAllowedAnywhere,
  loginTtlMs,
  loginsAnywhere,
  principalsFor,
  type AccessRequest,
} from './decision.js';
import { explainAccess } from './explain.js';
import { findLock, type Lock } from './lock.js';
import { parseRole, type Role, type RoleDocument } from './role.js';
import { createTarget, parseStandingRoles, roleDocument } from './testing.js';

const web1 = createTarget('web-1', { env: 'staging' });
const web2 = createTarget('web-2', { env: 'prod' });

const role = (spec: RoleDocument['spec'], name = 'extra') => parseRole(roleDocument(name, spec));

function ask(overrides: Partial<AccessRequest>) {
  return decideAccess({
    user: 'alice',
    roles: parseStandingRoles(['dev']),
    traits: {},
    target: web1,
    principal: 'deploy',
    locks: [],
    nowMs: 0,
    ...overrides,
  });
}

const lock = (target: Lock['target'], rest: Partial<Lock> = {}): Lock => ({
  name: 'l1',
  target,
  message: 'incident 7',
  createdAtMs: 0,
  ...rest,
});

describe('decideAccess', () => {
  it('allows nothing by default', () => {
    expect(ask({ roles: [] })).toEqual({ allowed: false, reason: 'no_role', visible: false });
  });

  it('hides what no role matches, and tells those who may read nodes', () => {
    expect(ask({ target: web2 })).toEqual({ allowed: false, reason: 'no_role', visible: false });
    expect(ask({ target: web2, roles: parseStandingRoles(['admin']) })).toEqual({
      allowed: false,
      reason: 'no_role',
      visible: true,
    });
  });

  it.each([
    ['deploy', web1, true],
    ['root', web2, true],
    ['root', web1, false],
    ['deploy', web2, false],
  ])('gives the login %s to the role that granted it (%o: %s)', (principal, target, allowed) => {
    const decision = ask({ roles: parseStandingRoles(['dev', 'prod-root']), principal, target });
    expect(decision.allowed).toBe(allowed);
    if (!decision.allowed) {
      expect(decision).toMatchObject({ reason: 'login_not_allowed_here', visible: true });
    }
  });

  it('needs user and database from the same role', () => {
    const roles = parseStandingRoles(['dev', 'dba']);
    const pg2 = createTarget('pg-2', { env: 'prod' }, 'database');
    const asReader = (database?: string) =>
      ask({
        roles,
        target: pg2,
        principal: 'reader',
        ...(database === undefined ? {} : { database }),
      });
    expect(asReader('orders').allowed).toBe(true);
    expect(asReader('app')).toMatchObject({ reason: 'login_not_allowed_here' });
    expect(asReader()).toMatchObject({ reason: 'login_not_allowed_here' });
  });

  describe('with a deny block', () => {
    const withDeny = (deny: RoleDocument['spec']['deny'], overrides: Partial<AccessRequest> = {}) =>
      ask({ roles: [...parseStandingRoles(['dev']), role({ deny })], ...overrides });

    it('names the role, and hides a target that it covers whole', () => {
      expect(withDeny({ node_labels: { name: 'web-1' } })).toEqual({
        allowed: false,
        reason: 'denied_by',
        role: 'extra',
        visible: false,
      });
    });

    it('leaves a target visible of which it takes only a login', () => {
      expect(withDeny({ logins: ['deploy'] })).toMatchObject({
        reason: 'denied_by',
        visible: true,
      });
    });

    it('denies only where every field it names matches', () => {
      expect(withDeny({ logins: ['root'], node_labels: { env: 'staging' } }).allowed).toBe(true);
      expect(withDeny({ logins: ['deploy'], node_labels: { env: 'prod' } }).allowed).toBe(true);
      expect(withDeny({ logins: ['dep*'], node_labels: { env: 'staging' } }).allowed).toBe(false);
      expect(withDeny({ db_labels: { '*': '*' } }).allowed).toBe(true);
    });

    it('denies where a field can not be evaluated', () => {
      expect(withDeny({ node_labels: { env: '{{external.team}}' } }).allowed).toBe(false);
      expect(withDeny({ logins: ['{{external.team}}'] }).allowed).toBe(false);
      expect(withDeny({ logins: ['{{external.team}}'] }, { traits: { team: ['x'] } }).allowed).toBe(
        true,
      );
      // Whatever the trait said, env is not prod.
      expect(withDeny({ node_labels: { env: 'prod', name: '{{external.team}}' } }).allowed).toBe(
        true,
      );
    });

    it('tells the rules for statements of the roles that allow, and of the deny blocks that cover', () => {
      const db = createTarget('pg-2', { env: 'prod' }, 'database');
      const roles = [
        role({ allow: { db_labels: { env: 'prod' }, db_names: ['orders'], db_users: ['reader'] } }),
        role({ deny: { db_statements: ['ddl'], db_users: ['reader'] } }),
        role({ deny: { db_tables: ['public.secrets'], db_users: ['owner'] } }),
        ...parseStandingRoles(['dba']),
      ];
      const decision = ask({ roles, target: db, principal: 'reader', database: 'orders' });
      expect(decision).toMatchObject({
        allowed: true,
        statements: {
          allow: [
            { role: 'extra', statements: undefined, tables: undefined },
            { role: 'dba', statements: ['select', 'show', 'explain'] },
          ],
          deny: [{ role: 'extra', statements: ['ddl'], tables: undefined }],
        },
      });
    });

    it('leaves a connection alone for what is denied per statement or resource', () => {
      const k1 = createTarget('k1', { env: 'staging' }, 'kube_cluster');
      const deny = { kubernetes_resources: [{ kind: 'secrets', name: '*', verbs: ['*'] }] };
      expect(withDeny(deny, { target: k1 }).allowed).toBe(true);
      expect(withDeny({ kubernetes_labels: { env: 'staging' } }, { target: k1 }).allowed).toBe(
        false,
      );
    });
  });

  it.each<[string, Record<string, string | string[]>, Record<string, string>, boolean]>([
    ['exact', { env: 'staging' }, { env: 'staging' }, true],
    ['exact, other', { env: 'staging' }, { env: 'prod' }, false],
    ['list', { env: ['a', 'staging'] }, { env: 'staging' }, true],
    ['list, other', { env: ['a', 'b'] }, { env: 'staging' }, false],
    ['glob', { env: 'dev-*' }, { env: 'dev-3' }, true],
    ['glob, other', { env: 'dev-*' }, { env: 'prod' }, false],
    ['regex', { name: '^web-[0-9]+$' }, {}, true],
    ['regex, part only', { name: '^web$' }, {}, false],
    ['any', { '*': '*' }, {}, true],
    ['unanchored-looking', { env: 'web.1' }, { env: 'webx1' }, false],
    ['unanchored-looking, itself', { env: 'web.1' }, { env: 'web.1' }, true],
    ['two keys', { env: 'a', zone: 'b' }, { env: 'a', zone: 'b' }, true],
    ['two keys, one missing', { env: 'a', zone: 'b' }, { env: 'a' }, false],
    ['a key the target lacks', { zone: '*' }, { env: 'a' }, false],
    ['a key of every object', { constructor: '*' }, {}, false],
    ['an empty map', {}, { env: 'a' }, false],
    ['an empty list', { env: [] }, { env: 'a' }, false],
    ['a template of a missing trait', { env: '{{external.team}}' }, { env: 'a' }, false],
    ['a claimed label name', { name: 'other' }, { name: 'other' }, false],
  ])('matches labels: %s', (_name, nodeLabels, labels, allowed) => {
    const roles = [role({ allow: { logins: ['deploy'], node_labels: nodeLabels } })];
    expect(ask({ roles, target: createTarget('web-1', labels) }).allowed).toBe(allowed);
  });

  it('takes traits as values, never as patterns', () => {
    const roles = [
      role({ allow: { logins: ['deploy'], node_labels: { team: '{{external.team}}' } } }),
    ];
    const red = createTarget('red-1', { team: 'red' });
    for (const team of ['*', '^.*$', '{{internal.logins}}', '{{external.team}}']) {
      expect(ask({ roles, target: red, traits: { team: [team], logins: ['red'] } }).allowed).toBe(
        false,
      );
    }
    expect(ask({ roles, target: red, traits: { team: ['red'] } }).allowed).toBe(true);
  });

  it('merges the options of the allowing roles, the strictest first', () => {
    const open = role({
      options: {
        idle_timeout: '1h',
        port_forwarding: 'local',
        forward_agent: true,
        max_sessions: 5,
      },
      allow: { logins: ['deploy'], node_labels: { '*': '*' } },
    });
    const silent = role({ options: { audit: 'strict', max_session_ttl: '1h' } }, 'no-targets');
    const decision = ask({ roles: [...parseStandingRoles(['dev']), open, silent] });
    expect(decision).toMatchObject({
      allowed: true,
      roles: ['dev', 'extra'],
      options: {
        maxSessionTtlMs: 8 * 3_600_000,
        idleTimeoutMs: 3_600_000,
        portForwarding: 'local',
        fileTransfer: 'both',
        forwardAgent: true,
        maxSessions: 5,
        audit: 'best_effort',
      },
    });
  });

  it('finds nothing common in two opposite directions', () => {
    const one = role(
      {
        options: { port_forwarding: 'local' },
        allow: { logins: ['deploy'], node_labels: { '*': '*' } },
      },
      'a',
    );
    const other = role(
      {
        options: { port_forwarding: 'remote' },
        allow: { logins: ['deploy'], node_labels: { '*': '*' } },
      },
      'b',
    );
    expect(ask({ roles: [one, other] })).toMatchObject({ options: { portForwarding: 'none' } });
  });

  describe('with a lock', () => {
    it.each<[string, Lock['target']]>([
      ['user', { user: 'alice' }],
      ['role', { role: 'dev' }],
      ['login', { login: 'deploy' }],
      ['target', { target: 'web-1' }],
      ['agent', { agent: 'a1' }],
      ['replica', { replica: 'srv_1' }],
      ['login session', { loginSession: 'lgn_1' }],
      ['request', { request: 'req_1' }],
      ['device', { mfaDevice: 'phone' }],
    ])('refuses by %s and shows the message', (_name, target) => {
      const lockSubject = {
        agents: ['agt_1', 'a1'],
        replica: 'srv_1',
        loginId: 'lgn_1',
        requests: ['req_1'],
        mfaDevice: 'phone',
      };
      expect(ask({ locks: [lock(target)], lockSubject })).toMatchObject({
        reason: 'locked',
        lock: { message: 'incident 7' },
      });
    });

    it.each<[string, Lock['target']]>([
      ['user', { user: 'Alice' }],
      ['role', { role: 'DEV' }],
      ['target', { target: 'WEB-1' }],
      ['agent', { agent: 'Ａ1' }],
    ])('refuses by %s in another spelling of the name', (_name, target) => {
      const request = { locks: [lock(target)], lockSubject: { agents: ['a1'], replica: 'srv_1' } };
      expect(ask(request)).toMatchObject({ reason: 'locked' });
    });

    it('tells a login from the same one in other letters', () => {
      expect(ask({ locks: [lock({ login: 'Deploy' })] }).allowed).toBe(true);
    });

    it('leaves others alone', () => {
      const locks = [
        lock({ user: 'bob' }),
        lock({ role: 'dba' }),
        lock({ login: 'root' }),
        lock({ agent: 'a1' }),
      ];
      expect(ask({ locks }).allowed).toBe(true);
    });

    it('lets in again at its end', () => {
      const locks = [lock({ user: 'alice' }, { expiresAtMs: 10_000 })];
      expect(ask({ locks, nowMs: 9999 }).allowed).toBe(false);
      expect(ask({ locks, nowMs: 10_000 }).allowed).toBe(true);
    });

    it('does not betray a hidden target by the lock on it', () => {
      expect(ask({ target: web2, locks: [lock({ target: 'web-2' })] })).toMatchObject({
        reason: 'no_role',
        visible: false,
      });
    });

    it('is not found for a subject that has none of its fields', () => {
      expect(findLock([lock({ user: 'alice' })], {}, 0)).toBeUndefined();
    });
  });
});

describe('what a person may see', () => {
  it('is what a role matches and no deny covers, or everything of a kind they may read', () => {
    const dev = parseStandingRoles(['dev']);
    expect(canSee({ roles: dev, traits: {}, target: web1 })).toBe(true);
    expect(canSee({ roles: dev, traits: {}, target: web2 })).toBe(false);
    expect(canSee({ roles: parseStandingRoles(['admin']), traits: {}, target: web2 })).toBe(true);
    expect(canSee({ roles: parseStandingRoles(['auditor']), traits: {}, target: web2 })).toBe(
      false,
    );
    const hiding = role({ deny: { node_labels: { name: 'web-1' } } });
    expect(canSee({ roles: [...dev, hiding], traits: {}, target: web1 })).toBe(false);
  });

  it('lists the principals of matching roles, without denied ones', () => {
    const roles = [
      ...parseStandingRoles(['dev', 'prod-root', 'access']),
      role({ deny: { logins: ['bob'] } }),
    ];
    expect(principalsFor({ roles, traits: { logins: ['alice', 'bob'] }, target: web1 })).toEqual([
      'alice',
      'deploy',
    ]);
    expect(
      principalsFor({ roles: parseStandingRoles(['admin']), traits: {}, target: web1 }),
    ).toEqual([]);
  });

  it('knows the logins of all roles together', () => {
    const roles = [
      ...parseStandingRoles(['dev', 'prod-root']),
      role({ allow: { logins: ['svc-*'], node_labels: { a: 'b' } } }),
    ];
    expect(loginsAnywhere(roles, {})).toEqual(['deploy', 'root']);
    expect(isLoginAllowedAnywhere(roles, {}, 'svc-1')).toBe(true);
    expect(isLoginAllowedAnywhere(roles, {}, 'nobody')).toBe(false);
    const noRoot = role({ deny: { logins: ['root'], node_labels: { '*': '*' } } });
    expect(isLoginAllowedAnywhere([...roles, noRoot], {}, 'root')).toBe(false);
    const noProd = role({ deny: { logins: ['root'], node_labels: { env: 'prod' } } });
    expect(isLoginAllowedAnywhere([...roles, noProd], {}, 'root')).toBe(true);
  });

  it('lives as long as the shortest role says', () => {
    const day = 24 * 3_600_000;
    expect(loginTtlMs([])).toBe(day / 2);
    expect(
      loginTtlMs([
        ...parseStandingRoles(['dev', 'dba']),
        role({ options: { max_session_ttl: '2h' } }),
      ]),
    ).toBe(day / 12);
    expect(loginTtlMs([role({ options: { max_session_ttl: '1d' } })])).toBe(day);
  });
});

describe('mayAdminister', () => {
  it('allows nothing without a rule, everything to admin, reading to auditor, reviews to approver', () => {
    const may = (
      names: string[],
      ...question: [Parameters<typeof mayAdminister>[1], Parameters<typeof mayAdminister>[2]]
    ) => mayAdminister(parseStandingRoles(names), ...question);
    expect(may(['dev', 'access'], 'node', 'read')).toBe(false);
    expect(may(['admin'], 'role', 'delete')).toBe(true);
    expect(may(['auditor'], 'event', 'read')).toBe(true);
    expect(may(['auditor'], 'role', 'read')).toBe(false);
    expect(may(['auditor'], 'session', 'end')).toBe(false);
    expect(may(['approver'], 'access_request', 'review')).toBe(true);
  });

  it('lets a deny rule win', () => {
    const roles = [
      ...parseStandingRoles(['admin']),
      role({ deny: { rules: [{ kinds: ['role'], verbs: ['*'] }] } }),
    ];
    expect(mayAdminister(roles, 'role', 'update')).toBe(false);
    expect(mayAdminister(roles, 'user', 'update')).toBe(true);
  });
});

describe('for any roles', () => {
  const value = fc.constantFrom('a', 'b', '*', 'a*', '^a|b$', '{{external.t}}', '{{internal.u}}');
  const labels = fc.oneof(
    fc.constant({ '*': '*' }),
    fc.dictionary(
      fc.constantFrom('env', 'zone', 'name'),
      fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 2 })),
      { maxKeys: 2 },
    ),
  );
  const fullLabels = labels.filter((map) => Object.keys(map).length > 0);
  const logins = fc.array(value, { minLength: 1, maxLength: 2 });
  const options = fc.record(
    { port_forwarding: fc.constantFrom('none', 'local', 'remote', 'both') },
    { requiredKeys: [] },
  );
  const allow = fc.record({ logins, node_labels: labels }, { requiredKeys: [] });
  const deny = fc.record({ logins, node_labels: fullLabels }, { requiredKeys: [] });
  const anyRole = (withDeny: boolean) =>
    fc
      .record({
        options,
        allow,
        deny: withDeny ? fc.oneof(fc.constant({}), deny) : fc.constant({}),
      })
      .map((spec): Role =>
        parseRole({ kind: 'role', version: 'v1', metadata: { name: 'r' }, spec }),
      );
  const requests = fc.record({
    user: fc.constant('alice'),
    roles: fc.array(anyRole(true), { maxLength: 3 }),
    traits: fc.record(
      { t: fc.array(fc.constantFrom('a', 'b', '*')), u: fc.array(fc.constantFrom('a', '')) },
      { requiredKeys: [] },
    ),
    target: fc.record({
      kind: fc.constant('node' as const),
      name: fc.constantFrom('a', 'ab', 'c'),
      labels: fc.dictionary(fc.constantFrom('env', 'zone'), fc.constantFrom('a', 'b', 'c', '*'), {
        maxKeys: 2,
      }),
    }),
    principal: fc.constantFrom('a', 'b', 'ab', '*'),
    locks: fc.constantFrom<Lock[]>([], [], [lock({ login: 'b' })], [lock({ target: 'c' })]),
    nowMs: fc.constant(0),
  });

  it('adding a deny never allows more', () => {
    fc.assert(
      fc.property(requests, deny, (request, block) => {
        const denying = role({ deny: block as RoleDocument['spec']['deny'] });
        const before = decideAccess(request);
        const after = decideAccess({ ...request, roles: [...request.roles, denying] });
        expect(after.allowed && !before.allowed).toBe(false);
        expect(canSee({ ...request, roles: [...request.roles, denying] }) && !canSee(request)).toBe(
          false,
        );
      }),
      { numRuns: 2000 },
    );
  });

  it('adding a role without a deny never takes access away', () => {
    fc.assert(
      fc.property(requests, anyRole(false), (request, more) => {
        const before = decideAccess(request);
        const after = decideAccess({ ...request, roles: [...request.roles, more] });
        expect(before.allowed && !after.allowed).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it('the explanation says what the decision says', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const lines = explainAccess(request);
        expect(lines.at(-1)?.startsWith('allowed')).toBe(decideAccess(request).allowed);
        expect(lines).toHaveLength(Math.max(1, request.roles.length) + 1);
      }),
      { numRuns: 1000 },
    );
  });

  it('what is listed as a principal is allowed, and what is allowed can be seen', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const open = { ...request, locks: [] };
        for (const principal of principalsFor(open)) {
          expect(decideAccess({ ...open, principal }).allowed).toBe(true);
        }
        if (decideAccess(open).allowed) {
          expect(canSee(open)).toBe(true);
          expect(isLoginAllowedAnywhere(open.roles, open.traits, open.principal)).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('explainAccess', () => {
  it('says why for each role', () => {
    const roles = parseStandingRoles(['dev', 'prod-root', 'dba']);
    expect(
      explainAccess({
        user: 'erin',
        roles,
        traits: {},
        target: web2,
        principal: 'deploy',
        locks: [],
        nowMs: 0,
      }),
    ).toEqual([
      'role dev: its labels do not match web-2: env is "prod"',
      'role prod-root: its labels match, but it does not allow login "deploy"',
      'role dba: it allows no target of kind node',
      'denied: no role that matches the target allows what was asked for',
    ]);
  });
});
