/** Certificates that an agent asks for at auth-service: kept in memory, renewed at half their life, asked for once at a time. */
import type { Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';

/** What was issued, and when it ends; an end that is not said is now. */
export interface Issued<Value> {
  readonly value: Value;
  readonly validUntil: Date | undefined;
}

export interface KeptCertificates<Value> {
  /** @throws what `fetch` throws, where none is kept that has not ended */
  get(key: string, fetch: () => Promise<Issued<Value>>): Promise<Value>;
}

interface Kept<Value> {
  readonly value: Value;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

/** Beyond it the one asked for first is forgotten. */
const maxKept = 10_000;

export function keepCertificates<Value>(deps: {
  readonly clock: Clock;
  readonly logger: Logger;
}): KeptCertificates<Value> {
  const { clock, logger } = deps;
  const kept = new Map<string, Kept<Value>>();
  const pending = new Map<string, Promise<Value>>();

  const fetchOne = async (key: string, fetch: () => Promise<Issued<Value>>): Promise<Value> => {
    const { value, validUntil } = await fetch();
    const nowMs = clock.now();
    const endsAtMs = validUntil?.getTime() ?? nowMs;
    kept.delete(key);
    kept.set(key, { value, endsAtMs, renewAtMs: nowMs + (endsAtMs - nowMs) / 2 });
    const [oldest] = kept.keys();
    if (kept.size > maxKept && oldest !== undefined) kept.delete(oldest);
    return value;
  };

  const fetchOnce = async (key: string, fetch: () => Promise<Issued<Value>>): Promise<Value> => {
    const running = pending.get(key);
    if (running !== undefined) return running;
    const started = fetchOne(key, fetch).finally(() => pending.delete(key));
    pending.set(key, started);
    return started;
  };

  return {
    async get(key, fetch) {
      const found = kept.get(key);
      const nowMs = clock.now();
      if (found === undefined || nowMs >= found.endsAtMs) return fetchOnce(key, fetch);
      if (nowMs >= found.renewAtMs)
        runInBackground(() => fetchOnce(key, fetch), logger, 'a certificate was not renewed');
      return found.value;
    },
  };
}
