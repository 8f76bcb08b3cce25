/** Must-show E and REC-05: the one process dies by -9 under load; nothing that a client saw done is missing afterwards. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { misfits, searchEvents, sessionEvents } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

const rounds = 6;

describe('kill -9 of the one process under load', () => {
  let world: World;
  let alice: Person;
  beforeAll(async () => {
    world = await createWorld({ only: 'staging' });
    alice = world.person('alice');
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  it('loses no event of a command that a client saw succeed, ends each session once, and has the agent back at once', async () => {
    const done: string[] = [];
    const figures: { readyMs: number; agentBackMs: number }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const config = await alice.sshConfig();
      let isOver = false;
      const worker = async (n: number) => {
        for (let step = 0; !isOver; step += 1) {
          const mark = `mark-${round}-${n}-${step}`;
          const result = await alice.ssh(['deploy@web-1', `echo ${mark}`], { timeoutMs: 15_000 });
          if (result.code === 0 && result.stdout === `${mark}\n`) done.push(mark);
        }
      };
      const workers = [worker(0), worker(1)];
      const shell = spawn(
        'ssh',
        [
          '-F',
          config,
          '-tt',
          'deploy@web-1',
          `while :; do echo tick-${round}-$SECONDS; sleep 0.2; done`,
        ],
        { env: { ...process.env, GATE_HOME: alice.gateHome }, stdio: ['ignore', 'pipe', 'ignore'] },
      );
      let seen = '';
      shell.stdout.on('data', (chunk: Buffer) => (seen += String(chunk)));
      await eventually(
        'some ticks and marks',
        () => seen.includes('tick') && done.some((mark) => mark.startsWith(`mark-${round}-`)),
        30_000,
      );
      await new Promise((resolve) => setTimeout(resolve, 2_500 + Math.random() * 1_500));
      const shellGone = once(shell, 'close');
      await world.home.stop('SIGKILL');
      isOver = true;
      await Promise.all([shellGone, ...workers]);
      const startedAt = performance.now();
      await world.home.start();
      const readyAt = performance.now();
      // The list may still say what was true before; what counts is that somebody gets through.
      await eventually(
        'somebody to get through',
        async () => (await alice.ssh(['deploy@web-1', 'true'])).code === 0,
        30_000,
      );
      figures.push({
        readyMs: Math.round(readyAt - startedAt),
        agentBackMs: Math.round(performance.now() - readyAt),
      });
    }
    process.stdout.write(
      `after kill -9, ms until ready and until the agent was back: ${JSON.stringify(figures)}\n`,
    );
    const marks = new Set<string>();
    await eventually(
      'all marks in the audit',
      async () => {
        for (let round = 0; round < rounds; round += 1) {
          for (const event of await searchEvents(world.ada, {
            type: 'ssh.command_started',
            text: `mark-${round}-`,
          })) {
            marks.add(String(event.data['command']).replace('echo ', ''));
          }
        }
        return done.every((mark) => marks.has(mark));
      },
      20_000,
    );
    expect(done.length).toBeGreaterThan(rounds);
    const lost = (await searchEvents(world.ada, { type: 'session.ended', user: 'alice' })).filter(
      ({ reason }) => reason === 'proxy_lost',
    );
    expect(lost.length).toBeGreaterThanOrEqual(rounds);
    expect(new Set(lost.map(({ sessionId }) => sessionId)).size).toBe(lost.length);
    for (const { sessionId } of lost.slice(0, 20)) {
      const events = await sessionEvents(world.ada, sessionId ?? '');
      expect(events.map(({ sequence }) => sequence)).toEqual(
        events.map((_event, index) => index + 1),
      );
      expect(events.at(-1)?.type).toBe('session.ended');
      expect(misfits(events)).toEqual([]);
    }
    const recordings = await alice.json<{ id: string }[]>(['recordings', 'ls']);
    expect(recordings.length).toBeGreaterThanOrEqual(rounds);
    for (const { id } of recordings.slice(0, rounds)) {
      const played = await alice.gate(['recordings', 'export', id, '--as', 'asciicast']);
      expect(played.stdout).toContain('tick-');
    }
  }, 400_000);
});
