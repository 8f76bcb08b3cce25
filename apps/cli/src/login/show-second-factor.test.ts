import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { reserveFile } from '../profile/files.js';
import { createTestEnvironment, createTestFolder } from '../testing.js';
import { showSecondFactor } from './show-second-factor.js';

const uri = 'otpauth://totp/home:ada?secret=ABC';

it('writes the secret to the file alone, else to stderr', () => {
  using folder = createTestFolder();
  const environment = createTestEnvironment({ home: folder.path });
  const path = join(folder.path, 'totp.uri');
  using file = reserveFile(path);
  showSecondFactor(environment, uri, file);
  expect(readFileSync(path, 'utf8')).toBe(`${uri}\n`);
  expect(environment.err()).toBe('');
  showSecondFactor(environment, uri, undefined);
  expect([environment.out(), environment.err()]).toEqual(['', `Authenticator: ${uri}\n`]);
});

// The invitation is used up by then: a secret that is shown nowhere locks the only administrator out.
it('shows the secret where the file fails after all', () => {
  using folder = createTestFolder();
  const environment = createTestEnvironment({ home: folder.path });
  const path = join(folder.path, 'totp.uri');
  using file = reserveFile(path);
  mkdirSync(path);
  expect(() => showSecondFactor(environment, uri, file)).toThrow('can not write');
  expect(environment.err()).toContain(uri);
  rmSync(path, { recursive: true });
  expect(readdirSync(folder.path)).toEqual([]);
});
