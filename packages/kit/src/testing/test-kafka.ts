/** A real Kafka for tests: one KRaft node on loopback, broker and controller in one JVM, in a temporary folder. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { Kafka, logLevel } from 'kafkajs';

import { findFreePort } from './find-free-port.js';

export interface TestKafka extends AsyncDisposable {
  /** `127.0.0.1:port`, in clear, everything allowed. */
  readonly address: string;
  readonly pid: number;
  /** What starts it again, from anywhere. */
  readonly command: readonly string[];
  readonly configFile: string;
  readonly logFile: string;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data. */
  restart(): Promise<void>;
}

export interface TestKafkaOptions {
  /** Where its data lasts; default: a temporary folder. */
  readonly dir?: string;
  /** Lines for server.properties, after ours. */
  readonly properties?: readonly string[];
}

/** Where tools/install-servers.sh puts the jars. */
const lib = join(import.meta.dirname, '../../../../.cache/kafka-4.3.1/lib');
const jvm = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
/** 16 bytes as base64url; one that begins with "-" would be read as an option. */
const clusterId = 'Z2F0ZWhvdXNlLXRlc3RzMQ';
const readyTimeoutMs = 60_000;

/** @throws where its jars are missing (`sh tools/install-servers.sh`) */
export async function startTestKafka(options: TestKafkaOptions = {}): Promise<TestKafka> {
  if (!existsSync(lib)) throw new Error('Kafka is not installed; run sh tools/install-servers.sh');
  await using stack = new AsyncDisposableStack();
  const folder = options.dir ?? (await mkdtemp(join(tmpdir(), 'gatehouse-kafka-')));
  if (options.dir === undefined)
    stack.defer(async () => rm(folder, { recursive: true, force: true }));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const [port, controllerPort] = [await findFreePort(), await findFreePort()];
  const address = `127.0.0.1:${port}`;
  const file = join(folder, 'server.properties');
  const lines = [...settings(folder, { port, controllerPort }), ...(options.properties ?? [])];
  await writeFile(file, `${lines.join('\n')}\n`);
  const java = (main: string) => [...jvm, '-cp', `${lib}/*`, main];
  const format = [...java('kafka.tools.StorageTool'), 'format', '-t', clusterId, '-c', file];
  if (!existsSync(join(folder, 'data'))) await promisify(execFile)('java', format);
  const command = ['java', ...java('kafka.Kafka'), file];
  let child: ChildProcess;
  const log = join(folder, 'log');
  const start = async () => {
    await using output = await open(log, 'a');
    child = spawn('java', command.slice(1), { stdio: ['ignore', output.fd, output.fd] });
    await waitUntilReady(address, child, log);
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  };
  stack.defer(async () => end('SIGKILL'));
  await start();
  const owned = stack.move();
  return {
    address,
    get pid() {
      return child.pid ?? 0;
    },
    command,
    configFile: file,
    logFile: log,
    kill: async () => end('SIGKILL'),
    restart: start,
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

function settings(folder: string, ports: { port: number; controllerPort: number }): string[] {
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${ports.controllerPort}`,
    `listeners=PLAINTEXT://127.0.0.1:${ports.port},CONTROLLER://127.0.0.1:${ports.controllerPort}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${ports.port}`,
    'controller.listener.names=CONTROLLER',
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name=PLAINTEXT',
    `log.dirs=${folder}/data`,
    'auto.create.topics.enable=false',
    // With one node the defaults of three replicas would keep these topics from ever being made.
    'offsets.topic.replication.factor=1',
    'offsets.topic.num.partitions=2',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'group.initial.rebalance.delay.ms=0',
    // A node that was killed is let in again sooner.
    'broker.session.timeout.ms=3000',
    'broker.heartbeat.interval.ms=500',
    'controller.quorum.election.timeout.ms=500',
    'log.cleaner.dedupe.buffer.size=4194304',
    'num.network.threads=2',
    'num.io.threads=2',
    'background.threads=2',
  ];
}

async function waitUntilReady(address: string, child: ChildProcess, log: string): Promise<void> {
  const kafka = new Kafka({
    brokers: [address],
    connectionTimeout: 500,
    retry: { retries: 0 },
    logLevel: logLevel.NOTHING,
  });
  const deadline = performance.now() + readyTimeoutMs;
  for (;;) {
    const admin = kafka.admin();
    try {
      await admin.connect();
      await admin.describeCluster();
      return;
    } catch (thrown) {
      const isOver = child.exitCode !== null || performance.now() > deadline;
      if (isOver) {
        const said = (await readFile(log, 'utf8')).slice(-2_000);
        throw new Error(`Kafka did not start:\n${said}`, { cause: thrown });
      }
      await sleep(100);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}
