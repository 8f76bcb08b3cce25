/** Forwards, the jump host and what is refused of them, with stock OpenSSH. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { events } from '../src/events.js';
import {
  addSshd,
  defaultOptions,
  run,
  ssh,
  sshOptions,
  startWithSshd,
  type Harness,
} from './harness.js';

let harness: Harness;
let stop: () => Promise<void>;
const children: ChildProcess[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  const started = await startWithSshd();
  harness = started.harness;
  const second = await addSshd(harness, 'web-2');
  stop = async () => {
    await harness.close();
    await started.sshd[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
  };
});

afterAll(async () => {
  await stop();
});

beforeEach(() => {
  harness.options.current = defaultOptions;
  harness.events.length = 0;
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) server.close();
});

async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function readAll(port: number, input?: Buffer | string): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('error', () => undefined);
  if (input !== undefined) socket.end(input);
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  socket.destroy();
  return Buffer.concat(chunks);
}

/** ssh with forwards, running until the test ends. Resolves with its stderr once `ready` is in it or the port answers. */
async function startSsh(
  flags: string[],
  isReady: (stderr: string) => boolean | Promise<boolean>,
): Promise<() => string> {
  const child = spawn('ssh', [
    ...sshOptions(harness.files),
    ...flags,
    '-N',
    '-p',
    String(harness.port),
    'root@web-1@127.0.0.1',
  ]);
  children.push(child);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  for (let i = 0; i < 800; i += 1) {
    if (await isReady(stderr)) return () => stderr;
    await sleep(25);
  }
  throw new Error(`not ready: ${stderr}`);
}

const accepts = (port: number) => async () =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

async function freePort(): Promise<number> {
  const port = await listen(() => undefined);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return port;
}

describe('local forwarding', () => {
  it('carries 10 MB exactly and says so in the audit', async () => {
    const content = randomBytes(10_000_000);
    const target = await listen((socket) => socket.end(content));
    const local = await freePort();
    await startSsh(['-L', `${local}:127.0.0.1:${target}`], accepts(local));
    expect((await readAll(local)).equals(content)).toBe(true);
    // The first one is the probe that found the port open.
    const closed = await harness.waitForEvent('ssh.forward_closed', 2);
    expect(closed.at(-1)?.data).toMatchObject({
      kind: 'local',
      host: '127.0.0.1',
      port: target,
      bytesOut: 10_000_000,
    });
    const [opened] = await harness.waitForEvent('ssh.forward_opened');
    expect(opened?.data).toMatchObject({ kind: 'local', host: '127.0.0.1', port: target });
  });

  it('keeps the session when a port is closed', async () => {
    const target = await listen((socket) => socket.end('hello'));
    const [bad, good, closedPort] = [await freePort(), await freePort(), await freePort()];
    await startSsh(
      ['-L', `${bad}:127.0.0.1:${closedPort}`, '-L', `${good}:127.0.0.1:${target}`],
      accepts(good),
    );
    expect((await readAll(bad)).length).toBe(0);
    expect((await readAll(good)).toString()).toBe('hello');
    const closed = await harness.waitForEvent('ssh.forward_closed', 2);
    expect(closed.some((event) => event.outcome === 'failure')).toBe(true);
  });

  it('lets each direction end by itself', async () => {
    const target = await listen((socket) => {
      let seen = 0;
      socket.on('data', (chunk: Buffer) => (seen += chunk.length));
      socket.on('end', () => setTimeout(() => socket.end(`late ${seen}`), 200));
    });
    const local = await freePort();
    await startSsh(['-L', `${local}:127.0.0.1:${target}`], accepts(local));
    expect((await readAll(local, randomBytes(2_000_000))).toString()).toBe('late 2000000');
  });

  it('reaches sockets in the file system', async () => {
    const path = join(harness.dir, 'socket');
    const server = createServer((socket) => socket.end('from a socket'));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const local = await freePort();
    await startSsh(['-L', `${local}:${path}`], accepts(local));
    expect((await readAll(local)).toString()).toBe('from a socket');
    const [opened] = await harness.waitForEvent('ssh.forward_opened');
    expect(opened?.data).toMatchObject({ kind: 'local', path });
  });

  it.each(['none', 'remote'] as const)(
    'is refused with port_forwarding: %s, while a command runs',
    async (portForwarding) => {
      harness.options.current = { ...defaultOptions, portForwarding };
      const target = await listen((socket) => socket.end('secret'));
      const local = await freePort();
      const stderr = await startSsh(['-L', `${local}:127.0.0.1:${target}`], accepts(local));
      expect((await readAll(local)).length).toBe(0);
      const [denied] = await harness.waitForEvent('ssh.forward_denied');
      expect(denied).toMatchObject({ outcome: 'denied', data: { kind: 'local', port: target } });
      await expect.poll(stderr).toContain('local forwarding is not allowed');
      expect((await ssh(harness, 'root@web-1', ['echo ok'])).stdout.toString()).toBe('ok\n');
    },
  );
});

