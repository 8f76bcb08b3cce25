/** The agent's two tunnels, to different replicas where there are two. */
import type { Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { AgentHello, Replicas, ServiceWelcome } from '@gatehouse/proto/tunnel/v1/control';
import type { IncomingDial, TunnelLimits } from '@gatehouse/tunnel';

import type { Egress } from '../join/egress.js';
import type { AgentState } from '../join/state.js';
import { connectTunnel, isReplicaAway, type TunnelSocket } from './connect.js';
import { openLink, type Link, type News } from './link.js';
import { createSlot, type Slot } from './slot.js';

export interface TunnelsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: Partial<TunnelLimits>;
  readonly egress: Egress | undefined;
  /** Who the agent is now. */
  state(): AgentState;
  hello(): Omit<AgentHello, 'nonce' | 'avoidProxy'>;
  onDial(dial: IncomingDial): void;
  onWelcome(welcome: ServiceWelcome): void;
  onNews(news: Exclude<News, { $case: 'drain' | 'replicas' }>): void;
}

export interface Tunnels extends AsyncDisposable {
  /** Replicas to which a tunnel stands. */
  replicas(): string[];
  readonly streamCount: number;
  /** Replace all tunnels, one connection after another. */
  replaceAll(): void;
  /** Resolves true when a tunnel stands, false after `timeoutMs`. */
  waitForFirst(timeoutMs: number): Promise<boolean>;
}

/** A cluster with one proxy is asked every hour at last. */
const twinWaitMs = { first: 15_000, cap: 60 * 60_000 };

/** What a replica may ask agents to spread their dials over. */
const spreadMs = { least: 1_000, most: 5 * 60_000 };

/** How long a dial may take: patient while the other tunnel stands, because a replica that was restarted keeps agents in line. */
const dialTimeoutMs = { urgent: 8_000, patient: 20_000 };

export function keepTunnels(options: TunnelsOptions): Tunnels {
  return new TwoTunnels(options);
}

class TwoTunnels implements Tunnels {
  readonly #options: TunnelsOptions;
  readonly #stop = new AbortController();
  readonly #slots: readonly Slot[];
  readonly #running: Promise<unknown>;
  readonly #listeners = new Set<() => void>();
  /** Where the tunnels should be (D28), by the last word of a replica. */
  #places: readonly string[] = [];
  #lastNonce = 0n;

