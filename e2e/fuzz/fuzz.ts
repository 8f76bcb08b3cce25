/**
 * A small mutation fuzzer for decoders. The order: every kept input of the corpus, every seed, then mutations until the
 * time is up. The same seed gives the same inputs in the same order. A decoder may throw GatehouseError and nothing
 * else, must answer soon, and must not keep or claim memory that its input does not justify.
 *
 * There is no coverage to steer by; instead an input whose outcome has not been seen before (another error text)
 * joins the inputs that are mutated further, so that deeper checks are reached.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext, Script } from 'node:vm';

import { GatehouseError } from '@gatehouse/kit/errors';
import { createRandom, type Random } from '@gatehouse/kit/testing';

import { mutate } from './mutate.js';

/** What packages list in their testing.ts. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  run(input: Buffer): void;
}

export interface FuzzOptions {
  /** How long to go on with mutations after corpus and seeds. */
  readonly budgetMs: number;
  /** Default `gatehouse`. */
  readonly seed?: string;
  /** Kept inputs, all run first. */
  readonly corpus?: readonly Buffer[];
  /** Ends after so many mutations even if time is left. Default: no bound. */
  readonly maxRuns?: number;
  /** Longest input. Default 64 KiB. */
  readonly maxInputBytes?: number;
  /** Longest time for a batch, which takes 100 ms when nothing hangs. Default 10 s. */
  readonly hangMs?: number;
  /** How much more memory than at the start may stay in use. Default 64 MiB. */
  readonly maxGrowthBytes?: number;
}

export interface FuzzFinding {
  readonly kind: 'threw' | 'hung' | 'memory';
  readonly input: Buffer;
  /** What was thrown; undefined for memory. */
  readonly cause?: unknown;
}

export interface FuzzReport {
  readonly name: string;
  /** Inputs run: corpus, seeds and mutations. */
  readonly runs: number;
  /** How many were refused with a GatehouseError. */
  readonly refused: number;
  /** Different outcomes seen. */
  readonly outcomes: number;
  /** The digest of all inputs in order: equal for equal seeds and run counts. */
  readonly digest: string;
  readonly finding?: FuzzFinding;
}

const batchMs = 100;
const memoryCheckRuns = 64;
/** More than an input of 64 KiB can justify. */
const maxClaimBytes = 32 * 1024 * 1024;
const maxPool = 512;
const maxOutcomes = 4096;

/** Fuzzes one decoder; stops at the first finding. Gives way to other work every 100 ms. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  const run = createRun(target, options);
  const inputs = [...(options.corpus ?? []), ...target.seeds];
  for (const input of inputs) run.queue(input);
  const maxRuns = inputs.length + (options.maxRuns ?? Number.POSITIVE_INFINITY);
  let deadline: number | undefined;
  while (
    !run.finding() &&
    run.count() < maxRuns &&
    performance.now() < (deadline ?? Number.POSITIVE_INFINITY)
  ) {
    run.batch(maxRuns);
    if (run.count() >= inputs.length) deadline ??= performance.now() + options.budgetMs;
    await nextTurn();
  }
  return run.report();
}

/** Name of the folder in e2e/corpus that keeps inputs of a target. */
export function corpusName(target: Pick<FuzzTarget, 'name'>): string {
  return target.name.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-');
}

/** A finding in words, with its input to paste. */
export function describeFinding(name: string, { kind, input, cause }: FuzzFinding): string {
  const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return `${name}: ${kind} on ${input.length} bytes (base64): ${input.toString('base64').slice(0, 4096)}\n${reason}`;
}

interface Run {
  queue(input: Buffer): void;
  /** Runs for 100 ms, or up to `maxRuns` in all. */
  batch(maxRuns: number): void;
  count(): number;
  finding(): FuzzFinding | undefined;
  report(): FuzzReport;
}

