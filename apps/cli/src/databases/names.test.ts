import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { allCommands } from '../all-commands.js';
import { runCommandLine } from '../cli.js';
import { createRegistry } from '../registry.js';
import { createTestEnvironment, createTestFolder } from '../testing.js';
import { checkNames, checkWish } from './names.js';

const wish = { name: 'pg-1', user: 'reader', database: 'app' };
const unfit = [
  'app\nsslmode=disable\n# end pg-1',
  'app\r',
  '\u001b[2Japp',
  'a\u009b31m',
  'a\0b',
  'a\tb',
  'a\u2028b',
  'a\u202eb',
  ' app',
  'app ',
  '',
];

describe('a name of a database', () => {
  it('is what any server may call it', () => {
    const odd = { name: 'PG 1', user: 'bücher', database: 'a=b #c [d] "e" \'f\'' };
    expect(() => checkWish(odd)).not.toThrow();
    expect(() => checkWish({ name: 'pg-1', user: undefined, database: undefined })).not.toThrow();
    expect(() =>
      checkNames('a:1', { service: 'PG 1.home', name: 'PG 1', user: 'bücher' }),
    ).not.toThrow();
  });

  it.each(unfit)('is not %j, whoever gives it', (text) => {
    const usage = expect.objectContaining({ code: 'USAGE' }) as Error;
    expect(() => checkWish({ ...wish, name: text })).toThrow(usage);
    expect(() => checkWish({ ...wish, user: text })).toThrow(usage);
    expect(() => checkWish({ ...wish, database: text })).toThrow(usage);
    const given = { service: 'pg-1', name: 'pg-1', user: 'reader' };
    const broken = expect.objectContaining({ code: 'NOT_A_CLUSTER' }) as Error;
    expect(() => checkNames('a:1', { ...given, service: text })).toThrow(broken);
    expect(() => checkNames('a:1', { ...given, name: text })).toThrow(broken);
    expect(() => checkNames('a:1', { ...given, user: text })).toThrow(broken);
  });

  it('names one section', () => {
    const given = { service: 'pg-1]', name: 'pg-1]', user: 'reader' };
    expect(() => checkNames('a:1', given)).toThrow(
      expect.objectContaining({ code: 'NOT_A_CLUSTER' }),
    );
  });
});

it.each([
  ['--db-name', ['db', 'login', 'pg-1', '--db-name', 'app\nsslmode=disable\n# end pg-1']],
  ['--db-user', ['db', 'login', 'pg-1', '--db-user', '\u001b]0;x\u0007']],
  ['NAME', ['db', 'login', 'pg-1\nhost=evil']],
  ['--db-name', ['db', 'env', 'pg-1', '--db-name', 'a\nb']],
  ['--db-user', ['db', 'connect', 'pg-1', '--db-user', 'a\nb']],
])('refuses %s of %j before anything is asked or written', async (flag, argv) => {
  using folder = createTestFolder();
  const file = join(folder.path, 'pg_service.conf');
  const environment = createTestEnvironment({
    home: join(folder.path, 'home'),
    variables: { PGSERVICEFILE: file },
  });
  // Where nobody is logged in: that would be the next thing said.
  const code = await runCommandLine(
    [...argv, '--proxy', 'localhost:1'],
    environment,
    createRegistry(allCommands),
  );
  expect(environment.err()).toContain(`${flag}: a name is not empty`);
  expect(environment.err()).not.toMatch(/(?!\n)\p{Cc}/u);
  expect(code).toBe(2);
  expect(environment.out()).toBe('');
  expect(existsSync(file)).toBe(false);
  expect(readdirSync(folder.path)).toEqual([]);
});
