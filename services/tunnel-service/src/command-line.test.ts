import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { readCommand } from './command-line.js';

function configFile(text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'tunnel-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'tunnel.yaml');
  writeFileSync(file, text);
  return file;
}

const good = `{cluster_name: home, auth: {address: 'a:1', join_secret_file: f}, state_dir: s}`;

it('serves with a valid file, and only checks or prints it when asked', () => {
  const file = configFile(good);
  expect(readCommand(['--config', file, '--log-level', 'warn'])).toMatchObject({
    type: 'serve',
    config: { cluster_name: 'home', drain_timeout: 3_600_000, log: { level: 'warn' } },
  });
  expect(readCommand(['--config', file, '--check-config'])).toMatchObject({ exitCode: 0 });
  expect(readCommand(['--config', file, '--print-config'])).toMatchObject({ exitCode: 0 });
});

it('names every mistake and ends with 2', () => {
  const file = configFile(`{cluster_name: 'NO', color: red, auth: {address: nowhere}}`);
  const command = readCommand(['--config', file]);
  expect(command).toMatchObject({ type: 'done', exitCode: 2 });
  if (command.type !== 'done') throw new Error('served');
  for (const key of ['color', 'cluster_name', 'address', 'state_dir'])
    expect(command.text).toContain(key);
  expect(readCommand([])).toMatchObject({ exitCode: 2 });
  expect(readCommand(['--no-such-flag'])).toMatchObject({ exitCode: 2 });
});
