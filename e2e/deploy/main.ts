/**
 * `pnpm test:deploy`: what is shipped for containers, proven on a real engine and a real API server. Its set-up is
 * install.sh's; it ends with 1 where something does not hold.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { waitForStopSignal } from '@gatehouse/kit/lifecycle';

import { root } from '../stack/installation.js';
import {
  checkConfiguration,
  configurationsIn,
  dryRun,
  installRelease,
  lint,
  makeVolumes,
  proveSecretsJob,
  render,
  valueSets,
} from './charts.js';
import { auditedTypes, composeUp, firstSession } from './composed.js';
import { ControlPlane } from './control-plane.js';
import { Engine } from './engine.js';
import { buildImages, makeBases, serviceImages, sizeOf } from './images.js';

const startedAt = performance.now();

function say(text: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(7);
  process.stdout.write(`${seconds}s  ${text.replaceAll('\n', '\n          ')}\n`);
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`does not hold: ${what}`);
  say(`  ok  ${what}`);
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

async function proveImages(engine: Engine): Promise<void> {
  await makeBases(engine);
  say('bases and stand-ins are there');
  const base = await sizeOf(engine, 'node:24-bookworm-slim');
  for (const [image, bytes] of await buildImages(engine))
    say(`  ${image}: ${megabytes(bytes)}, ${megabytes(bytes - base)} of it above its base`);
  for (const image of [...serviceImages, 'agent']) {
    const limits = ['--rm', '--network=none', '--read-only', '--cap-drop=ALL'];
    const help = await engine.docker(['run', ...limits, `gatehouse/${image}`, '--help']);
    const id = ['--entrypoint=id', `gatehouse/${image}`, '-u'];
    const who = await engine.docker(['run', ...limits, ...id]);
    must(
      help.includes('--config') && who.trim() === '1000',
      `gatehouse/${image} runs read-only as 1000`,
    );
  }
}

async function proveCompose(engine: Engine): Promise<void> {
  for (const name of serviceImages) {
    const text = readFileSync(join(root, `deploy/compose/${name}.yaml`), 'utf8');
    const said = await checkConfiguration(engine, `gatehouse/${name}`, text);
    must(said.includes('is valid'), `deploy/compose/${name}.yaml by --check-config`);
  }
  const begun = performance.now();
  const since = () => ((performance.now() - begun) / 1000).toFixed(1);
  say('docker compose up');
  await using composed = await composeUp(engine);
  say(`  invited after ${since()} s`);
  const answer = await firstSession(engine, composed);
  say(`  first session ended ${since()} s after docker compose up`);
  must(answer === 'node', `ssh node@demo id -un says ${answer}`);
  const types = await auditedTypes(composed);
  must(types.includes('session.started'), `the audit has ${[...new Set(types)].join(', ')}`);
  say(await engine.compose(['ps']));
}

async function proveCharts(engine: Engine): Promise<void> {
  await using plane = await new ControlPlane().start();
  say(await plane.kubectl(['version']));
  for (const set of valueSets()) {
    say(`${set.file}`);
    say(`  ${await lint(plane, set)}`);
    const rendered = await render(plane, set);
    await dryRun(plane, rendered);
    say('  ok  every object is taken by the API server, strictly');
    for (const { image, text } of configurationsIn(rendered)) {
      const said = await checkConfiguration(engine, image, text);
      must(said.includes('is valid'), `${image} --check-config`);
    }
    const wrong = rendered.replace('terminationGracePeriodSeconds', 'terminationGracePeriod');
    const refused = await dryRun(plane, wrong).then(
      () => false,
      () => true,
    );
    must(refused, 'control: a misspelt field is refused');
  }
  const production = { chart: 'helm/gatehouse', file: 'helm/gatehouse/ci/production-values.yaml' };
  const said = await proveSecretsJob(plane, await render(plane, production));
  say(said.join('\n'));
  must(
    said.join('; ') ===
      'made kek, join-proxy, join-tunnel, join-audit; nothing is missing; made join-audit; ' +
        'kept join-proxy, join-tunnel, kek; list secrets: no; get secret/another: no; ' +
        'delete secret/gatehouse-secrets: no',
    'the Job makes only what is missing',
  );
  await makeVolumes(plane);
  for (const set of [
    production,
    { chart: 'helm/gatehouse-agent', file: 'helm/gatehouse-agent/ci/least-values.yaml' },
  ]) {
    const { installed, policies, left } = await installRelease(plane, set);
    say(`helm install --wait, ${set.file}`);
    say(`${installed.trim()}\n\n${policies.trim()}`);
    must(
      left.every((name) => /^(secret|persistentvolumeclaim)\/|^service\/kubernetes$/.test(name)),
      `an uninstall leaves ${left.join(', ')}`,
    );
    must(left.includes('secret/gatehouse-secrets'), 'the secrets among them');
  }
}

async function prove(): Promise<void> {
  await using engine = new Engine();
  // An interrupted run leaves no engine behind.
  const interrupted = waitForStopSignal().then(() => {
    throw new Error('interrupted');
  });
  await Promise.race([interrupted, proveAll(engine)]);
}

async function proveAll(engine: Engine): Promise<void> {
  await engine.start();
  say(await engine.docker(['version', '--format', 'Docker engine {{.Server.Version}}']));
  await proveImages(engine);
  await proveCompose(engine);
  await proveCharts(engine);
  say('all of it holds');
}

await prove();
process.exit(0);
