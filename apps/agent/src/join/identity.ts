/** The agent's present identity: kept on disk, renewed daily, with news of whom to trust. */
import { parseSshPublicKey } from '@gatehouse/identity';
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import type { Egress } from './egress.js';
import { checkOwnCertificate, renewCertificate } from './enroll.js';
import { saveState, type AgentState } from './state.js';

export interface AgentIdentity extends Disposable {
  readonly state: AgentState;
  /** `target_ssh` keys, wire blobs. */
  targetAuthorities(): readonly Buffer[];
  setTrust(trust: TrustBundle): void;
  /** Called after a renewal. */
  onRenewed(listener: () => void): void;
}

const renewAfterMs = 24 * 3_600_000;
const checkEveryMs = 15 * 60_000;

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

  setTrust(trust: TrustBundle): void {
    if (trust.clusterName !== this.#state.clusterName || trust.hostTlsCa.length === 0) return;
    const [before, after] = [this.#state.trust, trust].map((one) =>
      TrustBundle.encode(one).finish(),
    );
    if (before && after && Buffer.from(before).equals(after)) return;
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
