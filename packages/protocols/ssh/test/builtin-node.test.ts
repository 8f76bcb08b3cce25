import { spawn } from 'node:child_process';
/** The agent's own node, reached through the proxy by stock OpenSSH. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { issueTestHost } from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { spawn as spawnPty } from '@lydell/node-pty';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { createAgent } from '../src/agent.js';
import {
  defaultOptions,
  logger,
  run,
  ssh,
  sshOptions,
  startHarness,
  type Harness,
} from './harness.js';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness();
  await chmod(harness.dir, 0o755);
  const host = await issueTestHost(harness.authorities, ['here']);
  const agent = createAgent({
    logger,
    clock: systemClock,
    targetAuthorities: () => [harness.authorities.targetSsh.publicKey],
    hostCertificate: async () => host,
    databaseCertificate: async () => Promise.reject(new Error('no database')),
    builtin: { sameUserAccepted: true },
  });
  for (const login of ['root', 'nobody', 'nosuchuser']) {
    harness.targets.set(`here-${login}`, {
      spec: { builtin: true },
      dial: () =>
        agent.connect({
          sessionId: 'ses_1',
          target: 'here',
          spec: { builtin: true },
          principal: login,
          user: 'alice',
          details: {},
          signal: AbortSignal.timeout(60_000),
        }),
    });
  }
  // The harness dials by target; the node's certificate is for `here`.
  harness.targets.set('here', harness.targets.get('here-root')!);
});

afterAll(async () => {
  await harness.close();
});

beforeEach(() => {
  harness.options.current = defaultOptions;
  harness.events.length = 0;
  harness.recordings.length = 0;
});

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const isRoot = process.getuid?.() === 0;
const here = (args: string[], options = {}) => ssh(harness, 'root@here', args, options);

describe.runIf(isRoot)('the built-in node', () => {
  it('keeps stdout, stderr and the exit code apart', async () => {
    const result = await here(['printf out; printf err >&2; exit 3']);
    expect(result).toMatchObject({ code: 3, stderr: 'err' });
    expect(result.stdout.toString()).toBe('out');
  });

  it.each(['KILL', 'TERM'])('reports death by signal %s', async (signal) => {
    await here([`kill -${signal} $$`]);
    const [ended] = await harness.waitForEvent('ssh.command_ended');
    expect(ended?.data).toMatchObject({ signal });
  });

  it('ends the input of a program with the input of the client', async () => {
    const input = randomBytes(12 * 1024 * 1024);
    const result = await here(['cat'], { input });
    expect(sha256(result.stdout)).toBe(sha256(input));
  });

  it('carries large stdout and stderr at once', async () => {
    const result = await here([
      'head -c 6000000 /dev/zero | tr "\\0" o & head -c 6000000 /dev/zero | tr "\\0" e >&2; wait',
    ]);
    expect(result.stdout.length).toBe(6_000_000);
    expect(result.stderr.length).toBe(6_000_000);
  });

  it('passes command bytes that are no UTF-8', async () => {
    const command = Buffer.concat([
      Buffer.from("printf '%s' '"),
      Buffer.from([0xff, 0xfe]),
      Buffer.from("' | od -An -tx1"),
    ]);
    const script = join(harness.dir, 'raw.sh');
    const args = [...sshOptions(harness.files), '-p', String(harness.port), 'root@here@127.0.0.1']
      .map((word) => `'${word}'`)
      .join(' ');
    await writeFile(
      script,
      Buffer.concat([
        Buffer.from(`exec ssh ${args} "$(cat <<'E'\n`),
        command,
        Buffer.from('\nE\n)"\n'),
      ]),
    );
    expect((await run('bash', [script])).stdout.toString()).toContain('ff fe');
  });

  it('does not run what does not read its input for ever', async () => {
    const result = await here(['exec 0<&-; sleep 0.3; echo done'], {
      input: randomBytes(8_000_000),
    });
    expect(result.stdout.toString()).toBe('done\n');
  });

  it('accepts the language and no other variables', async () => {
    const result = await here(['env'], { flags: ['-o', 'SetEnv=LANG=C.UTF-8 FOO=bar'] });
    expect(result.stdout.toString()).toContain('LANG=C.UTF-8');
    expect(result.stdout.toString()).not.toContain('FOO=');
    expect(result.stdout.toString()).toContain('GATEHOUSE_USER=alice');
  });

  it('gives a terminal that follows resizes and is recorded', async () => {
    const pty = spawnPty(
      'ssh',
      [...sshOptions(harness.files), '-tt', '-p', String(harness.port), 'root@here@127.0.0.1'],
      { cols: 80, rows: 24 },
    );
    let output = '';
    pty.onData((data) => (output += data));
    const exited = new Promise<number>((resolve) =>
      pty.onExit(({ exitCode }) => resolve(exitCode)),
    );
    const waitFor = async (text: string) => expect.poll(() => output).toContain(text);
    await waitFor('#');
    pty.write('stty size; echo marker-$((40+2))\n');
    await waitFor('24 80');
    await waitFor('marker-42');
    pty.resize(132, 43);
    pty.write('until stty size | grep 132; do sleep 0.1; done; exit 5\n');
    await waitFor('43 132');
    expect(await exited).toBe(5);
    await harness.waitForEvent('session.ended');
    expect(harness.recordings[0]?.output).toContain('marker-42');
  });

  it('gives all of the output of a terminal', async () => {
    const result = await here(['seq 1 60000; echo last'], { flags: ['-tt'] });
    const lines = result.stdout.toString().split('\r\n');
    expect(lines.length).toBe(60_002);
    expect(lines.at(-2)).toBe('last');
  });

  it('sends Ctrl-C to what runs in the terminal', async () => {
    const pty = spawnPty(
      'ssh',
      [
        ...sshOptions(harness.files),
        '-tt',
        '-p',
        String(harness.port),
        'root@here@127.0.0.1',
        'trap "echo caught; exit 9" INT; echo ready; sleep 20',
      ],
      { cols: 80, rows: 24 },
    );
    let output = '';
    pty.onData((data) => (output += data));
    const exited = new Promise<number>((resolve) =>
      pty.onExit(({ exitCode }) => resolve(exitCode)),
    );
    await expect.poll(() => output).toContain('ready');
    pty.write('\x03');
    expect(await exited).toBe(9);
    expect(output).toContain('caught');
  });

  it.each([['-tt'], ['-T']])('hangs up on programs when the client goes (%s)', async (flag) => {
    const child = spawn('ssh', [
      ...sshOptions(harness.files),
      flag,
      '-p',
      String(harness.port),
      'root@here@127.0.0.1',
      'echo pid=$$; exec sleep 60',
    ]);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await expect.poll(() => output).toMatch(/pid=\d+\r?\n/);
    const pid = Number(/pid=(\d+)/.exec(output)?.[1]);
    child.kill('SIGKILL');
    const state = async () => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone');
    await expect.poll(state).toMatch(/^gone$| Z /);
  });

  it('serves SFTP', async () => {
    const source = join(harness.dir, 'source');
    await writeFile(source, randomBytes(5_000_000));
    const flags = [
      ...sshOptions(harness.files),
      '-P',
      String(harness.port),
      '-o',
      'User=root@here',
    ];
    expect(await run('scp', [...flags, source, `127.0.0.1:${source}.up`])).toMatchObject({
      code: 0,
    });
    expect(await run('scp', [...flags, `127.0.0.1:${source}.up`, `${source}.down`])).toMatchObject({
      code: 0,
    });
    expect(await readFile(`${source}.down`)).toEqual(await readFile(source));
  });

  it('connects forwards itself, with half-close', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let seen = 0;
      socket.on('data', (chunk: Buffer) => (seen += chunk.length));
      socket.on('end', () => socket.end(`${seen}`));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const result = await run(
      'ssh',
      [
        ...sshOptions(harness.files),
        '-W',
        `127.0.0.1:${port}`,
        '-p',
        String(harness.port),
        'root@here@127.0.0.1',
      ],
      { input: randomBytes(3_000_000) },
    );
    server.close();
    expect(result.stdout.toString()).toBe('3000000');
  });

  it('listens for the person, sends connections back, and stops with the session', async () => {
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port: local } = echo.address() as AddressInfo;
    const child = spawn('ssh', [
      ...sshOptions(harness.files),
      '-N',
      '-R',
      `0:127.0.0.1:${local}`,
      '-p',
      String(harness.port),
      'root@here@127.0.0.1',
    ]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await expect.poll(() => stderr).toContain('Allocated port');
    const port = Number(/Allocated port (\d+)/.exec(stderr)?.[1]);
    const content = randomBytes(2_000_000);
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(content);
    const chunks: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(content)).toBe(true);
    child.kill('SIGTERM');
    await harness.waitForEvent('session.ended');
    const isRefused = async () =>
      new Promise((resolve) => {
        const probe = connect(port, '127.0.0.1');
        probe.once('error', () => resolve(true));
        probe.once('connect', () => {
          probe.destroy();
          resolve(false);
        });
      });
    await expect.poll(isRefused).toBe(true);
    echo.close();
  });

  it('hands no descriptor of its own to programs: not the other end of a terminal that is open', async () => {
    const place = ['-tt', '-p', String(harness.port), 'root@here@127.0.0.1'];
    const pty = spawnPty('ssh', [...sshOptions(harness.files), ...place, 'echo open; sleep 60'], {
      cols: 80,
      rows: 24,
    });
    let shown = '';
    pty.onData((data) => (shown += data));
    await expect.poll(() => shown, { timeout: 10_000 }).toContain('open');
    for (const flags of [['-T'], ['-tt']]) {
      const listed = await here(['ls -l /proc/self/fd'], { flags });
      const numbers = listed.stdout.toString().match(/\d+(?= -> )/g);
      // The third is the folder that `ls` reads.
      expect(numbers).toEqual(['0', '1', '2', '3']);
      expect(listed.stdout.toString()).not.toContain('ptmx');
    }
    pty.kill();
  });

  it('gives programs no variable that its launcher made', async () => {
    const env = (await here(['env'])).stdout.toString().trim().split('\n');
    expect(env.map((line) => line.split('=')[0])).toEqual(
      expect.arrayContaining(['HOME', 'LOGNAME', 'PATH', 'SHELL', 'USER']),
    );
    expect(env.join('\n')).not.toContain('gatehouse');
  });

  it('lends the agent of the person where the role allows it', async () => {
    const socketPath = join(harness.dir, 'agent.sock');
    const agent = spawn('ssh-agent', ['-D', '-a', socketPath]);
    const env = { SSH_AUTH_SOCK: socketPath };
    for (let i = 0; i < 100; i += 1) {
      if ((await run('ssh-add', [harness.files.key], { env })).code === 0) break;
      await sleep(50);
    }
    harness.options.current = { ...defaultOptions, forwardAgent: true };
    const allowed = await here(
      ['ssh-add -L; cd ${SSH_AUTH_SOCK%/*}; stat -c %a:%u . socket; pwd'],
      { flags: ['-A'], env },
    );
    harness.options.current = defaultOptions;
    const refused = await here(['ssh-add -L; echo shell'], { flags: ['-A'], env });
    agent.kill();
    expect(allowed.stdout.toString()).toContain('ecdsa');
    expect(allowed.stdout.toString()).toContain('711:0\n600:0\n');
    expect(refused.stdout.toString()).toBe('shell\n');
    const dir = allowed.stdout.toString().trim().split('\n').at(-1) ?? '';
    await expect.poll(() => existsSync(dir)).toBe(false);
  });

  it('runs as the user of the login, with its groups and none of root', async () => {
    harness.targets.set('here', harness.targets.get('here-nobody')!);
    const result = await ssh(harness, 'nobody@here', ['/usr/sbin/nologin; id']);
    harness.targets.set('here', harness.targets.get('here-root')!);
    // nobody has no shell: what its own shell says is what comes.
    expect(result.stdout.toString() + result.stderr).toContain('not available');
  });

  it('lets nobody in by another login than the grant says', async () => {
    harness.targets.set('here', harness.targets.get('here-nobody')!);
    const result = await here(['id']);
    harness.targets.set('here', harness.targets.get('here-root')!);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('refused the certificate');
  });

  it('says so when there is no such user', async () => {
    harness.targets.set('here', harness.targets.get('here-nosuchuser')!);
    const result = await ssh(harness, 'nosuchuser@here', ['id']);
    harness.targets.set('here', harness.targets.get('here-root')!);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('there is no user nosuchuser');
    await harness.waitForEvent('session.connect_failed');
  });
});
