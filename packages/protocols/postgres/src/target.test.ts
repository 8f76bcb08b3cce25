import { describe, expect, it } from 'vitest';

import { target } from './target.js';

const address = 'db.example.com:5432';
const parse = (spec: object) => target.spec.safeParse(spec);

describe('the spec of a database', () => {
  it('verifies TLS by default, and takes passwords from files or the environment', () => {
    expect(parse({ address }).data).toEqual({ protocol: 'postgres', address, tls: {} });
    const one = { user: 'reader', password_file: '/run/x' };
    expect(parse({ address, auth: { password: one } }).success).toBe(true);
    const other = { user: 'owner', password_env: 'PG_OWNER' };
    expect(parse({ address, auth: { password: [one, other] } }).success).toBe(true);
    expect(parse({ address, auth: { certificate: true } }).success).toBe(true);
  });

  it.each([
    [{ address: 'no-port' }],
    [{ address, tls: 'on' }],
    [{ address, auth: { password: { user: 'u', password: 'in the clear' } } }],
    [{ address, auth: { password: { user: 'u' } } }],
    [{ address, auth: { password: { user: 'u', password_file: '/a', password_env: 'B' } } }],
    [{ address, auth: { certificate: true }, tls: 'off' }],
    [{ address, unknown: 1 }],
  ])('refuses %j', (spec) => {
    expect(parse(spec).success).toBe(false);
  });

  it('lets no document name files or credentials of an agent', () => {
    const only = (spec: object) => target.onlyConfigured?.(target.spec.parse(spec));
    expect(only({ address })).toBeUndefined();
    expect(only({ address, auth: { certificate: true } })).toBeUndefined();
    expect(only({ address, tls: { ca_file: '/etc/passwd' } })).toBeDefined();
    const password = { user: 'u', password_file: '/etc/shadow' };
    expect(only({ address, auth: { password } })).toBeDefined();
  });
});
