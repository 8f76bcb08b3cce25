import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Stock OpenSSH through the facet to a real sshd. */
import { spawn as spawnPty } from '@lydell/node-pty';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { defaultOptions, run, ssh, sshOptions, startWithSshd, type Harness } from './harness.js';

let harness: Harness;
let stop: () => Promise<void>;

beforeAll(async () => {
  const started = await startWithSshd({
    config: ['AcceptEnv LANG SECRET LD_PRELOAD PATH', 'MaxSessions 4'],
  });
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
  harness.recordings.length = 0;
});

/** Not running; a zombie that nobody has reaped yet counts as gone. */
async function isGone(pid: number): Promise<boolean> {
  for (let i = 0; i < 400; i += 1) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined || / Z /.test(stat)) return true;
    await sleep(25);
  }
  return false;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('a command', () => {
  it('keeps stdout, stderr and the exit code apart', async () => {
    const result = await ssh(harness, 'root@web-1', ['printf out; printf err >&2; exit 3']);
    expect(result).toMatchObject({ code: 3, stderr: 'err' });
    expect(result.stdout.toString()).toBe('out');
    const [started] = await harness.waitForEvent('ssh.command_started');
    expect(started?.data).toMatchObject({
      kind: 'exec',
      command: 'printf out; printf err >&2; exit 3',
      pty: false,
    });
    const [ended] = await harness.waitForEvent('ssh.command_ended');
    expect(ended).toMatchObject({ outcome: 'failure', data: { exit_code: 3, bytesOut: 6 } });
    await harness.waitForEvent('session.ended');
    expect(harness.recordings).toEqual([]);
  });

  it.each([0, 42, 127, 255])('hands on exit code %i', async (code) => {
    const result = await ssh(harness, 'root@web-1', [`exit ${code}`]);
    expect(result.code).toBe(code);
    const [ended] = await harness.waitForEvent('ssh.command_ended');
    expect(ended?.data).toMatchObject({ exit_code: code });
  });

  it.each(['KILL', 'TERM'])('reports death by signal %s', async (signal) => {
    const result = await ssh(harness, 'root@web-1', [`kill -${signal} $$`]);
    expect(result.code).not.toBe(0);
    const [ended] = await harness.waitForEvent('ssh.command_ended');
    expect(ended?.data).toMatchObject({ signal });
  });

  it('carries 24 MiB both ways unchanged', async () => {
    const input = randomBytes(24 * 1024 * 1024);
    const result = await ssh(harness, 'root@web-1', ['cat'], { input });
    expect(sha256(result.stdout)).toBe(sha256(input));
  });

  it('carries large stdout and stderr at once without a deadlock', async () => {
    const result = await ssh(harness, 'root@web-1', [
      'head -c 6000000 /dev/zero | tr "\\0" o & head -c 6000000 /dev/zero | tr "\\0" e >&2; wait',
    ]);
    expect(result.stdout.length).toBe(6_000_000);
    expect(result.stderr.length).toBe(6_000_000);
  });

  it('passes bytes that are no UTF-8 and escapes them in the event', async () => {
    const result = await ssh(harness, 'root@web-1', [
      'printf "\\377" | od -An -tx1; x=$(printf "a\u001bb"); echo ok',
    ]);
    expect(result.stdout.toString()).toContain('ff');
    const [started] = await harness.waitForEvent('ssh.command_started');
    expect(started?.data['command']).toContain('a\\x1bb');
  });

  it('drops variables that change what is loaded, and passes the others', async () => {
    const result = await ssh(harness, 'root@web-1', ['env'], {
      flags: ['-o', 'SetEnv=LANG=x SECRET=canary-7 LD_PRELOAD=/x PATH=/x'],
    });
    const env = result.stdout.toString();
    expect(env).toContain('LANG=x');
    expect(env).toContain('SECRET=canary-7');
    expect(env).not.toContain('LD_PRELOAD');
    expect(env).not.toContain('PATH=/x\n');
    const denied = await harness.waitForEvent('ssh.request_denied', 2);
    expect(denied.map((event) => event.data['name'])).toEqual(['LD_PRELOAD', 'PATH']);
    expect(JSON.stringify(harness.events)).not.toContain('canary-7');
  });

  it('survives new keys every megabyte', async () => {
    const input = randomBytes(8 * 1024 * 1024);
    const result = await ssh(harness, 'root@web-1', ['cat'], {
      input,
      flags: ['-o', 'RekeyLimit=1M', '-C'],
    });
    expect(sha256(result.stdout)).toBe(sha256(input));
  });

  it('reaches the target under host certificates only, without a prompt', async () => {
    const result = await ssh(harness, 'root@web-1', ['true'], {
      files: { ...harness.files, knownHosts: '/dev/null' },
    });
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('Host key verification failed');
  });

  it('negotiates strict key exchange and GCM with OpenSSH', async () => {
    const result = await ssh(harness, 'root@web-1', ['true'], { flags: ['-vvv'] });
    expect(result.stderr).toContain('will use strict KEX ordering');
    expect(result.stderr).toMatch(/cipher: aes\d+-gcm@openssh.com/);
  });
});

