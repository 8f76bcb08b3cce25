/** Clients beside ssh, scp and sftp; tools/install-servers.sh brings them. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { sshFingerprint } from '@gatehouse/identity';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { defaultOptions, run, sshOptions, startWithSshd, type Harness } from './harness.js';

let harness: Harness;
let stop: () => Promise<void>;

beforeAll(async () => {
  const started = await startWithSshd();
  harness = started.harness;
  stop = async () => {
    await harness.close();
    await started.sshd[Symbol.asyncDispose]();
  };
});

afterAll(async () => {
  await stop();
});

beforeEach(() => {
  harness.options.current = defaultOptions;
  harness.events.length = 0;
});

describe('rsync', () => {
  const shell = () =>
    ['ssh', ...sshOptions(harness.files), '-p', String(harness.port), '-o', 'User=root@web-1'].join(
      ' ',
    );
  const rsync = (args: string[]) => run('rsync', ['-e', shell(), ...args], { timeoutMs: 60_000 });

  it('brings trees across, does nothing the second time, and finds one changed file', async () => {
    const source = join(harness.dir, 'tree');
    await mkdir(source);
    for (let i = 0; i < 300; i += 1) await writeFile(join(source, `file-${i}`), `content ${i}`);
    const target = join(harness.dir, 'tree-there');
    expect((await rsync(['-aW', '--dry-run', `${source}/`, `127.0.0.1:${target}`])).code).toBe(0);
    expect(existsSync(target)).toBe(false);
    expect((await rsync(['-avW', `${source}/`, `127.0.0.1:${target}`])).code).toBe(0);
    expect((await readdir(target)).length).toBe(300);
    await writeFile(join(source, 'file-7'), 'another content');
    const second = await rsync(['-avW', `${source}/`, `127.0.0.1:${target}`]);
    expect(second.stdout.toString().match(/^file-/gm)).toHaveLength(1);
    const back = join(harness.dir, 'tree-back');
    expect((await rsync(['-a', `127.0.0.1:${target}/`, back])).code).toBe(0);
    expect(await readFile(join(back, 'file-7'), 'utf8')).toBe('another content');
    const events = await harness.waitForEvent('ssh.file_transferred', 4);
    expect(events.map((event) => event.data['direction'])).toEqual([
      'upload',
      'upload',
      'upload',
      'download',
    ]);
    expect(events.every((event) => event.data['tool'] === 'rsync')).toBe(true);
  });

  it.each(['upload', 'download'] as const)(
    'works in one direction only with file_transfer: %s',
    async (allowed) => {
      harness.options.current = { ...defaultOptions, fileTransfer: allowed };
      const file = join(harness.dir, `one-${allowed}`);
      await writeFile(file, 'x');
      const up = await rsync(['-a', file, `127.0.0.1:${file}.up`]);
      const down = await rsync(['-a', `127.0.0.1:${file}`, `${file}.down`]);
      const [good, bad] = allowed === 'upload' ? [up, down] : [down, up];
      expect(good.code).toBe(0);
      expect(bad.code).not.toBe(0);
      expect(bad.stderr).toContain(
        `${allowed === 'upload' ? 'download' : 'upload'} is not allowed`,
      );
    },
  );
});

describe('SOCKS', () => {
  it('reaches names through the target, with an event for each destination', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('HTTP/1.0 200 OK\r\n\r\nby socks');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const probe = createServer();
    await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
    const socks = (probe.address() as AddressInfo).port;
    await new Promise((resolve) => probe.close(resolve));
    const child = spawn('ssh', [
      ...sshOptions(harness.files),
      '-N',
      '-D',
      String(socks),
      '-p',
      String(harness.port),
      'root@web-1@127.0.0.1',
    ]);
    let body = '';
    for (let i = 0; i < 60 && body === ''; i += 1) {
      const result = await run('curl', [
        '-s',
        '--noproxy',
        '',
        '--max-time',
        '5',
        '-x',
        `socks5h://127.0.0.1:${socks}`,
        `http://localhost:${port}/`,
      ]);
      body = result.stdout.toString();
      if (body === '') await sleep(100);
    }
    child.kill('SIGKILL');
    server.close();
    expect(body).toBe('by socks');
    const [opened] = await harness.waitForEvent('ssh.forward_opened');
    expect(opened?.data).toMatchObject({ kind: 'local', host: 'localhost', port });
  });
});

describe('plink', () => {
  it('logs in with a certificate and knows the plain host key', async () => {
    const key = join(harness.dir, 'key.ppk');
    const made = await run('puttygen', [harness.files.key, '-O', 'private', '-o', key]);
    expect(made).toMatchObject({ code: 0 });
    const scanned = await run('ssh-keyscan', ['-p', String(harness.port), '127.0.0.1']);
    const [, , blob = ''] = scanned.stdout.toString().trim().split('\n').at(-1)?.split(' ') ?? [];
    const result = await run('plink', [
      '-ssh',
      '-batch',
      '-noagent',
      '-P',
      String(harness.port),
      '-hostkey',
      sshFingerprint(Buffer.from(blob, 'base64')),
      '-i',
      key,
      '-cert',
      harness.files.certificate,
      '-l',
      'root@web-1',
      '127.0.0.1',
      'echo by plink; exit 6',
    ]);
    expect(result.stdout.toString()).toBe('by plink\n');
    expect(result.code).toBe(6);
  });
});
