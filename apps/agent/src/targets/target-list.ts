/**
 * The list: what this agent may reach, from its own configuration and from documents that the configuration allows.
 * Nothing else is ever dialled, whoever asks.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { parseConfig } from '@gatehouse/kit/config';
import type { Logger } from '@gatehouse/kit/log';
import type { AgentTarget } from '@gatehouse/proto/auth/v1/cluster_service';
import type { TargetType } from '@gatehouse/protocol-api';
import { allowsDynamicName } from '@gatehouse/tunnel';
import { z } from 'zod';

import type { AgentConfig, ConfiguredTarget } from '../config.js';

/** Something this agent may reach. */
export interface ListedTarget {
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protocol: string;
  /** Checked by the protocol's schema. */
  readonly spec: unknown;
}

export interface TargetListOptions {
  readonly config: Pick<AgentConfig, 'targets' | 'dynamic'>;
  readonly types: Readonly<Record<string, TargetType>>;
  /** Relative paths in the configuration start here. */
  readonly configDir: string;
  readonly logger: Logger;
}

export interface TargetList {
  /** What the agent tells the cluster; no secrets and no paths of them. */
  describe(): AgentTarget[];
  find(name: string, protocol: string): ListedTarget | undefined;
  /** All of one kind of spec, for work ahead of need. */
  all(): readonly ListedTarget[];
  /** Takes the targets that documents give; those beyond `dynamic` are refused. */
  setDynamic(targets: readonly AgentTarget[]): void;
}

/** @throws CONFIG_INVALID where a spec is not what its protocol needs */
export function createTargetList(options: TargetListOptions): TargetList {
  const own = options.config.targets.map((target) => readOwn(target, options));
  let dynamic: readonly ListedTarget[] = [];
  const all = () => [...own, ...dynamic];
  return {
    describe: () => own.map(describeTarget),
    find: (name, protocol) =>
      all().find((target) => target.name === name && target.protocol === protocol),
    all,
    setDynamic(targets) {
      dynamic = targets.flatMap((target) => readDynamic(target, options));
    },
  };
}

function readOwn(target: ConfiguredTarget, options: TargetListOptions): ListedTarget {
  const { kind, name, labels } = target;
  const spec = readFiles(target, options.configDir);
  const type = typeOf({ kind, protocol: target.protocol, spec }, options.types);
  const where = `target ${name}`;
  if (type === undefined) {
    const noType = z.never({ error: `no protocol of kind "${kind}" fits` });
    return parseConfig(noType, target, where);
  }
  const parsed = parseConfig(type.spec, withPaths(spec, options.configDir), where);
  return { kind, name, labels, protocol: type.protocol, spec: parsed };
}

function typeOf(
  target: { kind: string; protocol: string | undefined; spec: Readonly<Record<string, unknown>> },
  types: Readonly<Record<string, TargetType>>,
): TargetType | undefined {
  const candidates = Object.values(types).filter(({ kind }) => kind === target.kind);
  const inside = target.spec['protocol'];
  const wanted = target.protocol ?? (typeof inside === 'string' ? inside : undefined);
  if (wanted === undefined) return candidates.length === 1 ? candidates[0] : undefined;
  return candidates.find(({ protocol }) => protocol === wanted);
}

/** Fields that may be files, and how many of their keys count: while a CA is rotated there are two. */
const fileFields = { host_ca: Infinity, host_key: 1 };

/** Puts the keys of files in the place of their paths. @throws CONFIG_INVALID for a file that can't be read */
function readFiles(target: ConfiguredTarget, configDir: string): Record<string, unknown> {
  const read = { ...target.spec };
  for (const [field, count] of Object.entries(fileFields)) {
    const value = read[field];
    if (typeof value !== 'string' || !/^(\/|\.\.?\/)/.test(value)) continue;
    const lines = readLines(resolve(configDir, value), `target ${target.name}: ${field}`);
    read[field] = lines.slice(0, count).join('\n');
  }
  return read;
}

function readLines(path: string, where: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return parseConfig(z.never({ error: why }), path, where);
  }
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

const specSchema = z.record(z.string(), z.unknown());

function readDynamic(target: AgentTarget, options: TargetListOptions): ListedTarget[] {
  const { kind, name, labels, protocol } = target;
  try {
    if (!allowsDynamicName(options.config.dynamic, name))
      throw new Error('the configuration does not allow its name (dynamic)');
    const spec = specSchema.parse(JSON.parse(target.specJson));
    const type = typeOf({ kind, protocol, spec }, options.types);
    if (type === undefined) throw new Error('no such protocol here');
    const parsed = type.spec.parse(spec);
    const onlyConfigured = type.onlyConfigured?.(parsed);
    if (onlyConfigured !== undefined) throw new Error(onlyConfigured);
    return [{ kind, name, labels, protocol: type.protocol, spec: parsed }];
  } catch (thrown) {
    options.logger.warn({ err: thrown, target: name }, 'target of a document is not served');
    return [];
  }
}

function describeTarget({ kind, name, labels, protocol, spec }: ListedTarget): AgentTarget {
  return {
    kind,
    name,
    labels: { ...labels },
    protocol,
    specJson: JSON.stringify(publicSpec(spec)),
  };
}

/** Without `auth` and without paths of files. */
function publicSpec(spec: unknown): unknown {
  if (typeof spec !== 'object' || spec === null) return spec;
  return Object.fromEntries(
    Object.entries(spec)
      .filter(([field]) => field !== 'auth' && !field.endsWith('_file'))
      .map(([field, value]) => [field, Array.isArray(value) ? value : publicSpec(value)]),
  );
}

/** Paths of files start at the configuration. */
function withPaths(spec: unknown, configDir: string): unknown {
  if (Array.isArray(spec)) return spec.map((item: unknown) => withPaths(item, configDir));
  if (typeof spec !== 'object' || spec === null) return spec;
  return Object.fromEntries(
    Object.entries(spec).map(([field, value]) => [
      field,
      field.endsWith('_file') && typeof value === 'string'
        ? resolve(configDir, value)
        : withPaths(value, configDir),
    ]),
  );
}
