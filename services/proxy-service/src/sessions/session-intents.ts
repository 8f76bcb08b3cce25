/** The events of one session: what is written before its effect, and what came of it (D23). */
import { toGatehouseError, type GatehouseError } from '@gatehouse/kit/errors';
import type { Logger } from '@gatehouse/kit/log';
import { resultTypeOf, type SessionJournal } from '@gatehouse/kit/spool';
import {
  hostError,
  type Announced,
  type SessionEnd,
  type SessionEvent,
} from '@gatehouse/protocol-api';

/** How long the event log may take to acknowledge what strict sessions wait for. */
export const strictAckMs = 10_000;

export interface SessionIntentsOptions {
  readonly journal: SessionJournal;
  readonly logger: Logger;
  readonly isStrict: () => boolean;
  /** Something begins or ends. */
  readonly onActivity: () => void;
  /** A strict session can not go on. */
  readonly onUnavailable: (end: SessionEnd) => void;
}

type WrittenEvent = SessionEvent & { opens?: string; closes?: string; published?: boolean };
type OpeningEvent = SessionEvent & { readonly opens: string };

export class SessionIntents {
  readonly #options: SessionIntentsOptions;
  #count = 0;
  #underWay = 0;

  constructor(options: SessionIntentsOptions) {
    this.#options = options;
  }

  /** Something was announced that is not finished. */
  get areUnderWay(): boolean {
    return this.#underWay > 0;
  }

  append(event: WrittenEvent): void {
    const { journal, logger, isStrict, onUnavailable } = this.#options;
    try {
      journal.append(event);
    } catch (thrown) {
      logger.error({ err: thrown, type: event.type }, 'event could not be written');
      if (isStrict())
        onUnavailable({ reason: 'audit_unavailable', message: 'audit is not available' });
    }
  }

  /** Resolves when the event log has all that was appended. @throws AUDIT_UNAVAILABLE */
  async acknowledged(): Promise<void> {
    try {
      await this.#options.journal.acknowledged(strictAckMs);
    } catch (thrown) {
      throw unavailable(thrown);
    }
  }

  /** @throws AUDIT_UNAVAILABLE, and what `effect` throws */
  async perform<T>(
    intent: SessionEvent,
    effect: () => Promise<{ value: T; event: SessionEvent }>,
  ): Promise<T> {
    const opening = this.#open(intent);
    if (this.#options.isStrict()) await this.#appendStrict(opening);
    else this.append(opening);
    this.#options.onActivity();
    try {
      const { value, event } = await effect();
      this.append({ ...event, closes: opening.opens });
      return value;
    } catch (thrown) {
      this.#appendFailure(opening, toGatehouseError(thrown));
      throw thrown;
    }
  }

  announce(intent: SessionEvent): Announced {
    const isStrict = this.#options.isStrict();
    const opening = this.#open(intent);
    const acknowledged = isStrict ? this.#appendStrict(opening) : undefined;
    if (!isStrict) this.append({ ...opening, published: false });
    const settle = this.#beginSomething();
    // Where it is not acknowledged, its result has been written.
    acknowledged?.catch(settle);
    return {
      acknowledged,
      finish: (event) => {
        if (settle()) this.append({ ...event, closes: opening.opens });
      },
      abandon: (reason) => {
        if (settle()) this.#appendFailure(opening, { reason, published: isStrict });
      },
    };
  }

  #open(intent: SessionEvent): OpeningEvent {
    this.#count += 1;
    return { ...intent, opens: `${intent.type}#${this.#count}` };
  }

  /** @returns what ends it: true the first time */
  #beginSomething(): () => boolean {
    let isOver = false;
    this.#underWay += 1;
    this.#options.onActivity();
    return () => {
      if (isOver) return false;
      isOver = true;
      this.#underWay -= 1;
      this.#options.onActivity();
      return true;
    };
  }

  async #appendStrict(event: OpeningEvent): Promise<void> {
    try {
      await this.#options.journal.appendAcknowledged(event, strictAckMs);
    } catch (thrown) {
      const error = unavailable(thrown);
      // The intent is written and will arrive, though its effect never follows.
      if (toGatehouseError(thrown).code === 'SPOOL_NOT_ACKNOWLEDGED')
        this.#appendFailure(event, error);
      throw error;
    }
  }

  /** The result of an intent that came to nothing. */
  #appendFailure(
    { type: intent, data, opens: closes }: OpeningEvent,
    { reason = 'internal', published = true }: { reason?: string | undefined; published?: boolean },
  ): void {
    const type = resultTypeOf(intent);
    this.append({ type, outcome: 'failure', reason, data, closes, published });
  }
}

function unavailable(cause: unknown): GatehouseError {
  return hostError('AUDIT_UNAVAILABLE', { reason: 'audit_unavailable', cause });
}