describe('remote forwarding', () => {
  it('prints the port, carries data both ways and closes with the session', async () => {
    const local = await listen((socket) => socket.pipe(socket));
    const stderr = await startSsh(['-R', `0:127.0.0.1:${local}`], (text) =>
      text.includes('Allocated port'),
    );
    const port = Number(/Allocated port (\d+)/.exec(stderr())?.[1]);
    const content = randomBytes(3_000_000);
    expect((await readAll(port, content)).equals(content)).toBe(true);
    const [opened] = await harness.waitForEvent('ssh.forward_opened');
    expect(opened?.data).toMatchObject({ kind: 'remote', port });
    children[0]?.kill('SIGTERM');
    await harness.waitForEvent('session.ended');
    await expect.poll(accepts(port)).toBe(false);
  });

  it.each(['none', 'local'] as const)(
    'is refused with port_forwarding: %s',
    async (portForwarding) => {
      harness.options.current = { ...defaultOptions, portForwarding };
      const result = await ssh(harness, 'root@web-1', ['echo in'], {
        flags: ['-R', '0:127.0.0.1:1'],
      });
      expect(result.stderr).toContain('remote port forwarding failed');
      expect(result.stdout.toString()).toBe('in\n');
      const [denied] = await harness.waitForEvent('ssh.forward_denied');
      expect(denied?.data).toMatchObject({ kind: 'remote' });
    },
  );
});

describe('agent forwarding', () => {
  it('works three times at once where it is allowed, and is refused alone where not', async () => {
    const socketPath = join(harness.dir, 'agent.sock');
    const agent = spawn('ssh-agent', ['-D', '-a', socketPath]);
    children.push(agent);
    const env = { SSH_AUTH_SOCK: socketPath };
    for (let i = 0; i < 100; i += 1) {
      if ((await run('ssh-add', [harness.files.key], { env })).code === 0) break;
      await sleep(50);
    }
    harness.options.current = { ...defaultOptions, forwardAgent: true };
    const control = join(harness.dir, 'cm-a');
    await ssh(harness, 'root@web-1', [], {
      flags: ['-A', '-M', '-S', control, '-f', '-N', '-o', 'ControlPersist=20'],
      env,
    });
    const lists = await Promise.all(
      [1, 2, 3].map(() =>
        ssh(harness, 'root@web-1', ['ssh-add -L'], { flags: ['-A', '-S', control], env }),
      ),
    );
    for (const list of lists) expect(list.stdout.toString()).toContain('ecdsa');
    await run('ssh', ['-S', control, '-O', 'exit', 'x']);

    harness.options.current = { ...defaultOptions, forwardAgent: false };
    const refused = await ssh(harness, 'root@web-1', ['ssh-add -L; echo shell'], {
      flags: ['-A'],
      env,
    });
    expect(refused.stdout.toString()).toBe('shell\n');
    const [denied] = await harness.waitForEvent('ssh.request_denied');
    expect(denied?.data).toMatchObject({ name: 'auth-agent' });
  });
});

