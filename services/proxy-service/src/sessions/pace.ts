/** Waits of sessions whose person fills the spool. */
import { sleep } from '@gatehouse/kit/clock';
import type { SessionJournal } from '@gatehouse/kit/spool';

/** After which it is looked again: there may be room by then. */
const lookAgainMs = 1_000;

export interface PaceOptions {
  /** It waits no longer than this, ms. */
  readonly mostMs: number;
  readonly signal: AbortSignal;
  /** Called again and again while it waits; false: there is nothing to wait for any more. */
  readonly onWait: () => boolean;
}

/** Resolves when the session may go on. */
export async function keepPace(
  journal: SessionJournal,
  { mostMs, signal, onWait }: PaceOptions,
): Promise<void> {
  for (let leftMs = mostMs; leftMs > 0;) {
    const waitMs = Math.min(journal.waitMs(), lookAgainMs, leftMs);
    if (waitMs === 0 || signal.aborted || !onWait()) return;
    leftMs -= waitMs;
    await sleep(waitMs, signal).catch(() => undefined);
  }
}
