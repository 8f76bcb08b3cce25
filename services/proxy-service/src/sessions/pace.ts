/** Waits of sessions whose person fills the spool. */
import { sleep } from '@gatehouse/kit/clock';
import type { SessionJournal } from '@gatehouse/kit/spool';

/** After which it is looked again: there may be room by then. */
const longestWaitMs = 1_000;

/** Undefined where nothing is to be waited for. @param onWait called again and again while it waits */
export function keepPace(
  journal: SessionJournal,
  { signal, onWait }: { readonly signal: AbortSignal; readonly onWait: () => void },
): Promise<void> | undefined {
  return journal.waitMs() === 0 ? undefined : waitForRoom(journal, { signal, onWait });
}

async function waitForRoom(
  journal: SessionJournal,
  { signal, onWait }: { readonly signal: AbortSignal; readonly onWait: () => void },
): Promise<void> {
  for (;;) {
    const waitMs = Math.min(journal.waitMs(), longestWaitMs);
    if (waitMs === 0 || signal.aborted) return;
    onWait();
    await sleep(waitMs, signal).catch(() => undefined);
  }
}