describe('several channels', () => {
  it('keeps two commands on one connection apart', async () => {
    const control = join(harness.dir, 'cm');
    const master = await ssh(harness, 'root@web-1', [], {
      flags: ['-M', '-S', control, '-f', '-N', '-o', 'ControlPersist=20'],
    });
    expect(master.code).toBe(0);
    const one = (letter: string) =>
      ssh(harness, 'root@web-1', [`head -c 10000000 /dev/zero | tr "\\0" ${letter}`], {
        flags: ['-S', control],
      });
    const [a, b] = await Promise.all([one('a'), one('b')]);
    expect(sha256(a.stdout)).toBe(sha256(Buffer.alloc(10_000_000, 'a')));
    expect(sha256(b.stdout)).toBe(sha256(Buffer.alloc(10_000_000, 'b')));
    await run('ssh', ['-S', control, '-O', 'exit', 'x']);
    await harness.waitForEvent('ssh.command_ended', 2);
    expect(harness.events.filter((event) => event.type === 'session.started')).toHaveLength(1);
  });

  it('says so when the target takes no more sessions', async () => {
    const control = join(harness.dir, 'cm2');
    await ssh(harness, 'root@web-1', [], {
      flags: ['-M', '-S', control, '-f', '-N', '-o', 'ControlPersist=20'],
    });
    const results = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(() =>
        ssh(harness, 'root@web-1', ['sleep 1'], {
          flags: ['-S', control, '-o', 'ControlMaster=no'],
        }),
      ),
    );
    await run('ssh', ['-S', control, '-O', 'exit', 'x']);
    const refused = results.filter((result) =>
      result.stderr.includes('target refused another session'),
    );
    expect(results.filter((result) => result.code === 0).length).toBeGreaterThanOrEqual(4);
    expect(refused.length).toBeLessThanOrEqual(2);
  });
});

describe('a terminal', () => {
  it('follows resizes, is recorded and ends with the exit code of the shell', async () => {
    const args = [
      ...sshOptions(harness.files),
      '-tt',
      '-p',
      String(harness.port),
      'root@web-1@127.0.0.1',
    ];
    const pty = spawnPty('ssh', args, { cols: 80, rows: 24, name: 'xterm' });
    let output = '';
    pty.onData((data) => (output += data));
    const exited = new Promise<number>((resolve) =>
      pty.onExit(({ exitCode }) => resolve(exitCode)),
    );
    const waitFor = async (text: string) => expect.poll(() => output).toContain(text);
    await waitFor('# ');
    pty.write('echo marker-$((40+2)); stty size\n');
    await waitFor('marker-42');
    await waitFor('24 80');
    pty.resize(132, 43);
    pty.write('until stty size | grep 132; do sleep 0.1; done; exit 5\n');
    await waitFor('43 132');
    expect(await exited).toBe(5);
    await harness.waitForEvent('session.ended');
    expect(harness.recordings).toHaveLength(1);
    expect(harness.recordings[0]).toMatchObject({
      columns: 80,
      rows: 24,
      resizes: ['132x43'],
      ended: true,
    });
    expect(harness.recordings[0]?.output).toContain('marker-42');
    expect(harness.recordings[0]?.output).toContain('\r\n');
    const [started] = await harness.waitForEvent('ssh.command_started');
    expect(started?.data).toMatchObject({ kind: 'shell', command: null, pty: true });
  });

  it('passes terminal modes', async () => {
    const result = await ssh(harness, 'root@web-1', ['stty -a'], { flags: ['-tt'] });
    expect(result.stdout.toString()).toContain('icanon');
    expect(harness.recordings[0]?.output).toContain('icanon');
  });

  it('hangs up on the target when the client is killed', async () => {
    const child = spawn('ssh', [
      ...sshOptions(harness.files),
      '-tt',
      '-p',
      String(harness.port),
      'root@web-1@127.0.0.1',
      'echo pid=$$; exec sleep 60',
    ]);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await expect.poll(() => output).toMatch(/pid=\d+\r/);
    const pid = Number(/pid=(\d+)/.exec(output)?.[1]);
    child.kill('SIGKILL');
    const [ended] = await harness.waitForEvent('session.ended');
    expect(ended?.reason).toBe('client_left');
    expect(await isGone(pid)).toBe(true);
  });

  it('pauses the target while the recorder is behind', async () => {
    let release: () => void = () => undefined;
    harness.recorder.overloaded = true;
    harness.recorder.drained = () => new Promise((resolve) => (release = resolve));
    const running = ssh(
      harness,
      'root@web-1',
      ['head -c 3000000 /dev/zero | tr "\\0" x; echo; echo done'],
      { flags: ['-tt'] },
    );
    await sleep(700);
    const held = harness.recordings[0]?.output.length ?? 0;
    expect(held).toBeLessThan(2_900_000);
    harness.recorder.overloaded = false;
    release();
    const result = await running;
    expect(result.stdout.toString()).toContain('done');
    expect(harness.recordings[0]?.output.length).toBeGreaterThan(3_000_000);
  });
});

