/** Whether a group has read what was on a topic at some time. */
import { sleep } from '../clock/clock.js';
import type { EventLog } from './types.js';

const pollMs = 200;

/**
 * Waits until a group has taken all that is on a topic now, by whichever of its members.
 * @returns false where it had not after `timeoutMs`
 * @throws what keeps the log from saying how far the group is
 */
export async function isReadThrough(
  log: Pick<EventLog, 'progress'>,
  { topic, group, timeoutMs }: { topic: string; group: string; timeoutMs: number },
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  const before = await log.progress(topic, group);
  for (let now = before; ; now = await log.progress(topic, group)) {
    const taken = new Map(now.map((one) => [one.partition, one.taken]));
    if (before.every(({ partition, end }) => (taken.get(partition) ?? 0n) >= end)) return true;
    if (performance.now() > deadline) return false;
    await sleep(pollMs);
  }
}
