/**
 * The README's first session, then the administrator's page, as they stand there: every block marked `console run`, in
 * order, in a shell. Blocks marked `yaml file NAME` are files of that name.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { TOTP, URI } from 'otpauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startHome, type Home } from '../stack/home.js';
import { root } from '../stack/installation.js';
import { eventually, run, type RunResult } from '../stack/run.js';

/** The commands of each block; a line that ends in a backslash goes on. */
function readBlocks(file: string): string[][] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^```console run\n([\s\S]*?)^```$/gm)].map(([, block = '']) =>
    block
      .replaceAll('\\\n', '')
      .split('\n')
      .filter((line) => line.startsWith('$ '))
      .map((line) => line.slice(2)),
  );
}

function readFiles(file: string): [string, string][] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^```yaml file (\S+)\n([\s\S]*?)^```$/gm)].map(
    ([, name = '', content = '']) => [name, content],
  );
}

describe('what the documentation says', () => {
  const blocks = readBlocks('README.md');
  const administration = 'docs/administration.md';
  const outputs = new Map<string, string>();
  let home: Home;
  let dir: string;

  beforeAll(async () => {
    home = await startHome();
    dir = mkdtempSync(join(home.dir, 'newcomer-'));
    mkdirSync(join(dir, 'bin'));
    symlinkSync(join(root, 'bin/gate'), join(dir, 'bin/gate'));
  });
  afterAll(async () => {
    rmSync(dir, { recursive: true, force: true });
    await home[Symbol.asyncDispose]();
  });

  const shell = async (command: string, env: Record<string, string> = {}): Promise<RunResult> =>
    run('sh', ['-c', command], {
      cwd: dir,
      timeoutMs: 60_000,
      // What `npm start` noted for whoever started it is all that a newcomer has.
      env: {
        PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}`,
        GATE_HOME: home.folder('starter'),
        SSH_AUTH_SOCK: '',
        NO_COLOR: '1',
        ...env,
      },
    });

  /** What the README leaves for the reader to fill in. */
  async function variablesOf(command: string): Promise<Record<string, string>> {
    if (command.includes('$INVITE')) return { INVITE: home.ready.adminInviteUrl ?? '' };
    if (command.includes('$OTP')) {
      const totp = URI.parse(readFileSync(join(dir, 'authenticator.txt'), 'utf8').trim());
      return { OTP: totp instanceof TOTP ? totp.generate() : '' };
    }
    if (command.includes('$REC')) return { REC: await waitForRecording() };
    return {};
  }

  async function waitForRecording(): Promise<string> {
    return eventually('a complete recording', async () => {
      const { stdout } = await shell('bin/gate recordings ls --format json');
      const recordings = JSON.parse(stdout) as { id: string; complete: boolean }[];
      return recordings.find(({ complete }) => complete)?.id;
    });
  }

  it('has in the README what a first session needs', () => {
    const commands = blocks.flat().join('\n');
    for (const part of ['invite accept', 'login', 'ls', 'ssh', 'audit search', 'recordings play'])
      expect(commands).toContain(`bin/gate ${part}`);
  });

  it.each(blocks.flat())('runs of the README: %s', async (command) => {
    const result = await shell(command, await variablesOf(command));
    expect(result.code, `${result.stderr}${result.stdout}`).toBe(0);
    outputs.set(command, result.stdout);
  });

  it('shows what was done', async () => {
    const outputOf = (part: string) =>
      [...outputs].find(([command]) => command.includes(part))?.[1] ?? '';
    expect(outputOf('gate ls')).toContain(hostname().split('.')[0]?.toLowerCase());
    expect(outputOf('uname -a')).toBe((await run('uname', ['-a'])).stdout);
    const found = await eventually('all events of the session', async () => {
      const { stdout } = await shell('bin/gate audit search --limit 50');
      return stdout.includes('session.ended') ? stdout : undefined;
    });
    for (const type of [
      'login.succeeded',
      'session.started',
      'ssh.command_started',
      'ssh.command_ended',
    ])
      expect(found).toContain(type);
    expect(outputOf('recordings play')).toContain('this is recorded');
  });

  it.each(readBlocks(administration).flat())(
    'runs of the administration page: %s',
    async (command) => {
      for (const [name, content] of readFiles(administration))
        writeFileSync(join(dir, name), content);
      const result = await shell(command);
      expect(result.code, `${result.stderr}${result.stdout}`).toBe(0);
    },
  );
});
