/** The agent's present identity: kept on disk, renewed daily, with news of whom to trust. */
import { parseSshPublicKey } from '@gatehouse/identity';
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import type { Egress } from './egress.js';
import { checkOwnCertificate, fetchTrust, renewCertificate } from './enroll.js';
import { saveState, type AgentState } from './state.js';

export interface AgentIdentity extends Disposable {
  readonly state: AgentState;
  /** `target_ssh` keys, wire blobs. */
  targetAuthorities(): readonly Buffer[];
  /** A tunnel replica says that the cluster's trusted keys are these. It is not believed: where they are news, auth-service is asked. */
  hearOfTrust(told: TrustBundle): void;
  /** Called after a renewal. */
  onRenewed(listener: () => void): void;
}

const renewAfterMs = 24 * 3_600_000;
const checkEveryMs = 15 * 60_000;
/** All agents hear the same news at once. */
const askWithinMs = 5_000;
/** A replica that tells what auth-service does not confirm makes an agent ask no oftener. */
const askAgainMs = 60_000;

export interface IdentityDeps {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly egress: Egress | undefined;
}

export function keepIdentity(state: AgentState, deps: IdentityDeps): AgentIdentity {
  return new KeptIdentity(state, deps);
}

class KeptIdentity implements AgentIdentity {
  readonly #deps: IdentityDeps;
  readonly #stop = new AbortController();
  readonly #listeners: (() => void)[] = [];
  #state: AgentState;
  #isAsking = false;
  /** Of trust, since auth-service was last asked. */
  #hasNews = false;

  constructor(state: AgentState, deps: IdentityDeps) {
    this.#state = state;
    this.#deps = deps;
    runInBackground(() => this.#renewForEver(), deps.logger, 'renewal stopped');
  }

  get state(): AgentState {
    return this.#state;
  }

  targetAuthorities(): readonly Buffer[] {
    return this.#state.trust.targetSsh.map(parseSshPublicKey);
  }

  hearOfTrust(told: TrustBundle): void {
    if (isSame(told, this.#state.trust)) return;
    this.#hasNews = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    const ask = async () => this.#askForTrust().finally(() => (this.#isAsking = false));
    runInBackground(ask, this.#deps.logger, 'asking whom to trust stopped');
  }

  async #askForTrust(): Promise<void> {
    const { signal } = this.#stop;
    const rest = async (ms: number) => sleep(ms, signal).catch(() => undefined);
    for (let failures = 0; this.#hasNews && !signal.aborted;) {
      await rest(Math.random() * askWithinMs);
      try {
        this.#hasNews = false;
        this.#setTrust(await fetchTrust(this.#state, this.#deps));
        failures = 0;
        await rest(askAgainMs);
      } catch (thrown) {
        this.#hasNews = true;
        this.#deps.logger.warn({ err: thrown }, 'could not ask whom to trust');
        await rest(backoffMs(failures, { baseMs: 1_000, capMs: askAgainMs }));
        failures += 1;
      }
    }
  }

  #setTrust(trust: TrustBundle): void {
    if (trust.clusterName !== this.#state.clusterName || trust.hostTlsCa.length === 0) return;
    if (isSame(trust, this.#state.trust)) return;
    this.#state = { ...this.#state, trust };
    try {
      saveState(this.#deps.dataDir, this.#state);
    } catch (thrown) {
      // The next start hears the news again; this one is not to lose its tunnel over it.
      this.#deps.logger.error({ err: thrown }, 'news of trust could not be kept on the disk');
    }
  }

  onRenewed(listener: () => void): void {
    this.#listeners.push(listener);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async #renewForEver(): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      failures = (await this.#renewWhenDue()) ? 0 : failures + 1;
      const waitMs =
        failures === 0
          ? checkEveryMs * (0.9 + Math.random() * 0.2)
          : 60_000 + backoffMs(failures, { baseMs: 60_000, capMs: 3_600_000 });
      await sleep(waitMs, signal).catch(() => undefined);
    }
  }

  async #renewWhenDue(): Promise<boolean> {
    const { clock, logger } = this.#deps;
    try {
      const { notBeforeMs } = checkOwnCertificate(this.#state.certificate, {
        ...this.#state,
        clock,
      });
      if (clock.now() - notBeforeMs < renewAfterMs) return true;
      const renewed = await renewCertificate(this.#state, this.#deps);
      // On the disk before it is shown: a start with the certificate before it would lock the agent (D17).
      saveState(this.#deps.dataDir, renewed);
      this.#state = renewed;
      logger.info('certificate renewed');
      for (const listener of this.#listeners) listener();
      return true;
    } catch (thrown) {
      logger.warn({ err: thrown }, 'certificate renewal failed');
      return false;
    }
  }
}

function isSame(one: TrustBundle, other: TrustBundle): boolean {
  const [a, b] = [one, other].map((trust) => Buffer.from(TrustBundle.encode(trust).finish()));
  return a !== undefined && b !== undefined && a.equals(b);
}