describe('the port as a jump host', () => {
  const jump = (destination: string, args: string[], flags: string[] = []) => {
    const proxy = [
      'ssh',
      ...sshOptions(harness.files),
      '-p',
      String(harness.port),
      '-W',
      '[%h]:%p',
      'alice@127.0.0.1',
    ].join(' ');
    return run('ssh', [
      ...sshOptions(harness.files),
      '-o',
      `ProxyCommand=${proxy}`,
      ...flags,
      destination,
      ...args,
    ]);
  };

  it('leads to a session of its own, under the host certificate of the target', async () => {
    const result = await jump('root@web-1', ['echo hi; exit 4']);
    expect(result.stdout.toString()).toBe('hi\n');
    expect(result.code).toBe(4);
    await harness.waitForEvent('ssh.command_ended');
    expect((await jump('root@web-1.test', ['true'])).code).toBe(0);
  });

  it('carries bulk data in both directions', async () => {
    const input = randomBytes(16 * 1024 * 1024);
    const proxy = [
      'ssh',
      ...sshOptions(harness.files),
      '-p',
      String(harness.port),
      '-W',
      '[%h]:%p',
      'alice@127.0.0.1',
    ].join(' ');
    const result = await run(
      'ssh',
      [...sshOptions(harness.files), '-o', `ProxyCommand=${proxy}`, 'root@web-1', 'cat'],
      { input },
    );
    expect(result.stdout.equals(input)).toBe(true);
  });

  it('refuses a target in words', async () => {
    const result = await jump('root@nope', ['true']);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('no such target or no access: nope');
  });

  it('refuses another person inside than outside', async () => {
    const { issueTestUser } = await import('@gatehouse/identity/testing');
    const { writeUserFiles } = await import('./harness.js');
    const bob = await writeUserFiles(
      join(harness.dir, 'bob'),
      harness.authorities,
      await issueTestUser(harness.authorities, { user: 'bob' }),
    );
    const proxy = [
      'ssh',
      ...sshOptions(harness.files),
      '-p',
      String(harness.port),
      '-W',
      '[%h]:%p',
      'alice@127.0.0.1',
    ].join(' ');
    const result = await run('ssh', [
      ...sshOptions(bob),
      '-o',
      `ProxyCommand=${proxy}`,
      'root@web-1',
      'true',
    ]);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('not of the person who opened the connection');
    expect((await harness.waitForEvent('connection.refused')).at(-1)?.reason).toBe('identity');
  });

  it('runs nothing itself', async () => {
    for (const [args, flags] of [
      [[], []],
      [['id'], []],
      [[], ['-tt']],
      [['sftp'], ['-s']],
    ] as const) {
      const result = await ssh(harness, 'alice', [...args], { flags: [...flags] }).catch(
        () => undefined,
      );
      expect(result).toMatchObject({ code: 1 });
      expect(`${result?.stderr}${result?.stdout.toString()}`).toContain(
        'this is a gateway: use -J',
      );
    }
    const denied = harness.events.filter(({ reason }) => reason === 'gateway');
    expect(denied).toHaveLength(4);
    for (const { type, data } of denied) expect(events[type]?.data.parse(data)).toEqual(data);
    const forward = await ssh(harness, 'alice', [], {
      flags: ['-R', '0:127.0.0.1:1', '-N', '-o', 'ExitOnForwardFailure=yes'],
    });
    expect(forward.code).toBe(255);
  });

  it('never dials the address in a forward by itself', async () => {
    let connections = 0;
    const target = await listen((socket) => {
      connections += 1;
      socket.end('reached');
    });
    const result = await run(
      'ssh',
      [
        ...sshOptions(harness.files),
        '-p',
        String(harness.port),
        '-W',
        `127.0.0.1:${target}`,
        'alice@127.0.0.1',
      ],
      { input: 'SSH-2.0-x\r\n' },
    );
    expect(result.stdout.toString()).not.toContain('reached');
    expect(connections).toBe(0);
  });
});
