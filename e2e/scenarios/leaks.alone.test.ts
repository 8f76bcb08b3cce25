/** Nothing leaks (OPS-07): after hundreds of sessions, a third of them aborted, the process has what it had before. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

const rounds = 150;

describe('a busy day', () => {
  let world: World;
  let alice: Person;
  beforeAll(async () => {
    world = await createWorld({ only: 'staging' });
    alice = world.person('alice');
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  /** Sockets alone: the embedded database opens files as it pleases. */
  const descriptors = (pid: number) =>
    readdirSync(`/proc/${pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
      } catch {
        return false;
      }
    }).length;
  const residentMiB = (pid: number) =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  async function sessions(count: number, config: string): Promise<void> {
    let left = count;
    const worker = async () => {
      while (left > 0) {
        left -= 1;
        const isAborted = left % 3 === 0;
        const command = isAborted ? 'sleep 20' : 'echo done';
        await run('ssh', ['-F', config, 'deploy@web-1', command], {
          timeoutMs: isAborted ? 700 : 20_000,
          env: { GATE_HOME: alice.gateHome },
        });
      }
    };
    await Promise.all([worker(), worker(), worker()]);
  }

  it('leaves no descriptor and no session behind, and memory flat', async () => {
    const config = await alice.sshConfig();
    const agent = world.agents.get('a1')?.pid ?? 0;
    await sessions(30, config);
    const settled = async () =>
      eventually(
        'the end of all sessions',
        async () => (await world.ada.json<unknown[]>(['sessions', 'ls'])).length === 0,
        30_000,
      );
    await settled();
    // What commands of `gate` left half-closed goes away within half a minute.
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const before = { home: descriptors(world.home.pid), agent: descriptors(agent) };
    await sessions(rounds / 2, config);
    await settled();
    const half = residentMiB(world.home.pid);
    await sessions(rounds / 2, config);
    await settled();
    await eventually(
      'no more sockets than before',
      () =>
        descriptors(world.home.pid) <= before.home + 5 && descriptors(agent) <= before.agent + 5,
      30_000,
    );
    expect(residentMiB(world.home.pid) - half).toBeLessThan(80);
  }, 300_000);

  it('would notice ten sockets that stay open', async () => {
    const before = descriptors(world.home.pid);
    const port = Number(world.home.ready.proxyAddr.split(':')[1]);
    const sockets: Socket[] = Array.from({ length: 10 }, () => connect(port, '127.0.0.1'));
    await eventually('ten more', () => descriptors(world.home.pid) >= before + 10);
    for (const socket of sockets) socket.destroy();
  });
});
