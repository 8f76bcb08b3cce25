/** Shared by the tests of this package: real OpenSSH and OpenSSL, temporary folders, and refusals by reason. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { GatehouseError } from '@gatehouse/kit/errors';
import { expect, onTestFinished } from 'vitest';

/** A folder that goes away with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-identity-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a program in a folder; its output, or an error with it. */
export function run(cwd: string, command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  });
}

/** The error that `act` throws, which must be one of ours. */
export function refusal(act: () => unknown): {
  code: string;
  reason: string | undefined;
  text: string;
} {
  try {
    act();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(GatehouseError);
    if (thrown instanceof GatehouseError) {
      return { code: thrown.code, reason: thrown.reason, text: thrown.publicMessage };
    }
  }
  throw new Error('nothing was refused');
}

/** As {@link run}, with the first words in one text. */
export function runLine(cwd: string, line: string, ...more: readonly string[]): string {
  const [command = '', ...words] = line.split(' ');
  return run(cwd, command, ...words, ...more);
}
