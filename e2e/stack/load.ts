/** Commands at a steady rate, by clients in this process; and what came of each. */
import { randomUUID, X509Certificate } from 'node:crypto';

import { withDeadline } from '@gatehouse/kit/lifecycle';
import { connectThroughPort, talkInLines } from '@gatehouse/protocol-api/testing';
import {
  loginRaw,
  type RawAnswer,
  type RawConnection,
  type RawCredential,
} from '@gatehouse/protocol-ssh/testing';

import { readCredential, readTlsCredential } from './credential.js';
import type { Person } from './person.js';

export interface LoadOptions {
  readonly person: Person;
  /** `login@target`. */
  readonly target: string;
  /** Commands or, where each has its own, connections a second. */
  readonly perSecond: number;
  /** Of the command that a mark is echoed by; `$MARK` is the mark. Default: `echo $MARK`. */
  readonly command?: string;
}

/** One command. Its mark is in the command's text, so in its events, and comes back on stdout. */
export interface Attempt {
  readonly mark: string;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly ms: number;
  /** Undefined: the mark came back. */
  readonly failure: string | undefined;
}

/** One command. @returns what failed; undefined: its mark came back */
type RunOne = (mark: string) => Promise<string | undefined>;

/** More under way than this are not begun: then the client is too slow for the rate, and says so. */
const maxUnderWay = 300;
const answerMs = 15_000;

export class Load implements AsyncDisposable {
  readonly attempts: Attempt[] = [];
  readonly #run: RunOne;
  readonly #close: () => void;
  readonly #underWay = new Set<Promise<void>>();
  readonly #perSecond: number;
  readonly #name = randomUUID().slice(0, 8);
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  #begun = 0;
  #skipped = 0;

  /** @param close called when all is done */
  constructor(perSecond: number, run: RunOne, close: () => void = () => undefined) {
    this.#perSecond = perSecond;
    this.#run = run;
    this.#close = close;
    this.#timer = setInterval(() => this.#catchUp(), 1_000 / perSecond);
  }

  /** Not begun because too many were under way. */
  get skipped(): number {
    return this.#skipped;
  }

  get done(): Attempt[] {
    return this.attempts.filter(({ failure }) => failure === undefined);
  }

  get failed(): Attempt[] {
    return this.attempts.filter(({ failure }) => failure !== undefined);
  }

  /** Begins no more and waits for those under way. */
  async stop(): Promise<this> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
    this.#close();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Timers are late where the machine is busy; the rate is kept all the same. */
  #catchUp(): void {
    const due = ((performance.now() - this.#startedAt) / 1000) * this.#perSecond;
    while (this.#begun < due) {
      this.#begun += 1;
      if (this.#underWay.size >= maxUnderWay) {
        this.#skipped += 1;
        continue;
      }
      const one = this.#attempt(`mark-${this.#name}-${this.#begun}`).then(() => {
        this.#underWay.delete(one);
      });
      this.#underWay.add(one);
    }
  }

  async #attempt(mark: string): Promise<void> {
    const startedAt = Date.now();
    const at = performance.now();
    const failure = await this.#run(mark).catch((thrown: unknown) =>
      thrown instanceof Error ? thrown.message || thrown.name : String(thrown),
    );
    this.attempts.push({ mark, startedAt, ms: performance.now() - at, failure });
  }
}

async function pause(ms: number): Promise<string> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return 'no answer';
}

/** One command through one proxy, or the balancer. @throws Error with what the proxy says when it refuses */
export async function runThrough(
  address: string,
  what: { readonly credential: RawCredential; readonly target: string; readonly command: string },
): Promise<RawAnswer> {
  using client = await dial(address, what);
  return await runOn(client, what.command);
}

async function dial(
  address: string,
  { credential, target }: { readonly credential: RawCredential; readonly target: string },
): Promise<RawConnection> {
  const port = Number(address.split(':')[1]);
  return loginRaw({ port, userName: target, ...credential });
}

async function runOn(client: RawConnection, command: string): Promise<RawAnswer> {
  const channel = await client.openSession();
  const answer = await channel.ask([{ name: 'exec', fields: [command] }], answerMs);
  // A channel that was given up with its connection has no answer; then the connection says why.
  if (answer.stdout === '' && answer.stderr === '')
    throw new Error(await Promise.race([client.ended(), pause(1_000)]));
  return answer;
}

/** Each connection runs a command over SSH. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const { person, target, perSecond } = options;
  const credential = await readCredential(person);
  return new Load(perSecond, async (mark) => {
    const command = commandWith(options, mark);
    const address = person.home.ready.proxyAddr;
    return findMark(mark, await runThrough(address, { credential, target, command }));
  });
}

/** Commands over SSH one after another through connections that stay open, as many as there are commands at once. */
export async function startKeptLoad(options: LoadOptions): Promise<Load> {
  const { person, target, perSecond } = options;
  const credential = await readCredential(person);
  const idle: RawConnection[] = [];
  const run = async (mark: string) => {
    const address = person.home.ready.proxyAddr;
    const connection = idle.shift() ?? (await dial(address, { credential, target }));
    const failure = findMark(mark, await runOn(connection, commandWith(options, mark)));
    idle.push(connection);
    return failure;
  };
  return new Load(perSecond, run, () => {
    for (const connection of idle.splice(0)) connection[Symbol.dispose]();
  });
}

function commandWith({ command = 'echo $MARK' }: LoadOptions, mark: string): string {
  return command.replaceAll('$MARK', mark);
}

function findMark(mark: string, { stdout, stderr }: RawAnswer): string | undefined {
  return stdout.includes(mark) ? undefined : `no mark: ${stdout}${stderr}`;
}

/** Each connection is raw TCP to an echo server: the cheapest there is. Marks are in no event. */
export async function startTcpLoad(options: Omit<LoadOptions, 'command'>): Promise<Load> {
  const { person, target, perSecond } = options;
  const { privateKeyPem: key, certificate } = await readTlsCredential(person);
  const port = Number(person.home.ready.proxyAddr.split(':')[1]);
  const tls = { key, certificate: new X509Certificate(certificate).toString() };
  const run = async (mark: string) => {
    const socket = await connectThroughPort({ port, tls }, 'gatehouse-tcp', target);
    await using connection = talkInLines(socket);
    const answer = await connection.say(mark);
    return answer === mark ? undefined : `no mark: ${answer}`;
  };
  return new Load(perSecond, async (mark) =>
    withDeadline(run(mark), answerMs, () => new Error('no answer')),
  );
}
