/** `audit: strict` in a cluster: no acknowledged event, no effect (AUD-03). */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Cluster } from '../stack/cluster.js';
import { waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';
import { createClusterWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';
const strictRole = {
  kind: 'role',
  version: 'v1',
  metadata: { name: 'strict' },
  spec: {
    options: { audit: 'strict' },
    allow: { logins: ['deploy'], node_labels: { env: 'staging' } },
  },
};

describe('strict sessions', () => {
  let world: World<Cluster>;
  let alice: Person;
  let sam: Person;
  const seen = join(tmpdir(), `gatehouse-strict-${process.pid}`);
  beforeAll(async () => {
    world = await createClusterWorld({
      only: 'staging',
      roles: [strictRole],
      people: { alice: ['dev'], sam: ['strict'] },
    });
    [alice, sam] = [world.person('alice'), world.person('sam')];
  }, 180_000);
  afterAll(async () => {
    rmSync(seen, { force: true });
    await world?.[Symbol.asyncDispose]();
  });

  /** Leaves a mark at the target, which is this machine. */
  const leave = async (person: Person, mark: string) =>
    person.ssh([target, `echo ${mark} >>${seen}; echo ${mark}`], { timeoutMs: 60_000 });
  const marks = () => readFileSync(seen, 'utf8').trim().split('\n');

  it('run a command whose event is on the topic before the target knows of it', async () => {
    // The command itself reads the topic, with another client than ours, and finds its own start there.
    const topic = ['-C', '-q', '-e', '-t', 'gatehouse.audit.v1', '-f', "'%s\\n'"].join(' ');
    const result = await sam.ssh(
      [
        target,
        `kcat -b ${world.home.ready.kafka} ${topic} | grep -c '"ssh.command_started".*mark-itself'`,
      ],
      { timeoutMs: 60_000 },
    );
    expect(result).toMatchObject({ code: 0, stdout: '1\n' });
  });

  it('run nothing while the event log is away, and say so; others go on, and so do they afterwards', async () => {
    expect(await leave(sam, 'mark-before')).toMatchObject({ code: 0 });
    await world.home.kafka.kill();
    const [refused, other] = await Promise.all([
      leave(sam, 'mark-strict'),
      leave(alice, 'mark-other'),
    ]);
    expect(other).toMatchObject({ code: 0, stdout: 'mark-other\n' });
    expect(refused.code).not.toBe(0);
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toContain('audit is not available');
    expect(refused.ms).toBeGreaterThan(9_000);
    expect(marks()).toEqual(['mark-before', 'mark-other']);
    await world.home.kafka.restart();
    await eventually(
      'strict commands to work again',
      async () => (await leave(sam, 'mark-after')).code === 0,
      60_000,
    );
    expect(marks()).not.toContain('mark-strict');
    const failed = await waitForEvent(
      world.ada,
      { type: 'ssh.command_ended', user: 'sam', text: 'mark-strict' },
      ({ reason }) => reason === 'audit_unavailable',
      30_000,
    );
    expect(failed.outcome).toBe('failure');
  }, 180_000);
});
