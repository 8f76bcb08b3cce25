/** `audit: strict` in a cluster: no acknowledged event, no effect (AUD-03), for every protocol of the registry. */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { joinAgent } from '../stack/agent.js';
import type { Cluster } from '../stack/cluster.js';
import { waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { createClient, protocolNames, ProtocolTargets } from '../stack/protocols.js';
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
  let targets: ProtocolTargets;
  const seen = join(tmpdir(), `gatehouse-strict-${process.pid}`);
  beforeAll(async () => {
    world = await createClusterWorld({
      only: 'staging',
      roles: [strictRole],
      people: { alice: ['dev'], sam: ['strict'] },
    });
    [alice, sam] = [world.person('alice'), world.person('sam')];
    targets = await ProtocolTargets.start(
      { ada: world.ada, place: world.home },
      { names: protocolNames, labels: ['strict'] },
    );
    world.agents.set('matrix', await joinAgent(world.ada, 'matrix', targets.listed));
    await world.apply(
      {
        ...strictRole,
        metadata: { name: 'all-strict' },
        spec: { ...strictRole.spec, allow: targets.allow },
      },
      { ...strictRole, metadata: { name: 'all' }, spec: { allow: targets.allow } },
    );
    await world.add('mia', ['all-strict']);
    await world.add('max', ['all']);
  }, 180_000);
  afterAll(async () => {
    await targets?.[Symbol.asyncDispose]();
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

  it('of every protocol do nothing while the event log is away, and say so where there are words; others go on', async () => {
    const say = async (person: string, name: string, text: string) => {
      const client = await createClient(world.home, world.person(person));
      await using opened = await targets.fixture(name).connect(client, `${name}-strict`);
      return await opened.say(text);
    };
    const attempt = async (name: string) =>
      say('mia', name, 'strict-while-away').then(
        (said) => (said.includes('strict-while-away') ? 'it was done' : said),
        (thrown: unknown) => String(thrown),
      );
    for (const name of protocolNames)
      expect(await say('mia', name, 'strict-before')).toContain('strict-before');
    await world.home.kafka.kill();
    const [refused, others] = await Promise.all([
      Promise.all(protocolNames.map(attempt)),
      Promise.all(protocolNames.map(async (name) => say('max', name, 'loose-while-away'))),
    ]);
    await world.home.kafka.restart();
    for (const [index, name] of protocolNames.entries()) {
      expect(others[index], name).toContain('loose-while-away');
      expect(refused[index], name).not.toBe('it was done');
      if (targets.fixture(name).hasWords)
        expect(refused[index], name).toContain('audit is not available');
    }
    for (const name of protocolNames)
      await eventually(
        `strict ${name} to work again`,
        async () => (await attempt(name)) === 'it was done',
        60_000,
      );
    const ended = await waitForEvent(
      world.ada,
      { type: 'session.ended', user: 'mia', target: 'tcp-strict' },
      ({ reason }) => reason === 'audit_unavailable',
      60_000,
    );
    expect(ended.data['message']).toBe('audit is not available');
  }, 180_000);

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
