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
  /** Where there are users. */
  readonly secured: SecuredKafka | undefined;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data. */
  restart(): Promise<void>;
}

/** What users need to know. */
export interface SecuredKafka {
  /** `127.0.0.1:port`: SCRAM over TLS. */
  readonly scramAddress: string;
  /** `127.0.0.1:port`: certificates, whose common name is the user. */
  readonly certificateAddress: string;
  readonly caFile: string;
  /** A certificate of that name; files with PEM. */
  issue(name: string): Promise<{ certFile: string; keyFile: string }>;
}

export interface TestKafkaOptions {
  /** Where its data lasts; default: a temporary folder. */
  readonly dir?: string;
  /**
   * SCRAM users with their passwords: then there is a listener for them over TLS, one for certificates, and both ask
   * ACLs. The address in clear stays an administrator's.
   */
  readonly users?: Readonly<Record<string, string>>;
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
  const { address, secured, file } = await prepare(folder, options.users ?? {});
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
    secured,
    kill: async () => end('SIGKILL'),
    restart: start,
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

function java(main: string): string[] {
  return [...jvm, '-cp', `${lib}/*`, main];
}

/** Its configuration, and its data folder where there is none yet. */
async function prepare(folder: string, users: Readonly<Record<string, string>>) {
  const [port, controllerPort] = [await findFreePort(), await findFreePort()];
  const secured = Object.keys(users).length > 0 ? await prepareSecured(folder) : undefined;
  const file = join(folder, 'server.properties');
  const lines = [
    ...settings(folder),
    ...listeners({ port, controllerPort }, secured),
    ...(secured ? securitySettings(secured) : []),
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const scram = Object.entries(users).flatMap(([name, password]) => [
    '--add-scram',
    `SCRAM-SHA-512=[name=${name},password=${password}]`,
  ]);
  const format = ['format', '-t', clusterId, '-c', file, ...scram];
  if (!existsSync(join(folder, 'data')))
    await promisify(execFile)('java', [...java('kafka.tools.StorageTool'), ...format]);
  return { address: `127.0.0.1:${port}`, secured, file };
}

interface Secured extends SecuredKafka {
  readonly serverFile: string;
}

/** An authority and the brokers' certificate, by openssl. */
async function prepareSecured(folder: string): Promise<Secured> {
  const dir = join(folder, 'tls');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = (name: string) => join(dir, name);
  const openssl = async (...args: string[]) => promisify(execFile)('openssl', args);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const ca = [path('ca.crt'), path('ca.key')] as const;
  await openssl(
    'req',
    '-x509',
    ...key,
    '-subj',
    '/CN=test brokers',
    '-keyout',
    ca[1],
    '-out',
    ca[0],
  );
  const issue = async (name: string) => {
    const [certFile, keyFile] = [path(`${name}.crt`), path(`${name}.key`)];
    const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const signer = ['-CA', ca[0], '-CAkey', ca[1]];
    const subject = ['-subj', `/CN=${name}`];
    await openssl(
      'req',
      '-x509',
      ...key,
      ...subject,
      ...names,
      ...signer,
      '-keyout',
      keyFile,
      '-out',
      certFile,
    );
    return { certFile, keyFile };
  };
  const server = await issue('broker');
  const parts = [server.keyFile, server.certFile, ca[0]];
  const pem = await Promise.all(parts.map(async (file) => readFile(file, 'utf8')));
  await writeFile(path('server.pem'), pem.join(''), { mode: 0o600 });
  return {
    scramAddress: `127.0.0.1:${await findFreePort()}`,
    certificateAddress: `127.0.0.1:${await findFreePort()}`,
    caFile: ca[0],
    serverFile: path('server.pem'),
    issue,
  };
}

function listeners(
  { port, controllerPort }: { port: number; controllerPort: number },
  secured: Secured | undefined,
): string[] {
  const forClients = [
    `PLAINTEXT://127.0.0.1:${port}`,
    ...(secured
      ? [`SASL_SSL://${secured.scramAddress}`, `SSL://${secured.certificateAddress}`]
      : []),
  ].join(',');
  return [
    `controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
    `listeners=CONTROLLER://127.0.0.1:${controllerPort},${forClients}`,
    `advertised.listeners=${forClients}`,
  ];
}

function securitySettings({ serverFile, caFile }: Secured): string[] {
  return [
    'sasl.enabled.mechanisms=SCRAM-SHA-512',
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'ssl.keystore.type=PEM',
    `ssl.keystore.location=${serverFile}`,
    'ssl.truststore.type=PEM',
    `ssl.truststore.location=${caFile}`,
    'listener.name.ssl.ssl.client.auth=required',
    'ssl.principal.mapping.rules=RULE:^CN=(.*?)$/$1/,DEFAULT',
    'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users=User:ANONYMOUS',
    'allow.everyone.if.no.acl.found=false',
  ];
}

function settings(folder: string): string[] {
  return [
    'process.roles=broker,controller',
    'node.id=1',
    'controller.listener.names=CONTROLLER',
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL',
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