describe('the end of a session', () => {
  it('is said in text and at once when the host ends it', async () => {
    const running = ssh(harness, 'root@web-1', ['sleep 30']);
    await harness.waitForEvent('ssh.command_started');
    const before = Date.now();
    harness.end({ reason: 'lock', message: 'locked: incident 7' });
    const result = await running;
    expect(Date.now() - before).toBeLessThan(15_000);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('locked: incident 7');
    // That of the session before may still come, too.
    const reasons = () =>
      harness.events.filter(({ type }) => type === 'session.ended').map(({ reason }) => reason);
    await expect.poll(reasons, { timeout: 10_000 }).toContain('lock');
    expect(harness.events.some((event) => event.type === 'ssh.command_ended')).toBe(true);
  });
});

describe('audit before effect', () => {
  it('never runs a command whose event was not acknowledged, and leaves the connection usable', async () => {
    const { hostError } = await import('@gatehouse/protocol-api');
    const marker = join(harness.dir, 'ran');
    harness.audit.beforeEffect = () => Promise.reject(hostError('AUDIT_UNAVAILABLE'));
    const result = await ssh(harness, 'root@web-1', [`touch ${marker}`]);
    harness.audit.beforeEffect = async () => undefined;
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('audit is not available');
    expect((await ssh(harness, 'root@web-1', [`test -e ${marker}`])).code).toBe(1);
  });

  it('keeps input that comes before the acknowledgement', async () => {
    harness.audit.beforeEffect = () => sleep(400);
    const input = randomBytes(1_500_000);
    const result = await ssh(harness, 'root@web-1', ['cat'], { input });
    harness.audit.beforeEffect = async () => undefined;
    expect(sha256(result.stdout)).toBe(sha256(input));
  });
});

