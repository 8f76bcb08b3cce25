/** Targets that are old, or full: SSH-08, SSH-09. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { Sshd } from '../servers/sshd.js';
import { joinAgent } from '../stack/agent.js';
import { sessionEvents, waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually, run, type RunResult } from '../stack/run.js';
import { createWorld, exportCa, type World } from '../stack/world.js';

let world: World;
let alice: Person;
let trustedUserCa: string;
/** A folder that the target's users reach. */
let dir: string;
const sshds: Sshd[] = [];
beforeAll(async () => {
  world = await createWorld({ only: 'staging' });
  alice = world.person('alice');
  trustedUserCa = await exportCa(world.ada, 'target_ssh');
  dir = mkdtempSync(join(tmpdir(), 'gatehouse-targets-'));
  chmodSync(dir, 0o777);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await Promise.all(sshds.map(async (sshd) => sshd[Symbol.asyncDispose]()));
  rmSync(dir, { recursive: true, force: true });
});

async function startSshd(extra: readonly string[]): Promise<Sshd> {
  const sshd = new Sshd({ trustedUserCa, extra });
  sshds.push(sshd);
  return sshd.start();
}

const node = (name: string, spec: Record<string, unknown>) => ({
  kind: 'node',
  name,
  labels: { env: 'staging' },
  spec,
});

describe('an old target', () => {
  it('is refused for what it offers, and opens where its document lets it (SSH-08)', async () => {
    const key = join(dir, 'rsa');
    await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', key]);
    const sshd = await startSshd([
      `HostKey ${key}`,
      'HostKeyAlgorithms ssh-rsa',
      'MACs hmac-sha1',
      'Ciphers aes128-ctr',
    ]);
    const hostKey = readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
    const spec = { address: sshd.address, host_key: hostKey };
    world.agents.set(
      'old',
      await joinAgent(world.ada, 'old', [
        node('old-1', spec),
        node('old-2', { ...spec, allow_legacy_algorithms: true }),
      ]),
    );
    const from = new Date().toISOString();
    const refused = await alice.ssh(['deploy@old-1', 'true']);
    expect(refused.code).toBe(255);
    expect(refused.stderr).toContain('could not reach old-1: target offers only ssh-rsa');
    const failed = await waitForEvent(world.ada, { type: 'session.connect_failed', from });
    expect(failed).toMatchObject({
      actor: { name: 'alice' },
      target: { kind: 'node', name: 'old-1' },
      outcome: 'failure',
      reason: 'algorithms',
    });
    const id = String(failed.data['errorId']);
    expect(refused.stderr).toContain(id);
    expect(world.home.log).toContain(id);
    // Control: the same server under the name whose document permits it.
    const opened = await alice.ssh(['deploy@old-2', 'echo old']);
    expect(opened).toMatchObject({ stdout: 'old\n', code: 0 });
    const query = { type: 'session.started', from };
    const legacy = await waitForEvent(world.ada, { ...query, target: 'old-2' });
    expect(legacy.data).toMatchObject({ legacy: true });
    expect((await alice.ssh(['deploy@web-1', 'true'])).code).toBe(0);
    const modern = await waitForEvent(world.ada, { ...query, target: 'web-1' });
    expect(modern.data).not.toHaveProperty('legacy');
  });
});

describe('a target that takes two sessions', () => {
  it('refuses the third and fourth at once, and takes one more when one is over (SSH-09)', async () => {
    const sshd = await startSshd(['MaxSessions 2']);
    world.agents.set(
      'full',
      await joinAgent(world.ada, 'full', [
        node('full-1', { address: sshd.address, host_key: sshd.hostKey }),
      ]),
    );
    const from = new Date().toISOString();
    const config = await alice.sshConfig();
    const control = join(world.home.dir, 'full');
    const log = join(world.home.dir, 'full.log');
    const common = ['-F', config, '-S', control, '-o', 'BatchMode=yes'];
    // With ControlPersist the master goes to the background as soon as it is connected.
    const master = ['-M', '-N', '-f', '-E', log, '-o', 'ControlPersist=120'];
    expect((await run('ssh', [...common, ...master, 'deploy@full-1'])).code).toBe(0);
    // Who is refused must not connect by a way of its own.
    const shared = [...common, '-o', 'ProxyCommand=false', 'deploy@full-1'];
    const over = new Map<number, RunResult>();
    const running = [0, 1, 2, 3].map(async (n) => {
      const wait = `echo up > ${dir}/up-${n}; until [ -e ${dir}/end-${n} ]; do sleep 0.05; done`;
      const result = await run('ssh', [...shared, `${wait}; echo over`], { timeoutMs: 90_000 });
      over.set(n, result);
      return result;
    });
    const startedAt = performance.now();
    await eventually('two refusals', () => over.size >= 2, 20_000);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect([...over.values()].map(({ code, stdout }) => [code, stdout])).toEqual([
      [255, ''],
      [255, ''],
    ]);
    const text = 'target refused another session';
    const refusals = () => readFileSync(log, 'utf8').split(text).length - 1;
    await eventually('both refusals in the log of ssh', () => refusals() === 2);
    const open = [0, 1, 2, 3].filter((n) => !over.has(n));
    // Control: after one closes another opens, while the other one still runs.
    const [first = 0, second = 0] = open;
    writeFileSync(join(dir, `end-${first}`), '');
    expect(await running[first]).toMatchObject({ code: 0, stdout: 'over\n' });
    const another = await run('ssh', [...shared, 'echo another']);
    expect(another).toMatchObject({ code: 0, stdout: 'another\n' });
    expect(over.has(second)).toBe(false);
    writeFileSync(join(dir, `end-${second}`), '');
    expect(await running[second]).toMatchObject({ code: 0, stdout: 'over\n' });
    await run('ssh', [...common, '-O', 'exit', 'deploy@full-1']);
    const ended = await waitForEvent(world.ada, { type: 'session.ended', target: 'full-1', from });
    const events = await sessionEvents(world.ada, ended.sessionId ?? '');
    const count = (type: string) => events.filter((event) => event.type === type).length;
    expect(count('session.started')).toBe(1);
    expect([count('ssh.command_started'), count('ssh.command_ended')]).toEqual([3, 3]);
  });
});
