/**
 * Every protocol of the registry × {allowed, denied, no certificate, expired, locked mid-session, recorded, target down}
 * (strict without a broker needs one: scenarios/strict.test.ts), beside two fake ones that a copy of the tree gets first: they change nothing outside their folders and the generated lists.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { derToPem, encodeOpensshPrivateKey, formatSshPublicKey } from '@gatehouse/identity';
import type { MatrixPerson, ProtocolFixture } from '@gatehouse/protocol-api/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';

import { joinAgent, type AgentProcess } from './stack/agent.js';
import { TreeCopy } from './stack/copy.js';
import { searchEvents, waitForEvent } from './stack/events.js';
import { createForger, type Forger } from './stack/forge.js';
import { startHome, type Home } from './stack/home.js';
import { root } from './stack/installation.js';
import { createAdmin, createPerson, type Person } from './stack/person.js';
import {
  createBareClient,
  createClient,
  protocolNames,
  ProtocolTargets,
} from './stack/protocols.js';
import { eventually, run } from './stack/run.js';

const fakes = ['echo', 'lines'];
const protocols = [...protocolNames, ...fakes];

describe('the matrix of protocols', () => {
  let tree: TreeCopy;
  let home: Home;
  let ada: Person;
  let mia: Person;
  let forger: Forger;
  let agent: AgentProcess;
  let changed: string[];
  let targets: ProtocolTargets;

  beforeAll(async () => {
    tree = await new TreeCopy().create();
    const before = tree.snapshot();
    for (const name of fakes) tree.addProtocol(name, join(root, 'e2e/fakes', name));
    for (const tool of ['tools/generate-registry.ts', 'tools/check-docs.ts']) {
      const generated = await run(
        process.execPath,
        ['--conditions=source', '--import', 'tsx', tool, '--write'],
        { cwd: tree.path },
      );
      if (generated.code !== 0) throw new Error(generated.stderr);
    }
    changed = [...tree.snapshot()]
      .filter(([path, hash]) => before.get(path) !== hash)
      .map(([path]) => path);
    home = await startHome({ flags: ['--no-agent'], root: tree.path });
    ada = await createAdmin(home);
    targets = await ProtocolTargets.start(
      { ada, place: home, tree: tree.path },
      { names: protocols, labels: ['open', 'closed'] },
    );
    agent = await joinAgent(ada, 'matrix', targets.listed);
    const { allow } = targets;
    const file = join(home.dir, 'role.yaml');
    writeFileSync(
      file,
      stringify({ kind: 'role', version: 'v1', metadata: { name: 'matrix' }, spec: { allow } }),
    );
    const applied = await ada.gate(['apply', '-f', file]);
    if (applied.code !== 0) throw new Error(applied.stderr);
    mia = await createPerson(ada, 'mia', ['matrix']);
    forger = await createForger(home);
  }, 240_000);
  afterAll(async () => {
    await agent?.stop();
    await targets?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
    await tree?.[Symbol.asyncDispose]();
  });

  const client = async (
    options: { expired?: boolean; bare?: boolean } = {},
  ): Promise<MatrixPerson> => {
    if (options.expired !== true)
      return options.bare === true ? createBareClient(home, mia) : createClient(home, mia);
    const old = await forger.user({
      user: 'mia',
      roles: ['matrix'],
      validAfterMs: Date.now() - 3_600_000,
      validBeforeMs: Date.now() - 1_000,
    });
    const keyFile = join(home.folder('forged'), 'expired');
    writeFileSync(keyFile, encodeOpensshPrivateKey(old.privateKeyPem, 'x'), { mode: 0o600 });
    writeFileSync(`${keyFile}-cert.pub`, `${formatSshPublicKey(old.sshCertificate, 'x')}\n`);
    return {
      ...(await createBareClient(home, mia)),
      tls: { key: old.privateKeyPem, certificate: derToPem(old.tlsCertificate, 'CERTIFICATE') },
      ssh: { keyFile, certificateFile: `${keyFile}-cert.pub` },
    };
  };
  const fixtureOf = (name: string): ProtocolFixture => targets.fixture(name);
  const messageOf = async (attempt: Promise<AsyncDisposable>): Promise<string> => {
    try {
      await using opened = await attempt;
      expect(opened).toBeUndefined();
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : String(thrown);
    }
    throw new Error('it opened');
  };

  it('takes a new protocol without a change outside its folder and the generated lists', () => {
    const allowed = [
      /^packages\/protocols\/(echo|lines)\//,
      /^packages\/protocols\/registry\/(src\/\w+\.ts|package\.json|tsconfig\.json)$/,
      /^tsconfig\.json$/,
      /^services\/audit-service\/src\/events\/types\.ts$/,
      /^docs\/(errors\.md|events\.md|events\/(echo|lines)\.\w+\.schema\.json)$/,
    ];
    expect(changed.filter((path) => !allowed.some((pattern) => pattern.test(path)))).toEqual([]);
    expect(changed.some((path) => path.startsWith('packages/protocols/registry/src/'))).toBe(true);
  });

  it.each(protocols)('%s: allowed', async (name) => {
    const from = new Date().toISOString();
    {
      await using opened = await fixtureOf(name).connect(await client(), `${name}-open`);
      expect(await opened.say('hello-there')).toContain('hello-there');
    }
    await waitForEvent(ada, { type: 'session.started', user: 'mia', target: `${name}-open`, from });
    const ended = await waitForEvent(ada, {
      type: 'session.ended',
      user: 'mia',
      target: `${name}-open`,
      from,
    });
    expect(ended.reason).toBe('client_left');
  });

  it.each(protocols)('%s: denied', async (name) => {
    const from = new Date().toISOString();
    expect(await messageOf(fixtureOf(name).connect(await client(), `${name}-closed`))).toContain(
      'no such target or no access',
    );
    await waitForEvent(
      ada,
      { type: 'session.denied', user: 'mia', from },
      ({ reason }) => reason === 'no_role',
    );
  });

  it.each(protocols)('%s: no certificate', async (name) => {
    const from = new Date().toISOString();
    await messageOf(fixtureOf(name).connect(await client({ bare: true }), `${name}-open`));
    await waitForEvent(
      ada,
      { type: 'connection.refused', from },
      ({ reason }) => reason === 'no_certificate',
    );
  });

  it.each(protocols)('%s: expired', async (name) => {
    const from = new Date().toISOString();
    expect(
      await messageOf(fixtureOf(name).connect(await client({ expired: true }), `${name}-open`)),
    ).toContain('certificate expired at');
    await waitForEvent(
      ada,
      { type: 'connection.refused', from },
      ({ reason }) => reason === 'expired',
    );
  });

  it.each(protocols)('%s: locked mid-session', async (name) => {
    await using opened = await fixtureOf(name).connect(await client(), `${name}-open`);
    await opened.say('before');
    const from = new Date().toISOString();
    const lock = await ada.json<{ metadata: { name: string } }>([
      'lock',
      '--target',
      `${name}-open`,
      '--message',
      'enough',
    ]);
    const startedAt = performance.now();
    const told = await opened.ended;
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    if (fixtureOf(name).hasWords) expect(told).toContain('locked: enough');
    await waitForEvent(
      ada,
      { type: 'session.ended', user: 'mia', from },
      ({ reason }) => reason === 'lock',
    );
    await ada.gate(['delete', `lock/${lock.metadata.name}`, '--yes']);
    await eventually('the end of the lock', async () => {
      await using again = await fixtureOf(name).connect(await client(), `${name}-open`);
      return (await again.say('after')).includes('after');
    });
  });

  it.each(protocols)('%s: recorded, where it is what one records', async (name) => {
    const from = new Date().toISOString();
    {
      await using opened = await fixtureOf(name).connect(await client(), `${name}-open`);
      await opened.say('for-the-record');
    }
    await waitForEvent(ada, { type: 'session.ended', user: 'mia', target: `${name}-open`, from });
    const recordings = await mia.json<
      { id: string; target: string; startedAt: string; complete: boolean }[]
    >(['recordings', 'ls']);
    const mine = recordings.filter(
      ({ target, startedAt }) => target === `${name}-open` && startedAt >= from,
    );
    expect(mine.length).toBe(fixtureOf(name).isRecorded ? 1 : 0);
    if (mine[0] === undefined) return;
    const played = await mia.gate(['recordings', 'export', mine[0].id, '--as', 'asciicast']);
    expect(played.stdout).toContain('for-the-record');
  });

  it.each(protocols)('%s: target down', async (name) => {
    await targets.stop(`${name}-open`);
    const from = new Date().toISOString();
    const failed = fixtureOf(name).connect(await client(), `${name}-open`);
    const told = await failed.then(
      async (opened) => opened.ended,
      (thrown: unknown) => String(thrown),
    );
    if (fixtureOf(name).hasWords && name !== 'echo' && name !== 'lines')
      expect(told).toContain('could not reach');
    await waitForEvent(
      ada,
      { type: 'session.connect_failed', user: 'mia', from },
      ({ reason }) => reason === 'refused',
    );
  });

  it('stores what each protocol writes: its types are known without a line outside its folder', async () => {
    for (const name of fakes)
      expect(await searchEvents(ada, { type: `${name}.*`, user: 'mia' })).not.toEqual([]);
    expect(await ada.json(['audit', 'dead', 'ls'])).toEqual([]);
  });
});