describe('file transfer', () => {
  const scpFlags = () => [...sshOptions(harness.files), '-P', String(harness.port)];

  it('fetches one file over SFTP as first and only channel', async () => {
    const local = join(harness.dir, 'hostname');
    const result = await run('sftp', [
      ...scpFlags(),
      '-o',
      'User=root@web-1',
      '127.0.0.1:/etc/hostname',
      local,
    ]);
    expect(result.code).toBe(0);
    expect(await readFile(local)).toEqual(await readFile('/etc/hostname'));
    const [event] = await harness.waitForEvent('ssh.file_transferred');
    expect(event).toMatchObject({
      outcome: 'success',
      data: {
        path: '/etc/hostname',
        direction: 'download',
        bytes: (await readFile('/etc/hostname')).length,
        tool: 'sftp',
        complete: true,
      },
    });
    expect(harness.events.filter((each) => each.type === 'ssh.file_transferred')).toHaveLength(1);
  });

  it('leaves errors to SFTP', async () => {
    const result = await run('sftp', [
      ...scpFlags(),
      '-o',
      'User=root@web-1',
      '127.0.0.1:/nope',
      harness.dir,
    ]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain('not found');
  });

  it.each([[[]], [['-O']]])('moves 20 MiB each way with scp %j', async (flags) => {
    const source = join(harness.dir, 'source');
    const there = join(harness.dir, 'there');
    const back = join(harness.dir, 'back');
    await writeFile(source, randomBytes(20 * 1024 * 1024));
    expect(
      await run('scp', [
        ...flags,
        ...scpFlags(),
        source,
        `scp://${encodeURIComponent('root@web-1')}@127.0.0.1:${harness.port}/${there}`,
      ]),
    ).toMatchObject({ code: 0 });
    expect(
      await run('scp', [
        ...flags,
        ...scpFlags(),
        '-o',
        'User=root@web-1',
        `127.0.0.1:${there}`,
        back,
      ]),
    ).toMatchObject({ code: 0 });
    expect(sha256(await readFile(back))).toBe(sha256(await readFile(source)));
    const events = await harness.waitForEvent('ssh.file_transferred', 2);
    expect(events.map((event) => event.data['direction'])).toEqual(['upload', 'download']);
    for (const event of events)
      expect(event.data['bytes']).toBeGreaterThanOrEqual(20 * 1024 * 1024);
  });

  it('reports a path as asked and as the target resolved it', async () => {
    await symlink('/etc/hostname', join(harness.dir, 'link'));
    const batch = [
      `get ${harness.dir}/../${basename(harness.dir)}//link ${harness.dir}/got`,
      '',
    ].join('\n');
    await run('sftp', [...scpFlags(), '-o', 'User=root@web-1', '-b', '-', '127.0.0.1'], {
      input: batch,
    });
    const [event] = await harness.waitForEvent('ssh.file_transferred');
    expect(event?.data['path']).toContain('link');
    expect(event?.data['resolvedPath']).toBe('/etc/hostname');
  });

  it('audits rename, symlink, setstat and removal', async () => {
    const path = join(harness.dir, 'changed');
    await writeFile(path, 'x');
    const batch = [
      `chmod 600 ${path}`,
      `rename ${path} ${path}.2`,
      `symlink ${path}.2 ${path}.3`,
      `rm ${path}.2`,
      '',
    ].join('\n');
    const result = await run(
      'sftp',
      [...scpFlags(), '-o', 'User=root@web-1', '-b', '-', '127.0.0.1'],
      { input: batch },
    );
    expect(result.code).toBe(0);
    const events = await harness.waitForEvent('ssh.file_changed', 4);
    expect(events.map((event) => event.data['operation'])).toEqual([
      'setstat',
      'rename',
      'symlink',
      'remove',
    ]);
  });

  describe.each(['upload', 'download'] as const)('with %s only', (allowed) => {
    const forbidden = allowed === 'upload' ? 'download' : 'upload';

    it.each([
      ['sftp', []],
      ['scp', ['-O']],
    ] as const)('lets %s %j work in that direction alone', async (tool, flags) => {
      harness.options.current = { ...defaultOptions, fileTransfer: allowed };
      const source = join(harness.dir, `src-${allowed}-${tool}`);
      await writeFile(source, 'content');
      const up = join(harness.dir, `up-${allowed}-${tool}`);
      const down = join(harness.dir, `down-${allowed}-${tool}`);
      const args = [...scpFlags(), '-o', 'User=root@web-1'];
      const upload = await run('scp', [...flags, ...args, source, `127.0.0.1:${up}`]);
      const download = await run('scp', [...flags, ...args, `127.0.0.1:${source}`, down]);
      const [good, bad] = allowed === 'upload' ? [upload, download] : [download, upload];
      expect(good).toMatchObject({ code: 0, stderr: '' });
      expect(bad.code).not.toBe(0);
      expect(bad.stderr).toContain(`${forbidden} is not allowed`);
      const denied = await harness.waitForEvent('ssh.file_denied');
      expect(denied[0]?.data).toMatchObject({ direction: forbidden });
      expect(
        (await ssh(harness, 'root@web-1', [`test -e ${allowed === 'upload' ? up : down}`])).code,
      ).toBe(0);
      expect(
        (await ssh(harness, 'root@web-1', [`test -e ${allowed === 'upload' ? down : up}`])).code,
      ).toBe(1);
    });
  });

  it.each([
    ['sftp', []],
    ['scp', ['-O']],
  ] as const)('refuses %s %j where none is allowed, and runs a shell', async (_tool, flags) => {
    harness.options.current = { ...defaultOptions, fileTransfer: 'none' };
    const result = await run('scp', [
      ...flags,
      ...scpFlags(),
      '-o',
      'User=root@web-1',
      '127.0.0.1:/etc/hostname',
      harness.dir,
    ]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain('file transfer is not allowed');
    await harness.waitForEvent('ssh.file_denied');
    expect((await ssh(harness, 'root@web-1', ['echo shell'])).stdout.toString()).toBe('shell\n');
  });
});
