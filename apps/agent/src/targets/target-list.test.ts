import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { parseConfig } from '@gatehouse/kit/config';
import { createLogger } from '@gatehouse/kit/log';
import { targetTypes } from '@gatehouse/protocol-registry/targets';
import { expect, it, onTestFinished } from 'vitest';

import { agentConfigSchema, type AgentConfigInput } from '../config.js';
import { createTargetList } from './target-list.js';

const logger = createLogger({ name: 'test', level: 'silent' });

function listOf(config: AgentConfigInput, configDir = '/') {
  const parsed = parseConfig(agentConfigSchema, config);
  return createTargetList({ config: parsed, types: targetTypes, configDir, logger });
}

const node = (spec: Record<string, unknown>) => ({ kind: 'node' as const, name: 'web-1', spec });

it('finds a target by name and protocol, and nothing beside the list', () => {
  const list = listOf({ targets: [node({ address: '127.0.0.1:22' })] });
  expect(list.find('web-1', 'ssh')).toMatchObject({ spec: { address: '127.0.0.1:22' } });
  for (const [name, protocol] of [
    ['web-1', 'tcp'],
    ['WEB-1', 'ssh'],
    ['web-1:23', 'ssh'],
    ['127.0.0.1:22', 'ssh'],
    ['__proto__', 'ssh'],
  ] as const)
    expect(list.find(name, protocol)).toBeUndefined();
});

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2k8yvQ3fC2g6l0m1pWJxH5xT6v2m7nJ9o4r8s0t2u1';

it('tells the cluster the content of a host CA file, and nothing of credentials', () => {
  const dir = mkdtempSync(join(tmpdir(), 'agent-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'ca.pub'), `# the hosts of web\n${key} comment\n\n${key} next\n`);
  const list = listOf({ targets: [node({ address: '127.0.0.1:22', host_ca: './ca.pub' })] }, dir);
  expect(JSON.parse(list.describe()[0]?.specJson ?? '')).toEqual({
    address: '127.0.0.1:22',
    host_ca: `${key} comment\n${key} next`,
  });
});

it('refuses unknown keys, kinds without a protocol, broken specs and names that are there twice', () => {
  for (const config of [
    { targets: [node({})] },
    { targets: [node({ address: '127.0.0.1:22', adress: 'x' })] },
    { targets: [{ kind: 'desktop', name: 'd', spec: { address: '127.0.0.1:1' } }] },
    { targets: [node({ builtin: true }), node({ builtin: true })] },
    { colour: 'red' },
  ])
    expect(() => listOf(config as AgentConfigInput)).toThrow('not valid');
});

it('serves a document’s target only where the configuration allows its name', () => {
  const list = listOf({ dynamic: ['db-*'] });
  const target = (name: string) => ({
    kind: 'app',
    name,
    labels: {},
    protocol: 'tcp',
    specJson: '{"address":"127.0.0.1:5432"}',
  });
  list.setDynamic([target('db-1'), target('web-1'), { ...target('db-2'), specJson: '{' }]);
  expect(list.find('db-1', 'tcp')).toBeDefined();
  expect(list.find('web-1', 'tcp')).toBeUndefined();
  expect(list.find('db-2', 'tcp')).toBeUndefined();
  expect(list.describe()).toEqual([]);
});

it('names the target of a file that can not be read', () => {
  const config = { targets: [node({ address: '127.0.0.1:22', host_ca: '/nonexistent/ca.pub' })] };
  expect(() => listOf(config)).toThrow(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      publicMessage: expect.stringMatching(/target web-1: host_ca.*\n.*ENOENT/) as string,
    }),
  );
});

// A glob for databases let whoever writes documents open shells on the host of the agent.
it('serves no built-in node of a document', () => {
  const list = listOf({ dynamic: ['db-*'] });
  const given = { kind: 'node', labels: {}, protocol: 'ssh' };
  list.setDynamic([
    { ...given, name: 'db-1', specJson: '{"builtin":true}' },
    { ...given, name: 'db-2', specJson: '{"address":"127.0.0.1:22"}' },
  ]);
  expect(list.all().map(({ name }) => name)).toEqual(['db-2']);
});
