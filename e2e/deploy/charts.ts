/** The charts: linted, rendered, each configuration read by the service it is for, taken by a real API server, installed. */
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

import { root } from '../stack/installation.js';
import { run } from '../stack/run.js';
import type { ControlPlane } from './control-plane.js';
import type { Engine } from './engine.js';

export interface ValueSet {
  readonly chart: string;
  readonly file: string;
}

/** All in the charts' `ci` folders. */
export function valueSets(): ValueSet[] {
  return globSync('helm/*/ci/*-values.yaml', { cwd: root })
    .sort()
    .map((file) => ({ chart: file.split('/').slice(0, 2).join('/'), file }));
}

const objectSchema = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
  data: z.record(z.string(), z.string()).optional(),
});

/** What the chart makes of a set, as YAML. */
export async function render(plane: ControlPlane, { chart, file }: ValueSet): Promise<string> {
  return plane.helm(['template', basename(chart), chart, '--values', file], { cwd: root });
}

export async function lint(plane: ControlPlane, { chart, file }: ValueSet): Promise<string> {
  const said = await plane.helm(['lint', '--strict', chart, '--values', file], { cwd: root });
  return said.trim().split('\n').at(-1) ?? '';
}

/** Configurations of services in what was rendered, by the image that reads them. */
export function configurationsIn(rendered: string): { image: string; text: string }[] {
  return parseAllDocuments(rendered).flatMap((document) => {
    const object = objectSchema.safeParse(document.toJS());
    const text = object.data?.data?.['config.yaml'];
    const part = object.data?.metadata.name.split('-').at(-1);
    return text === undefined ? [] : [{ image: `gatehouse/${part}-service`, text }];
  });
}

/** `--check-config` of the image itself, as it will run: read-only and as nobody in particular. */
export async function checkConfiguration(engine: Engine, image: string, text: string) {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
  const file = join(dir, 'config.yaml');
  writeFileSync(file, text, { mode: 0o644 });
  try {
    const mount = `--volume=${file}:/etc/gatehouse/config.yaml:ro`;
    const limits = ['--rm', '--network=none', '--read-only', '--cap-drop=ALL', mount];
    const args = ['--config', '/etc/gatehouse/config.yaml', '--check-config'];
    return await engine.docker(['run', ...limits, image, ...args]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Everything in it, as the API server would store it; unknown fields are refused. */
export async function dryRun(plane: ControlPlane, rendered: string): Promise<void> {
  const taken = await plane.kubectl(
    ['create', '--dry-run=server', '--validate=strict', '--filename', '-'],
    { stdin: rendered },
  );
  const objects = parseAllDocuments(rendered).filter((document) => document.contents !== null);
  const lines = taken.trim().split('\n');
  if (lines.length !== objects.length)
    throw new Error(`${objects.length} objects rendered, ${lines.length} taken:\n${taken}`);
}

/** Volumes by hand, because nothing provisions any here. */
export async function makeVolumes(plane: ControlPlane): Promise<void> {
  const volumes = Array.from({ length: 12 }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `volume-${index + 1}` },
    spec: {
      capacity: { storage: '500Gi' },
      accessModes: ['ReadWriteOnce', 'ReadWriteMany'],
      hostPath: { path: `/volumes/${index + 1}` },
    },
  }));
  await plane.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: volumes }));
}

const secretSchema = z.object({ data: z.record(z.string(), z.string()) });
const secretName = 'gatehouse-secrets';

/**
 * The hook's own script and rights against the API server, since no container runs here: it makes the Secret, then leaves
 * it alone, then makes only the key that is gone, and may do nothing else. Yields what it said.
 */
export async function proveSecretsJob(plane: ControlPlane, rendered: string): Promise<string[]> {
  const documents = parseAllDocuments(rendered).map((document) => document.toJS() as unknown);
  const rights = documents.filter((object) => {
    const { kind, metadata } = objectSchema.parse(object);
    return /^(ServiceAccount|Role|RoleBinding)$/.test(kind) && metadata.name === secretName;
  });
  await plane.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: rights }));
  const token = await plane.kubectl(['create', 'token', secretName]);
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-job-'));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const job = async () => {
    const script = join(root, 'helm/gatehouse/files/make-secrets.mjs');
    const ended = await run(process.execPath, [script], {
      env: {
        SECRET_NAME: secretName,
        SECRET_NAMESPACE: 'default',
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: String(plane.port),
        NODE_EXTRA_CA_CERTS: plane.caFile,
        TOKEN_FILE: tokenFile,
      },
    });
    if (ended.code !== 0) throw new Error(`make-secrets.mjs: ${ended.stderr}`);
    return ended.stdout.trim();
  };
  const read = async () => {
    const text = await plane.kubectl(['get', 'secret', secretName, '--output=json']);
    return secretSchema.parse(JSON.parse(text)).data;
  };
  try {
    const said = [await job()];
    const made = await read();
    said.push(await job());
    const gone = JSON.stringify([{ op: 'remove', path: '/data/join-audit' }]);
    await plane.kubectl(['patch', 'secret', secretName, '--type=json', `--patch=${gone}`]);
    said.push(await job());
    const mended = await read();
    const kept = Object.keys(made).filter((key) => made[key] === mended[key]);
    said.push(`kept ${kept.join(', ')}`);
    const as = `--as=system:serviceaccount:default:${secretName}`;
    for (const [verb, what] of [
      ['list', 'secrets'],
      ['get', 'secret/another'],
      ['delete', `secret/${secretName}`],
    ] as const) {
      const may = await plane.kubectl(['auth', 'can-i', verb, what, as]).catch(() => 'no');
      said.push(`${verb} ${what}: ${may.trim()}`);
    }
    return said;
  } finally {
    rmSync(dir, { recursive: true, force: true });
    await plane.kubectl(['delete', 'serviceaccount,role,rolebinding', secretName]);
  }
}

/** Installs, upgrades and uninstalls; yields what `kubectl get all` said of the release and what outlived it. */
export async function installRelease(plane: ControlPlane, { chart, file }: ValueSet) {
  const release = basename(chart);
  const args = [release, chart, '--values', file, '--wait', '--timeout=5m'];
  await plane.helm(['install', ...args], { cwd: root });
  const installed = await plane.kubectl(['get', 'all']);
  const policies = await plane.kubectl([
    'get',
    'networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,persistentvolumeclaims',
  ]);
  await plane.helm(['upgrade', ...args], { cwd: root });
  await plane.helm(['uninstall', release, '--wait'], { cwd: root });
  const kinds = 'secrets,persistentvolumeclaims,deployments,statefulsets,services,jobs';
  const left = await plane.kubectl(['get', kinds, '--output=name']);
  return { installed, policies, left: left.trim().split('\n') };
}
