/** The agent's two tunnels, to different replicas where there are two. */
import type { Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { AgentHello, ServiceWelcome } from '@gatehouse/proto/tunnel/v1/control';
import type { IncomingDial, TunnelLimits } from '@gatehouse/tunnel';

import type { Egress } from '../join/egress.js';
import type { AgentState } from '../join/state.js';
import { connectTunnel, type TunnelSocket } from './connect.js';
import { openLink, type Link, type News } from './link.js';
import { createSlot, type Slot } from './slot.js';

export interface TunnelsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: Partial<TunnelLimits>;
  readonly egress: Egress | undefined;
  /** Who the agent is now. */
  state(): AgentState;
  hello(): Omit<AgentHello, 'nonce'>;
  onDial(dial: IncomingDial): void;
  onWelcome(welcome: ServiceWelcome): void;
  onNews(news: Exclude<News, { $case: 'drain' }>): void;
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

/** Tries until a replica other than the first slot's is found by chance (D28); one where there was none before. */
const maxTries = { first: 5, later: 1 };

/** A cluster with one proxy is asked every hour at last. */
const twinWaitMs = { first: 15_000, cap: 60 * 60_000 };

export function keepTunnels(options: TunnelsOptions): Tunnels {
  return new TwoTunnels(options);
}

class TwoTunnels implements Tunnels {
  readonly #options: TunnelsOptions;
  readonly #stop = new AbortController();
  readonly #slots: readonly Slot[];
  readonly #running: Promise<unknown>;
  readonly #listeners = new Set<() => void>();
  /** Replicas as the last welcome named them. */
  #known: readonly string[] = [];
  #lastNonce = 0n;
  #wasAlone = false;

  constructor(options: TunnelsOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#slots = [0, 1].map((index) => {
      const slot: Slot = createSlot({
        clock,
        logger: logger.child({ slot: index }),
        signal: this.#stop.signal,
        isTwin: ({ viaProxy }) =>
          viaProxy !== '' && viaProxy === this.#slots[1 - index]?.link?.viaProxy,
        // One of two is enough: both at once might only change places.
        twinWaitMs: index === 1 ? twinWaitMs : undefined,
        isServed: () => this.replicas().length > 0,
        open: async () => this.#open(slot, () => this.#slots[1 - index]?.replicaId),
        onChange: () => {
          for (const listener of this.#listeners) listener();
        },
      });
      return slot;
    });
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

  /** @param other the replica of the other slot, which may get one while this one connects */
  async #open(slot: Slot, other: () => string | undefined): Promise<Link | undefined> {
    const { clock, egress } = this.#options;
    const { signal } = this.#stop;
    const tries = this.#wasAlone ? maxTries.later : maxTries.first;
    const asked = new Set<string | undefined>();
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const avoid = other();
      const named = this.#known.find((id) => id !== avoid && !asked.has(id));
      const replicaId = avoid === undefined ? undefined : named;
      asked.add(replicaId);
      const to = { replicaId, clock, signal, egress };
      const connected = await connectTunnel(this.#options.state(), to);
      if (connected.replicaId !== other()) {
        if (avoid !== undefined) this.#wasAlone = false;
        return this.#link(connected, slot);
      }
      connected.socket.destroy();
    }
    this.#wasAlone = true;
    return undefined;
  }

  #link(connected: TunnelSocket, slot: Slot): Link {
    const { limits, logger } = this.#options;
    const link: Link = openLink(connected, {
      hello: { ...this.#options.hello(), nonce: this.#nextNonce() },
      limits,
      logger,
      onDial: (dial) => {
        this.#options.onDial(dial);
      },
      onWelcome: (welcome) => {
        if (welcome.replicas.length > 0) this.#known = welcome.replicas;
        this.#options.onWelcome(welcome);
      },
      onNews: (news) => {
        if (news.$case === 'drain') slot.replace(link);
        else this.#options.onNews(news);
      },
    });
    return link;
  }

  /** Grows with each tunnel, also over a restart as long as the clock does not go back. */
  #nextNonce(): bigint {
    const now = BigInt(this.#options.clock.now()) * 1000n;
    this.#lastNonce = now > this.#lastNonce ? now : this.#lastNonce + 1n;
    return this.#lastNonce;
  }
}
