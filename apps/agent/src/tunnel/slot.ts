/**
 * Keeps one tunnel, for ever: connects, waits for its end, connects again with full jitter. Two slots make the agent's two
 * tunnels; each wants another replica than the other has. A tunnel that is to be replaced (the replica drains, the
 * certificate was renewed) stays until its connections have ended.
 */
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import type { Logger } from '@gatehouse/kit/log';
import type { TunnelEnd } from '@gatehouse/tunnel';

import type { Link } from './link.js';
import { createRetryPlan, type RetryPlan } from './retry-plan.js';

export interface SlotDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /**
   * Connects to a replica that the other slot does not have; undefined where there is none now.
   * @param mayBeTwin it may come through the same proxy as the other slot's tunnel; otherwise it is answered `same_proxy`
   */
  open(mayBeTwin: boolean): Promise<Link | undefined>;
  /** Did it come through the same proxy as the other slot's tunnel? Then both would end with that one. */
  isTwin(link: Link): boolean;
  /**
   * How long a tunnel stays that is a twin all the same, before the slot looks whether there is another proxy by now: grows
   * from the first to the cap. Undefined: for ever, because the other slot looks.
   */
  readonly twinWaitMs?: { readonly first: number; readonly cap: number } | undefined;
  /** Does a tunnel stand, of either slot, that is not about to be replaced? */
  isServed(): boolean;
  onChange(): void;
}

export interface Slot {
  readonly link: Link | undefined;
  /** Of the tunnel that stands, or that waits for its welcome. */
  readonly replicaId: string | undefined;
  /** Connections through this slot's tunnels. */
  streamCount(): number;
  /** Replace the tunnel, if it is still this one (or whichever there is). */
  replace(link?: Link): void;
  /** There may be another replica by now: a slot that found none dials after `ms`. */
  lookWithin(ms: number): void;
  run(): Promise<void>;
}

/** How often the second slot looks for another replica where there was one only. */
const lookAgainMs = { first: 15_000, cap: 5 * 60_000 };

const retiredLookMs = 500;

/** How often in a row a tunnel that came through the other one's proxy is given up at once (D28). */
const mostRedials = 5;

export function createSlot(deps: SlotDeps): Slot {
  return new TunnelSlot(deps);
}

type Outcome = 'served' | 'failed' | 'alone' | 'replaced';

class TunnelSlot implements Slot {
  readonly #deps: SlotDeps;
  readonly #plan: RetryPlan;
  readonly #retired = new Set<Link>();
  #link: Link | undefined;
  /** Connected, not yet welcome. */
  #candidate: Link | undefined;
  #replace = new AbortController();
  /** Ends the wait of a slot that found no other replica. */
  #look = new AbortController();
  #lookTimer: NodeJS.Timeout | undefined;
  #alone = 0;
  #redials = 0;
  /** Looks in a row that have found the same proxy again. */
  #twinLooks = 0;

  constructor(deps: SlotDeps) {
    this.#deps = deps;
    this.#plan = createRetryPlan(deps.clock);
  }

  get replicaId(): string | undefined {
    return (this.#link ?? this.#candidate)?.replicaId;
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

  lookWithin(ms: number): void {
    if (this.#deps.signal.aborted) return;
    // The first word counts: whoever says it again and again neither hurries nor delays the look.
    this.#lookTimer ??= setTimeout(() => {
      this.#lookTimer = undefined;
      this.#alone = 0;
      this.#look.abort();
    }, ms);
  }

  async run(): Promise<void> {
    const { signal } = this.#deps;
    while (!signal.aborted) {
      this.#look = new AbortController();
      const outcome = await this.#once();
      const wake = outcome === 'alone' ? AbortSignal.any([signal, this.#look.signal]) : signal;
      await sleep(this.#waitMs(outcome), wake).catch(() => undefined);
    }
    clearTimeout(this.#lookTimer);
    for (const link of [this.#link, ...this.#retired]) link?.close();
  }

  #waitMs(outcome: Outcome): number {
    if (outcome === 'replaced') return 0;
    if (outcome !== 'alone') return this.#plan.nextMs(!this.#deps.isServed());
    this.#alone += 1;
    return growingWaitMs(this.#alone, lookAgainMs);
  }

  /** One tunnel to its end. */
  async #once(): Promise<Outcome> {
    const { logger, signal, clock } = this.#deps;
    const link = await this.#reach();
    if (link === undefined) return 'failed';
    if (link === 'alone') {
      this.#plan.noteService(Infinity);
      return 'alone';
    }
    this.#alone = 0;
    if (link === 'twin') {
      this.#redials += 1;
      return 'replaced';
    }
    this.#redials = 0;
    this.#take(link);
    logger.info({ replicaId: link.replicaId }, 'tunnel stands');
    const isTwin = this.#deps.isTwin(link);
    const startedMs = clock.monotonic();
    using look = this.#lookForOtherProxy(isTwin);
    const end = await endOf(link, AbortSignal.any([this.#replace.signal, look.signal, signal]));
    this.#plan.noteService(clock.monotonic() - startedMs);
    if (end !== undefined) logger.info({ reason: end.reason, err: end.error }, 'tunnel ended');
    if (end === undefined && !signal.aborted) {
      this.#retire(link);
      return 'replaced';
    }
    link.close();
    this.#drop(link);
    return 'served';
  }

  /** A signal for the time to look whether there is another proxy by now, by one more dial. */
  #lookForOtherProxy(isTwin: boolean): Disposable & { readonly signal: AbortSignal } {
    const { twinWaitMs } = this.#deps;
    const due = new AbortController();
    const { signal } = due;
    if (!isTwin || twinWaitMs === undefined) {
      this.#twinLooks = 0;
      return { signal, [Symbol.dispose]: () => undefined };
    }
    this.#twinLooks += 1;
    const timer = setTimeout(
      () => {
        this.#redials = mostRedials - 1;
        due.abort();
      },
      growingWaitMs(this.#twinLooks, twinWaitMs),
    );
    return { signal, [Symbol.dispose]: () => clearTimeout(timer) };
  }

  /** A tunnel that was made welcome; undefined where that failed. */
  async #reach(): Promise<Link | 'alone' | 'twin' | undefined> {
    const { logger, signal } = this.#deps;
    const onAbort = () => this.#candidate?.close();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      this.#candidate = await this.#deps.open(this.#redials >= mostRedials);
      if (this.#candidate === undefined) return 'alone';
      if ((await this.#candidate.answer) === 'welcome') return this.#candidate;
      this.#candidate.close();
      return 'twin';
    } catch (thrown) {
      this.#candidate?.close();
      if (!signal.aborted) logger.info({ err: thrown }, 'no tunnel');
      return undefined;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#candidate = undefined;
    }
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

  /**
   * Its connections may end by themselves; the replica or the end of its certificate cuts it otherwise. It serves on until
   * another tunnel stands: whoever is asked to go elsewhere is not offline meanwhile.
   */
  #retire(link: Link): void {
    this.#retired.add(link);
    if (this.#link === link) this.#link = undefined;
    const timer = setInterval(() => {
      if (link.streamCount === 0 && this.#deps.isServed()) link.close();
    }, retiredLookMs);
    link.closed.then(
      () => {
        clearInterval(timer);
        this.#drop(link);
      },
      () => undefined,
    );
  }
}

function growingWaitMs(attempt: number, { first, cap }: { first: number; cap: number }): number {
  return first / 2 + backoffMs(attempt, { baseMs: first, capMs: cap });
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
