import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readServiceCommand } from '@gatehouse/kit/command-line';
import { expect, it, onTestFinished } from 'vitest';

import { tunnelCommandLine } from './config.js';

function configFile(text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'tunnel-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'tunnel.yaml');
  writeFileSync(file, text);
  return file;
}

it('runs with a file that says the least, and fills in the rest', () => {
  const file = configFile(
    `{cluster_name: home, auth: {address: 'a:1', join_secret_file: f}, state_dir: s}`,
  );
  expect(readServiceCommand(tunnelCommandLine, ['--config', file])).toMatchObject({
    type: 'run',
    verb: undefined,
    config: { cluster_name: 'home', drain_timeout: 3_600_000, log: { level: 'info' } },
  });
});

it('names every mistake and ends with 2', () => {
  const file = configFile(`{cluster_name: 'NO', color: red, auth: {address: nowhere}}`);
  const command = readServiceCommand(tunnelCommandLine, ['--config', file]);
  expect(command).toMatchObject({ type: 'done', exitCode: 2 });
  if (command.type !== 'done') throw new Error('served');
  for (const key of ['color', 'cluster_name', 'address', 'state_dir'])
    expect(command.text).toContain(key);
});
