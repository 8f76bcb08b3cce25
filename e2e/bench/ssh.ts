/**
 * SSH in one run: the ways of ssh/routes.ts to one sshd, measured in interleaved rounds, so that whatever else the machine
 * does falls on all of them alike.
 *   exec     `ssh … true`, ms from start to exit
 *   bulk     a file of random bytes, both ways
 *   terminal the same by PTY, which is what is recorded
 *   idle     memory of the proxy per session that does nothing
 *   helper   start of `gate proxy ssh`
 */
import { loadAverage, median, sleep, time } from './measure.js';
import { describeMachine, type Bench, type BenchOptions, type Report } from './report.js';
import { measureHelper } from './ssh/helper.js';
import { measureIdle } from './ssh/idle.js';
import {
  Cluster,
  cpuOf,
  directRoute,
  helperRoute,
  jumpRoute,
  pipeRoute,
  portRoute,
  relayRoute,
  startPipe,
  startRelay,
  stopProcess,
  type Route,
} from './ssh/routes.js';
import { bulkTable, execTable, idleTable, terminalTable, type Sample } from './ssh/tables.js';
import { prepareGround, type Ground } from './ssh/target.js';

const names = ['direct', 'jump', 'pipe', 'relay', 'relay-recording', 'helper', 'port'];

export const sshBench: Bench = {
  name: 'ssh',
  summary: `exec, bulk, terminal, idle, helper; rows ${names.join(', ')}`,
  run: runSsh,
};

async function runSsh(options: BenchOptions): Promise<Report> {
  const startedAt = new Date().toISOString();
  const loadBefore = loadAverage();
  await using stack = new AsyncDisposableStack();
  const ground = stack.use(await prepareGround(options.bulkMib));
  const { routes, cluster } = await createRoutes(ground, options, stack);
  const isAsked = (section: string) => options.sections?.includes(section) ?? true;
  const samples: Sample[] = [];
  const tables = [];
  await warmUp(routes, options);
  // First, while what bulk leaves behind in the heap is not there yet.
  if (isAsked('idle')) tables.push(idleTable(await measureIdle(routes, options), options.idle));
  if (isAsked('exec')) {
    samples.push(...(await measureExec(routes, options)));
    tables.push(execTable(samples, routes));
  }
  if (isAsked('bulk')) {
    samples.push(...(await measureBulk(routes, ground, options)));
    tables.push(bulkTable(samples, routes, options.bulkMib));
  }
  if (isAsked('terminal')) {
    samples.push(...(await measureTerminal(routes, ground, options)));
    tables.push(terminalTable(samples, routes, ground.textMib));
  }
  if (isAsked('helper') && cluster !== undefined)
    tables.push(await measureHelper(cluster, options));
  return {
    bench: 'ssh',
    startedAt,
    endedAt: new Date().toISOString(),
    machine: describeMachine(),
    options: { ...options, progress: undefined },
    tables,
    notes: [
      `load average before ${loadBefore}, after ${loadAverage()}: the client, the target and the proxy share the machine`,
      'curve25519-sha256 and aes128-gcm@openssh.com on every leg; medians of interleaved rounds',
    ],
    samples,
  };
}

async function createRoutes(ground: Ground, options: BenchOptions, stack: AsyncDisposableStack) {
  const { profileDir } = options;
  const isAsked = (name: string) =>
    (options.rows?.includes(name) ?? true) && !options.skip.includes(name);
  const relays = [];
  for (const isRecording of [false, true]) {
    if (!isAsked(isRecording ? 'relay-recording' : 'relay')) continue;
    const relay = await startRelay(ground, { isRecording, profileDir });
    stack.defer(() => stopProcess(relay));
    relays.push(relay);
  }
  const isFull = isAsked('helper') || isAsked('port');
  const cluster = isFull ? stack.use(await Cluster.start(profileDir)) : undefined;
  const target = stack.use(
    await ground.sshd('target', [
      ...relays.map(({ targetAuthority }) => targetAuthority),
      ...(cluster?.targetAuthorities ?? []),
    ]),
  );
  await cluster?.addTarget(target, profileDir);
  const routes: Route[] = [];
  if (isAsked('direct')) routes.push(directRoute(ground, target));
  if (isAsked('jump'))
    routes.push(jumpRoute(ground, target, stack.use(await ground.sshd('jump', []))));
  if (isAsked('pipe')) {
    const pipe = await startPipe();
    stack.defer(() => stopProcess(pipe));
    routes.push(pipeRoute(ground, pipe, target));
  }
  for (const relay of relays) routes.push(relayRoute(ground, relay, target));
  if (cluster !== undefined && isAsked('helper')) routes.push(await helperRoute(ground, cluster));
  if (cluster !== undefined && isAsked('port')) routes.push(await portRoute(ground, cluster));
  return { routes, cluster };
}

/** Certificates are fetched, code is compiled, files are in the page cache. */
async function warmUp(routes: readonly Route[], options: BenchOptions): Promise<void> {
  for (const route of routes) {
    options.progress(`warming up ${route.name}`);
    for (let round = 0; round < 3; round += 1) await time(route.command(['-T'], 'true'));
  }
}

async function measureExec(routes: readonly Route[], options: BenchOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const route of routes) {
      const ms = await time(route.command(['-T'], 'true'));
      samples.push({ section: 'exec', row: route.name, ms });
    }
  }
  report(samples, options);
  return samples;
}

async function measureBulk(
  routes: readonly Route[],
  ground: Ground,
  options: BenchOptions,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.bulkRounds; round += 1) {
    for (const route of routes) {
      const down = route.command(['-T'], `cat ${ground.bulkFile}`);
      samples.push(await timed(route, 'down', () => time(down)));
      const up = route.command(['-T'], 'cat >/dev/null');
      samples.push(await timed(route, 'up', () => time(up, { stdinFile: ground.bulkFile })));
    }
    report(samples, options);
  }
  return samples;
}

async function measureTerminal(
  routes: readonly Route[],
  ground: Ground,
  options: BenchOptions,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const route of routes) {
      const ms = await time(route.command(['-tt'], 'true'));
      samples.push({ section: 'terminal-exec', row: route.name, ms });
    }
  }
  for (let round = 0; round < options.bulkRounds; round += 1) {
    for (const route of routes) {
      const command = route.command(['-tt'], `cat ${ground.textFile}`);
      samples.push(await timed(route, 'terminal-down', () => time(command)));
    }
  }
  report(samples, options);
  return samples;
}

async function timed(
  route: Route,
  section: Sample['section'],
  run: () => Promise<number>,
): Promise<Sample> {
  const before = cpuOf(route);
  const ms = await run();
  // Processes that end are counted once their parent has waited for them.
  await sleep(150);
  const after = cpuOf(route);
  const cpu = Object.fromEntries(
    Object.entries(after).map(([part, seconds]) => [part, seconds - (before[part] ?? 0)]),
  );
  return { section, row: route.name, ms, cpu };
}

function report(samples: readonly Sample[], options: BenchOptions): void {
  for (const key of new Set(samples.map(({ section, row }) => `${section} ${row}`))) {
    const own = samples.filter(({ section, row }) => `${section} ${row}` === key);
    const cpu = own.map((sample) => Object.values(sample.cpu ?? {}).reduce((a, b) => a + b, 0));
    const ms = median(own.map((sample) => sample.ms)).toFixed(0);
    options.progress(`${key}: ${ms} ms, ${median(cpu).toFixed(2)} s CPU`);
  }
}
