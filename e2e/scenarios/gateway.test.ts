/** The port as a jump host: it has no files, no shell and no network of its own (FT-08, FWD-08), and hides what it must (RBC-01 over -J). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { searchEvents, waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

describe('the port as a jump host', () => {
  let world: World;
  let alice: Person;
  let plain: string[];
  let port: string;
  beforeAll(async () => {
    world = await createWorld();
    alice = world.person('alice');
    port = world.home.ready.proxyAddr.split(':')[1] ?? '';
    const status = await alice.json<Record<string, string>>(['status']);
    const file = join(world.home.dir, 'plain-config');
    const lines = [
      `IdentityFile ${status['sshKeyFile']}`,
      `CertificateFile ${status['sshCertFile']}`,
      'IdentitiesOnly yes',
      `UserKnownHostsFile ${status['knownHostsFile']}`,
      'GlobalKnownHostsFile /dev/null',
      'StrictHostKeyChecking yes',
      'BatchMode yes',
    ];
    expect(readFileSync(status['knownHostsFile'] ?? '', 'utf8')).toContain('@cert-authority');
    writeFileSync(file, `Host *\n${lines.map((line) => `  ${line}\n`).join('')}`);
    plain = ['-F', file];
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  it('gives no shell, no command, no files (FT-08)', async () => {
    const from = new Date().toISOString();
    const command = await run('ssh', [
      ...plain,
      '-p',
      port,
      'alice@localhost',
      'cat /etc/hostname',
    ]);
    expect(command).toMatchObject({ code: 1, stdout: '' });
    expect(command.stderr).toContain('this is a gateway: use -J');
    const files = await run('sftp', [...plain, '-P', port, '-b', '-', 'alice@localhost'], {
      stdin: 'get /etc/hostname /tmp/never\n',
    });
    expect(files.code).not.toBe(0);
    const copied = await run('scp', [
      ...plain,
      '-O',
      '-P',
      port,
      'alice@localhost:/etc/hostname',
      join(world.home.dir, 'never'),
    ]);
    expect(copied.code).not.toBe(0);
    await waitForEvent(world.ada, { type: 'ssh.request_denied', user: 'alice', from });
    const through = await run('ssh', [
      ...plain,
      '-J',
      `alice@localhost:${port}`,
      'deploy@web-1',
      'echo through',
    ]);
    expect(through.stdout).toBe('through\n');
  });

  it('dials nothing by itself, whatever is asked of it (FWD-08)', async () => {
    let connections = 0;
    const listener = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const open = (listener.address() as AddressInfo).port;
    const metrics = new URL(world.home.ready.metricsUrl).port;
    const places = [
      `127.0.0.1:${open}`,
      `[::ffff:127.0.0.1]:${open}`,
      `localhost:${metrics}`,
      '169.254.169.254:80',
      `web-2:22`,
    ];
    for (const place of places) {
      const asked = await run('ssh', [...plain, '-p', port, '-W', place, 'alice@localhost'], {
        timeoutMs: 20_000,
      });
      // What answers is the proxy's own SSH, which asks who is there; never the place itself.
      expect(asked.stdout).toMatch(/^(SSH-2\.0-Gatehouse[^\n]*\n[^]*)?$/);
    }
    expect(connections).toBe(0);
    await run('curl', ['-s', `http://127.0.0.1:${open}`]);
    expect(connections).toBe(1);
    listener.close();
  });

  it('ends with a lock, as a session does', async () => {
    const child = spawn('ssh', [...plain, '-N', '-p', port, 'alice@localhost'], {
      stdio: 'ignore',
    });
    const closed = once(child, 'close');
    const from = new Date().toISOString();
    await eventually(
      'the jump host to let somebody through',
      async () =>
        (await run('ssh', [...plain, '-J', `alice@localhost:${port}`, 'deploy@web-1', 'true']))
          .code === 0,
    );
    expect(child.exitCode).toBeNull();
    const lock = await world.ada.json<{ metadata: { name: string } }>([
      'lock',
      '--user',
      'alice',
      '--message',
      'jump',
    ]);
    await closed;
    await waitForEvent(world.ada, { type: 'lock.created', from });
    await world.ada.gate(['delete', `lock/${lock.metadata.name}`, '--yes']);
    await eventually(
      'the end of the lock',
      async () => (await alice.ssh(['deploy@web-1', 'true'])).code === 0,
    );
  });

  it('counts floods of refusals in place of writing each (AUD-10)', async () => {
    const from = new Date().toISOString();
    for (let n = 0; n < 60; n += 1) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.end('PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n');
      await once(socket, 'close');
    }
    await waitForEvent(
      world.ada,
      { type: 'connection.refused', from },
      ({ reason }) => reason === 'proxy_header',
    );
    const written = await searchEvents(world.ada, { type: 'connection.refused', from });
    expect(written.length).toBeLessThanOrEqual(10);
  });

  it('makes missing and denied look the same through a jump, too (RBC-01)', async () => {
    const from = new Date().toISOString();
    const attempt = async (name: string) => {
      const result = await run('ssh', [
        ...plain,
        '-J',
        `alice@localhost:${port}`,
        `deploy@${name}`,
        'true',
      ]);
      return {
        code: result.code,
        stderr: result.stderr.replaceAll(name, 'NAME').replaceAll(/err_[0-9a-f]+/g, 'ERR'),
      };
    };
    const missing = await attempt('nope');
    expect(await attempt('web-2')).toEqual(missing);
    expect(missing.code).toBe(255);
    await waitForEvent(
      world.ada,
      { type: 'session.denied', user: 'alice', from },
      ({ reason }) => reason === 'no_role',
    );
    await waitForEvent(
      world.ada,
      { type: 'session.denied', user: 'alice', from },
      ({ reason }) => reason === 'no_target',
    );
    expect((await searchEvents(world.ada, { type: 'session.started', from })).length).toBe(0);
  });
});