function createRun(target: FuzzTarget, options: FuzzOptions): Run {
  const { maxInputBytes = 64 * 1024, hangMs = 10_000, maxGrowthBytes = 64 * 1024 * 1024 } = options;
  const random = createRandom(`${options.seed ?? 'gatehouse'}/${target.name}`);
  const queue: Buffer[] = [];
  const pool = new Pool(random);
  const memory = new MemoryWatch(maxGrowthBytes);
  const digest = createHash('sha256');
  const seen = new Set<string>();
  let current: Buffer = Buffer.alloc(0);
  let finding: FuzzFinding | undefined;
  let runs = 0;
  let refused = 0;

  function step(): void {
    const queued = queue.shift();
    current = queued ?? mutate(pool.pick(), pool.pick(), { random, maxBytes: maxInputBytes });
    runs += 1;
    digest.update(current);
    const kept = Buffer.from(current);
    memory.beforeRun();
    const outcome = observe(current);
    if (memory.isTooMuchAfterRun()) fail({ kind: 'memory', input: kept });
    // A decoder that writes into its input would corrupt what others read from the same chunk.
    if (!finding && !kept.equals(current))
      fail({ kind: 'threw', input: kept, cause: new Error('the input was changed') });
    if (queued || (outcome !== undefined && seen.size < maxOutcomes && !seen.has(outcome)))
      pool.add(kept);
    if (outcome !== undefined && seen.size < maxOutcomes) seen.add(outcome);
  }

  function observe(input: Buffer): string | undefined {
    try {
      target.run(input);
      return 'accepted';
    } catch (thrown) {
      if (isOutOfTime(thrown)) throw thrown;
      if (!(thrown instanceof GatehouseError)) {
        fail({ kind: 'threw', input: Buffer.from(input), cause: thrown });
        return undefined;
      }
      refused += 1;
      return describeOutcome(thrown);
    }
  }

  function fail(found: FuzzFinding): void {
    finding ??= found;
  }

  return {
    queue: (input) => void queue.push(Buffer.from(input)),
    batch(maxRuns) {
      const end = performance.now() + batchMs;
      const act = () => {
        while (!finding && runs < maxRuns && performance.now() < end) step();
      };
      try {
        runWithTimeout(act, hangMs);
      } catch (thrown) {
        if (!isOutOfTime(thrown)) throw thrown;
        fail({ kind: 'hung', input: current, cause: thrown });
      }
    },
    count: () => runs,
    finding: () => finding,
    report: () => ({
      name: target.name,
      runs,
      refused,
      outcomes: seen.size,
      digest: digest.copy().digest('hex'),
      ...(finding ? { finding } : {}),
    }),
  };
}

/** What an error says apart from numbers and the input it quotes. */
function describeOutcome(error: GatehouseError): string {
  return `${error.code} ${error.message.replaceAll(/[\d\s]+/g, ' ').slice(0, 60)}`;
}

/** Calls `act`; when it takes longer than `ms` it is ended wherever it is. */
function runWithTimeout(act: () => void, ms: number): void {
  const slot = Symbol.for('gatehouse.fuzz.act');
  Reflect.set(globalThis, slot, act);
  try {
    timedCall.runInThisContext({ timeout: ms });
  } finally {
    Reflect.deleteProperty(globalThis, slot);
  }
}

/** A script of node:vm can be ended from outside, also while a decoder that it called never returns. */
const timedCall = new Script("globalThis[Symbol.for('gatehouse.fuzz.act')]()");

function isOutOfTime(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}

/** The inputs that are mutated: what was queued, and what had an outcome of its own. Bounded; the oldest give way. */
class Pool {
  readonly #random: Random;
  readonly #inputs: Buffer[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  add(input: Buffer): void {
    if (this.#inputs.length < maxPool) this.#inputs.push(input);
    else this.#inputs[this.#random.below(maxPool)] = input;
  }

  pick(): Buffer {
    return this.#inputs[this.#random.below(this.#inputs.length)] ?? Buffer.alloc(0);
  }
}

/** Looks at heap and buffers after each run: what one run claimed, and what stays after a collection. */
class MemoryWatch {
  readonly #maxGrowthBytes: number;
  readonly #startBytes: number;
  #externalBytes = 0;
  #runs = 0;

  constructor(maxGrowthBytes: number) {
    this.#maxGrowthBytes = maxGrowthBytes;
    collectGarbage();
    this.#startBytes = usedBytes();
  }

  beforeRun(): void {
    this.#externalBytes = getHeapStatistics().external_memory;
  }

  isTooMuchAfterRun(): boolean {
    this.#runs += 1;
    if (getHeapStatistics().external_memory - this.#externalBytes > maxClaimBytes) return true;
    if (this.#runs % memoryCheckRuns !== 0 || !this.#hasGrown()) return false;
    collectGarbage();
    return this.#hasGrown();
  }

  #hasGrown(): boolean {
    return usedBytes() - this.#startBytes > this.#maxGrowthBytes;
  }
}

function usedBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

setFlagsFromString('--expose-gc');
// V8 gives its collector only as a global of a new context.
const collectGarbage: () => void = runInNewContext('gc');
