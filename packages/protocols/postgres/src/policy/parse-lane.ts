/** A thread that parses one text after the other, of all people in turn, and is replaced when a text breaks it or takes too long. */
import { Worker } from 'node:worker_threads';

import type { ParsedText, UnparsedReason } from './facts.js';
import { FairQueue } from './fair-queue.js';
import type { WorkerMessage } from './parse-worker.js';

export interface LaneOptions {
  /** For one text, from when the thread takes it. */
  readonly deadlineMs: number;
  /** Of texts that wait, bytes; where there are more, the last of whoever has most is told `busy`. */
  readonly maxWaitingBytes: number;
  /** False: the thread ends when nothing waits, as WASM's memory never gets smaller again. */
  readonly isKept: boolean;
  /** Told when a text has cost a thread. */
  readonly onReplaced: (reason: UnparsedReason) => void;
}

interface Job {
  readonly text: string;
  readonly resolve: (parsed: ParsedText) => void;
}

/** What a text that waits takes beside itself. */
const jobBytes = 500;
/** A thread that is not up in this time never will be. */
const startTimeoutMs = 20_000;
/** For the tree of one text; a text that needs more ends the thread, not the process. */
const maxHeapMb = 512;
/** Sources and compiled files are named alike. */
const workerUrl = new URL(`./parse-worker${import.meta.url.slice(-3)}`, import.meta.url);

/** One person's texts are answered in the order they come in. The thread starts with the first of them and does not keep the process alive. */
export class ParseLane {
  readonly #options: LaneOptions;
  readonly #waiting: FairQueue<Job>;
  #current: Job | undefined;
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#waiting = new FairQueue({
      maxBytes: options.maxWaitingBytes,
      bytesOf: ({ text }) => jobBytes + text.length,
      onDropped: (job) => job.resolve({ kind: 'unparsed', reason: 'busy' }),
    });
  }

  /** @param person whose text it is. Never rejects. */
  async parse(text: string, person: string): Promise<ParsedText> {
    if (this.#isClosed) return { kind: 'unparsed', reason: 'failed' };
    return new Promise((resolve) => {
      this.#waiting.push(person, { text, resolve });
      if (this.#current === undefined) this.#next();
    });
  }

  /** Texts that are not answered yet are told `failed`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const worker = this.#worker;
    this.#drop();
    for (const job of [this.#current, ...this.#waiting.take()]) {
      job?.resolve({ kind: 'unparsed', reason: 'failed' });
    }
    this.#current = undefined;
    await worker?.terminate();
  }

  #next(): void {
    this.#current = this.#waiting.shift();
    if (this.#current === undefined) {
      if (!this.#options.isKept) this.#drop();
      return;
    }
    if (this.#worker !== undefined) {
      this.#send(this.#worker, this.#current);
      return;
    }
    this.#worker = this.#start();
    this.#setDeadline(startTimeoutMs);
  }

  #start(): Worker {
    const worker = new Worker(workerUrl, { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } });
    worker.unref();
    worker.on('message', (message: WorkerMessage) => {
      if (worker === this.#worker) this.#take(worker, message);
    });
    // An error is followed by the exit.
    worker.on('error', () => undefined);
    worker.on('exit', () => {
      if (worker === this.#worker) this.#fail('failed');
    });
    return worker;
  }

  #take(worker: Worker, message: WorkerMessage): void {
    if (message === 'broken') {
      this.#fail('failed');
      return;
    }
    if (message === 'ready') {
      if (this.#current !== undefined) this.#send(worker, this.#current);
      return;
    }
    this.#finish(message);
  }

  #send(worker: Worker, { text }: Job): void {
    this.#setDeadline(this.#options.deadlineMs);
    worker.postMessage(text);
  }

  #setDeadline(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#fail('timeout');
    }, ms);
  }

  #fail(reason: UnparsedReason): void {
    this.#drop();
    this.#options.onReplaced(reason);
    this.#finish({ kind: 'unparsed', reason });
  }

  #finish(parsed: ParsedText): void {
    clearTimeout(this.#timer);
    const job = this.#current;
    this.#next();
    job?.resolve(parsed);
  }

  /** The next text gets a new thread. */
  #drop(): void {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.terminate().catch(() => undefined);
  }
}
