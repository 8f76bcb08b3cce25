import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

import { readServiceCommand, type ServiceCommandLine } from './command-line.js';
import { Secret } from './config.js';

const schema = z.strictObject({
  name: z.string(),
  key: z
    .string()
    .default('')
    .transform((text) => new Secret(text)),
});
const line: ServiceCommandLine<typeof schema> = {
  name: 'some-service',
  summary: 'does something.',
  schema,
  verbs: { mend: 'mend it' },
  environment: { SOME_URL: 'where it is' },
};

function read(...args: string[]) {
  return readServiceCommand(line, args);
}

function configFile(text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'command-line-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'some.yaml');
  writeFileSync(file, text);
  return file;
}

it('serves, or does what the verb says, with a valid file', () => {
  const file = configFile('{name: n}');
  expect(read('--config', file)).toMatchObject({
    type: 'run',
    verb: undefined,
    config: { name: 'n' },
    logLevel: undefined,
  });
  expect(read('mend', '--config', file, '--log-level', 'warn')).toMatchObject({
    type: 'run',
    verb: 'mend',
    logLevel: 'warn',
  });
});

it('only checks or prints the file when asked, and prints no secret', () => {
  const file = configFile('{name: n, key: open sesame}');
  const checked = { type: 'done', text: `${file} is valid\n`, exitCode: 0 };
  expect(read('--config', file, '--check-config')).toEqual(checked);
  const printed = read('--config', file, '--print-config');
  expect(printed).toMatchObject({ type: 'done', exitCode: 0 });
  expect(JSON.stringify(printed)).toContain('***');
  expect(JSON.stringify(printed)).not.toContain('sesame');
});

it('ends with 2 and the usage for what it does not know', () => {
  const file = configFile('{name: n}');
  for (const args of [
    [],
    ['serve', '--config', file],
    ['toString', '--config', file],
    ['mend', 'more', '--config', file],
    ['--config', file, '--log-level', 'loud'],
  ]) {
    const command = read(...args);
    expect(command, args.join(' ')).toMatchObject({ type: 'done', exitCode: 2 });
    expect(JSON.stringify(command)).toContain('some-service mend --config FILE    mend it');
  }
});

it('says in a line what is wrong with a flag or a file, and ends with 2', () => {
  for (const args of [
    ['--no-such-flag'],
    ['--config', '/nonexistent'],
    ['--config', configFile('{name: 1}')],
  ]) {
    const command = read(...args);
    expect(command, args.join(' ')).toMatchObject({ type: 'done', exitCode: 2 });
    if (command.type !== 'done') throw new Error('ran');
    expect(command.text).toMatch(/^some-service: .*(no-such-flag|nonexistent|name)/s);
  }
});

it('lists verbs and variables when asked for help', () => {
  const help = read('--help');
  expect(help).toMatchObject({ type: 'done', exitCode: 0 });
  for (const text of ['some-service mend --config FILE', 'SOME_URL', '--check-config'])
    expect(JSON.stringify(help)).toContain(text);
});
