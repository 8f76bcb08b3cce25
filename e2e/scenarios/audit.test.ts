/** The audit's own promises: AUD-04, AUD-08, AUD-09, and who may tail. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { searchEvents, sessionEvents, waitForEvent, type Event } from '../stack/events.js';
import { root } from '../stack/installation.js';
import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

describe('the audit', () => {
  let world: World;
  let alice: Person;
  beforeAll(async () => {
    world = await createWorld({
      only: 'staging',
      people: { alice: ['dev'], carol: ['auditor'], 'canary-user': ['dev'] },
    });
    alice = world.person('alice');
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  it('trims what is too large, says so with size and hash, and holds nothing up (AUD-04)', async () => {
    const from = new Date().toISOString();
    const command = `: ${'x'.repeat(100_000)}`;
    expect(await alice.ssh(['deploy@web-1', command])).toMatchObject({ code: 0, stderr: '' });
    const started = await waitForEvent(world.ada, {
      type: 'ssh.command_started',
      user: 'alice',
      from,
    });
    expect(String(started.data['command']).length).toBeLessThan(70_000);
    expect(JSON.stringify(started.data)).toContain(
      createHash('sha256').update(command).digest('hex'),
    );
    await waitForEvent(world.ada, { type: 'audit.event_trimmed', from });
    const small = new Date().toISOString();
    await alice.ssh(['deploy@web-1', 'true']);
    await waitForEvent(world.ada, { type: 'session.ended', user: 'alice', from: small });
  });

  it('numbers every session from one, without a gap, however many run at once (AUD-08)', async () => {
    const from = new Date().toISOString();
    const config = await alice.sshConfig();
    const control = (n: number) => [
      '-o',
      `ControlPath=${join(world.home.dir, `mux-${n}`)}`,
      '-o',
      'ControlMaster=auto',
      '-o',
      'ControlPersist=30',
    ];
    await Promise.all(
      Array.from({ length: 8 }, async (_none, n) => {
        for (let step = 0; step < 12; step += 1) {
          await run('ssh', ['-F', config, ...control(n), 'deploy@web-1', `echo ${n}-${step}`], {
            env: { GATE_HOME: alice.gateHome },
          });
        }
        await run('ssh', ['-F', config, ...control(n), '-O', 'exit', 'deploy@web-1']);
      }),
    );
    const ended = await eventually('eight ends', async () => {
      const found = await searchEvents(world.ada, { type: 'session.ended', user: 'alice', from });
      return found.length >= 8 ? found : undefined;
    });
    const ids: string[] = [];
    for (const { sessionId } of ended) {
      const events = await sessionEvents(world.ada, sessionId ?? '');
      expect(events.map(({ sequence }) => sequence)).toEqual(
        events.map((_event, index) => index + 1),
      );
      expect(events[0]?.type).toBe('session.started');
      expect(events.at(-1)?.type).toBe('session.ended');
      ids.push(...events.map(({ id }) => id));
    }
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(8 * 26);
  });

  it('keeps every secret out of logs, events and data (AUD-09)', async () => {
    const { token } = await world.ada.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
    const { inviteUrl } = await world.ada.json<{ inviteUrl: string }>([
      'users',
      'add',
      'later',
      '--roles',
      'dev',
    ]);
    await alice.gate([
      'login',
      '--user',
      'alice',
      '--password-file',
      world.ada.passwordFile,
      '--otp',
      '123456',
    ]);
    const totp = readFileSync(join(world.home.folder('passwords'), 'alice.totp'), 'utf8');
    const secret = /secret=([A-Z2-7]+)/.exec(totp)?.[1] ?? 'no-secret';
    const secrets = [
      alice.password,
      world.ada.password,
      secret,
      token.replace(/^join-/, ''),
      inviteUrl.split('/').at(-1)?.replace(/^inv-/, '') ?? '',
    ];
    for (const text of secrets) {
      expect(text.length).toBeGreaterThan(12);
      const found = await run('grep', [
        '-r',
        '-a',
        '-l',
        '-F',
        '-e',
        text,
        world.home.dataDir,
        world.home.logFile,
      ]);
      expect(found.stdout).toBe('');
    }
    // A name is no secret: the same search finds it.
    const control = await run('grep', [
      '-r',
      '-a',
      '-l',
      '-F',
      '-e',
      'canary-user',
      world.home.dataDir,
    ]);
    expect(control.stdout).not.toBe('');
  });

  it('writes every log line as one JSON object with time, level and message (LOG-08)', async () => {
    await alice.gate([
      'login',
      '--user',
      'a\n"b\u001b[31m',
      '--password-file',
      alice.passwordFile,
      '--otp',
      '123456',
    ]);
    const lines = world.home.log.split('\n').filter((line) => line.startsWith('{'));
    expect(lines.length).toBeGreaterThan(10);
    for (const line of lines)
      expect(JSON.parse(line)).toMatchObject({
        time: expect.any(String),
        level: expect.any(String),
        msg: expect.any(String),
      });
  });

  it('is followed live by whoever may, as it is stored', async () => {
    const carol = world.person('carol');
    const child = spawn(join(root, 'bin/gate'), ['audit', 'tail', '--format', 'json'], {
      env: { ...process.env, GATE_HOME: carol.gateHome, GATE_PROXY: world.home.ready.proxyAddr },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += String(chunk)));
    await eventually('the tail to stand', async () => {
      await alice.ssh(['deploy@web-1', 'echo for-the-tail']);
      return out.includes('for-the-tail');
    });
    child.kill();
    const types = out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Event).type);
    expect(types).toContain('ssh.command_started');
  });
});