  constructor(options: TunnelsOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#slots = [0, 1].map((index) =>
      createSlot({
        clock,
        logger: logger.child({ slot: index }),
        signal: this.#stop.signal,
        isTwin: ({ viaProxy }) =>
          viaProxy !== '' && viaProxy === this.#slots[1 - index]?.link?.viaProxy,
        // One of two is enough: both at once might only change places.
        twinWaitMs: index === 1 ? twinWaitMs : undefined,
        isServed: () => this.replicas().length > 0,
        open: async (mayBeTwin) => this.#open(index, mayBeTwin),
        onChange: () => {
          for (const listener of this.#listeners) listener();
        },
      }),
    );
    const [first, second] = this.#slots;
    this.#running = Promise.all([
      first?.run(),
      // The first one leads, so that the second knows which replica to avoid.
      this.waitForFirst(5_000).then(async () => second?.run()),
    ]);
    runInBackground(async () => this.#running, logger, 'tunnels stopped');
  }

  get streamCount(): number {
    return this.#slots.reduce((count, slot) => count + slot.streamCount(), 0);
  }

  replicas(): string[] {
    return this.#slots.flatMap(({ link }) => (link === undefined ? [] : [link.replicaId]));
  }

  replaceAll(): void {
    for (const slot of this.#slots) slot.replace();
  }

  async waitForFirst(timeoutMs: number): Promise<boolean> {
    if (this.replicas().length > 0) return true;
    return new Promise((resolve) => {
      const finish = (hasOne: boolean) => {
        clearTimeout(timer);
        this.#listeners.delete(onChange);
        this.#stop.signal.removeEventListener('abort', onAbort);
        resolve(hasOne);
      };
      const onAbort = () => {
        finish(false);
      };
      const timer = setTimeout(onAbort, timeoutMs);
      const onChange = () => {
        if (this.replicas().length > 0) finish(true);
      };
      this.#listeners.add(onChange);
      this.#stop.signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running.catch(() => undefined);
  }

  async #open(index: number, mayBeTwin: boolean): Promise<Link | undefined> {
    const { clock, egress } = this.#options;
    const { signal } = this.#stop;
    const other = this.#slots[1 - index];
    const avoidProxy = mayBeTwin ? undefined : other?.link?.viaProxy;
    const tried = new Set<string | undefined>();
    for (;;) {
      const next = this.#next(index, tried);
      if (next === undefined) return undefined;
      tried.add(next.replicaId);
      try {
        const connected = await connectTunnel(this.#options.state(), {
          ...next,
          clock,
          signal,
          egress,
          timeoutMs: this.#timeoutMs(other),
        });
        // The other slot may have come there meanwhile.
        if (connected.replicaId !== other?.replicaId)
          return this.#link(connected, index, avoidProxy);
        connected.socket.destroy();
      } catch (thrown) {
        if (!isReplicaAway(thrown)) throw thrown;
      }
    }
  }

  #timeoutMs(other: Slot | undefined): number {
    return other?.link === undefined ? dialTimeoutMs.urgent : dialTimeoutMs.patient;
  }

  /**
   * The replica to try next, where `replicaId` undefined stands for any; undefined: none. While the other slot's tunnel
   * stands, none is searched for beyond those that are known.
   */
  #next(
    index: number,
    tried: ReadonlySet<string | undefined>,
  ): { readonly replicaId: string | undefined } | undefined {
    const taken = this.#slots[1 - index]?.replicaId;
    const places = index === 0 ? this.#places : this.#places.toReversed();
    const named = places.find((id) => id !== taken && !tried.has(id));
    if (named !== undefined) return { replicaId: named };
    const mayBeAny = taken === undefined || places.length === 0;
    return mayBeAny && !tried.has(undefined) ? { replicaId: undefined } : undefined;
  }

  #link(connected: TunnelSocket, index: number, avoidProxy: string | undefined): Link {
    const { limits, logger } = this.#options;
    const link: Link = openLink(connected, {
      hello: { ...this.#options.hello(), nonce: this.#nextNonce(), avoidProxy },
      limits,
      logger,
      onDial: (dial) => {
        this.#options.onDial(dial);
      },
      onWelcome: (welcome) => {
        if (welcome.replicas.length > 0) this.#places = welcome.replicas;
        this.#options.onWelcome(welcome);
      },
      onNews: (news) => {
        if (news.$case === 'drain') this.#leave(link, index, news.value.proxyOnly === true);
        else if (news.$case === 'replicas') this.#move(news.value);
        else this.#options.onNews(news);
      },
    });
    return link;
  }

  #leave(link: Link, index: number, isProxyOnly: boolean): void {
    if (!isProxyOnly) this.#places = this.#places.filter((id) => id !== link.replicaId);
    this.#slots[index]?.replace(link);
  }

  #move({ replicaIds, withinMs }: Replicas): void {
    this.#places = replicaIds;
    const waitMs = Math.random() * Math.min(Math.max(withinMs, spreadMs.least), spreadMs.most);
    for (const slot of this.#slots) slot.lookWithin(waitMs);
  }

  /** Grows with each tunnel, also over a restart as long as the clock does not go back. */
  #nextNonce(): bigint {
    const now = BigInt(this.#options.clock.now()) * 1000n;
    this.#lastNonce = now > this.#lastNonce ? now : this.#lastNonce + 1n;
    return this.#lastNonce;
  }
}
