/**
 * Keeps one tunnel, for ever: connects, waits for its end, connects again with full jitter. Two slots make the agent's two
 * tunnels; each wants another replica than the other has. A tunnel that is to be replaced (the replica drains, the
 * certificate was renewed) stays until its connections have ended.
 */
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import type { Logger } from '@gatehouse/kit/log';
import type { TunnelEnd } from '@gatehouse/tunnel';

import type { Link } from './link.js';

export interface SlotDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Connects to a replica other than `avoid`; undefined where there seems to be none. */
  open(avoid: string | undefined): Promise<Link | undefined>;
  /** The replica that the other slot has. */
  otherReplica(): string | undefined;
  onChange(): void;
}

export interface Slot {
  readonly link: Link | undefined;
  /** Connections through this slot's tunnels. */
  streamCount(): number;
  /** Replace the tunnel, if it is still this one (or whichever there is). */
  replace(link?: Link): void;
  run(): Promise<void>;
}

/** Waits between tries: short while an outage is young, so that a restart next door is hardly felt. */
const backoff = { baseMs: 200, youngCapMs: 2_500, capMs: 15_000, youngMs: 60_000 };
/** A tunnel that stood for so long was no mistake; its end counts as a first failure. */
const settledMs = 5_000;
/** How often the second slot looks for another replica where there was one only. */
const lookAgainMs = { first: 15_000, cap: 5 * 60_000 };

export function createSlot(deps: SlotDeps): Slot {
  return new TunnelSlot(deps);
}

class TunnelSlot implements Slot {
  readonly #deps: SlotDeps;
  readonly #retired = new Set<Link>();
  #link: Link | undefined;
  #replace = new AbortController();
  #alone = 0;

  constructor(deps: SlotDeps) {
    this.#deps = deps;
  }

  get link(): Link | undefined {
    return this.#link;
  }

  streamCount(): number {
    let count = this.#link?.streamCount ?? 0;
    for (const link of this.#retired) count += link.streamCount;
    return count;
  }

  replace(link: Link | undefined = this.#link): void {
    if (link === this.#link) this.#replace.abort();
  }

  async run(): Promise<void> {
    const { signal, clock } = this.#deps;
    let attempt = 0;
    let failingSinceMs = clock.monotonic();
    while (!signal.aborted) {
      const startedMs = clock.monotonic();
      const outcome = await this.#once();
      const nowMs = clock.monotonic();
      if (outcome === 'served' && nowMs - startedMs > settledMs) {
        attempt = 0;
        failingSinceMs = nowMs;
      }
      const isYoung = nowMs - failingSinceMs < backoff.youngMs;
      const capMs = isYoung ? backoff.youngCapMs : backoff.capMs;
      const waitMs =
        outcome === 'alone'
          ? this.#lookAgainMs()
          : outcome === 'replaced'
            ? 0
            : 50 + backoffMs(attempt, { baseMs: backoff.baseMs, capMs });
      attempt += 1;
      await sleep(waitMs, signal).catch(() => undefined);
    }
    for (const link of [this.#link, ...this.#retired]) link?.close();
  }

  #lookAgainMs(): number {
    this.#alone += 1;
    return (
      lookAgainMs.first / 2 +
      backoffMs(this.#alone, { baseMs: lookAgainMs.first, capMs: lookAgainMs.cap })
    );
  }

  /** One tunnel to its end. */
  async #once(): Promise<'served' | 'failed' | 'alone' | 'replaced'> {
    const { logger, signal } = this.#deps;
    let link: Link | undefined;
    try {
      link = await this.#deps.open(this.#deps.otherReplica());
      if (link === undefined) return 'alone';
      await link.welcomed;
    } catch (thrown) {
      link?.close();
      if (!signal.aborted) logger.info({ err: thrown }, 'no tunnel');
      return 'failed';
    }
    this.#alone = 0;
    this.#take(link);
    logger.info({ replicaId: link.replicaId }, 'tunnel stands');
    const end = await endOf(link, AbortSignal.any([this.#replace.signal, signal]));
    if (end !== undefined) logger.info({ reason: end.reason, err: end.error }, 'tunnel ended');
    if (end === undefined && !signal.aborted) {
      this.#retire(link);
      return 'replaced';
    }
    link.close();
    this.#drop(link);
    return 'served';
  }

  #take(link: Link): void {
    this.#link = link;
    this.#replace = new AbortController();
    this.#deps.onChange();
  }

  #drop(link: Link): void {
    this.#retired.delete(link);
    if (this.#link === link) this.#link = undefined;
    this.#deps.onChange();
  }

  /** Its connections may end by themselves; the replica or the end of its certificate cuts it otherwise. */
  #retire(link: Link): void {
    this.#retired.add(link);
    if (this.#link === link) this.#link = undefined;
    const timer = setInterval(() => {
      if (link.streamCount === 0) link.close();
    }, 1_000);
    link.closed.then(
      () => {
        clearInterval(timer);
        this.#drop(link);
      },
      () => undefined,
    );
  }
}

/** How a tunnel ended; undefined when the signal came first. */
async function endOf(link: Link, signal: AbortSignal): Promise<TunnelEnd | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const onAbort = () => {
    resolve(undefined);
  };
  if (signal.aborted) return undefined;
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([link.closed, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
