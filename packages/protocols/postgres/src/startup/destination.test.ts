import type { Identity } from '@gatehouse/identity';
import { describe, expect, it } from 'vitest';

import { readDestination } from './destination.js';

const identity: Identity = { v: 1, user: 'alice', roles: [], traits: {}, loginId: 'lgn_1' };
const routed: Identity = { ...identity, route: { kind: 'database', name: 'pg-1' } };

function read(
  given: Readonly<Record<string, string>>,
  who: Identity = routed,
  route?: { target: string },
) {
  const parameters = Object.entries(given).map(([name, value]) => ({ name, value }));
  return readDestination({ identity: who, route, parameters });
}

describe('where a startup message leads', () => {
  it('is what the certificate says, with the user’s name for a database that is not named', () => {
    expect(read({ user: 'reader', application_name: 'psql' })).toMatchObject({
      target: 'pg-1',
      user: 'reader',
      database: 'reader',
      isReplication: false,
      parameters: { application_name: 'psql' },
    });
  });

  it('may be said in the options, which go on without it', () => {
    const options = '-c gatehouse.target=pg-2 -c work_mem=1MB --geqo=off';
    expect(read({ user: 'reader', database: 'app', options }, identity)).toMatchObject({
      target: 'pg-2',
      database: 'app',
      parameters: { database: 'app', options: '-c work_mem=1MB --geqo=off' },
    });
    expect(read({ user: 'u', options: '-c gatehouse.target=pg-2' }, identity).parameters).toEqual(
      {},
    );
  });

  it('is refused where two of its sources differ, or none says it', () => {
    const differs = { code: 'POSTGRES_TARGET_DIFFERS' };
    const options = '-c gatehouse.target=pg-2';
    expect(() => read({ user: 'u', options })).toThrow(expect.objectContaining(differs));
    expect(() => read({ user: 'u', options }, identity, { target: 'pg-1' })).toThrow(
      expect.objectContaining(differs),
    );
    expect(() => read({ user: 'u' }, identity)).toThrow(
      expect.objectContaining({ code: 'POSTGRES_NO_TARGET' }),
    );
    expect(read({ user: 'u', options: '-cgatehouse.target=PG-1' }).target).toBe('PG-1');
  });

  it.each([
    ['role', { role: 'postgres' }],
    ['role', { ROLE: 'postgres' }],
    ['role', { options: '-c role=postgres' }],
    ['role', { options: String.raw`-c\ role=x -crole=postgres` }],
    ['session_authorization', { options: '--session-authorization=postgres' }],
    ['what is no setting', { options: '-ec role=postgres' }],
    ['what is no setting', { options: '-d 5' }],
  ])('never sets %s by %j', (name, given) => {
    expect(() => read({ user: 'u', ...given })).toThrow(
      expect.objectContaining({
        code: 'POSTGRES_SETTING_REFUSED',
        publicMessage: expect.stringContaining(name) as string,
      }),
    );
  });

  it('keeps names byte for byte, and takes none that is no UTF-8', () => {
    expect(read({ user: 'reader ' }).user).toBe('reader ');
    expect(read({ user: 'READER' }).user).toBe('READER');
    const utf8 = Buffer.from('bücher').toString('latin1');
    expect(read({ user: utf8 }).user).toBe('bücher');
    expect(() => read({ user: '\xff' })).toThrow(
      expect.objectContaining({ code: 'POSTGRES_NAME_INVALID' }),
    );
    expect(() => read({ database: 'app' })).toThrow(
      expect.objectContaining({ code: 'POSTGRES_NO_USER' }),
    );
  });

  it('takes no name that the server would cut to another one', () => {
    const longest = 'd'.repeat(63);
    expect(read({ user: longest, database: longest })).toMatchObject({
      user: longest,
      database: longest,
    });
    const refused = (what: string) =>
      expect.objectContaining({
        code: 'POSTGRES_NAME_INVALID',
        publicMessage: `the ${what} has more than 63 bytes`,
      }) as Error;
    expect(() => read({ user: 'u', database: `${longest}x` })).toThrow(refused('database name'));
    expect(() => read({ user: `${longest}x` })).toThrow(refused('database user'));
    // 62 characters, 64 bytes
    const utf8 = Buffer.from(`${'d'.repeat(60)}üü`).toString('latin1');
    expect(() => read({ user: 'u', database: utf8 })).toThrow(refused('database name'));
  });

  it.each([
    ['database', true],
    ['1', true],
    ['yes', true],
    ['off', false],
    ['0', false],
  ])('with replication=%s is a replication connection: %s', (replication, expected) => {
    expect(read({ user: 'u', replication }).isReplication).toBe(expected);
  });

  it('passes no extension of the protocol on', () => {
    expect(read({ user: 'u', '_pq_.some': 'on' }).parameters).toEqual({});
  });
});
