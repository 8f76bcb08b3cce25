/**
 * Which days of the store have a partition. They are made ahead, and for older events as these come in. A time far from
 * the present is a wrong clock, or somebody's mischief: its event is stored as well, in the partition of all such days.
 */
import type { AuditEvent } from '@gatehouse/kit/event-log';
import type { Kysely } from 'kysely';

import type { AuditConfig } from '../config.js';
import type { Deps } from '../deps.js';
import { makeDay } from '../store/days.js';
import type { Tables } from '../store/tables.js';

const dayMs = 24 * 3_600_000;
const daysAhead = 2;

export interface Days {
  /** Makes the partitions that these events belong to, where they are missing. Within the lock of the store. */
  makeFor(database: Kysely<Tables>, events: readonly AuditEvent[]): Promise<string[]>;
  /** Makes today's and the next ones. */
  makeAhead(database: Kysely<Tables>): Promise<string[]>;
  /** These were made, and the transaction that made them is over. */
  noteMade(days: readonly string[]): void;
  /** Some were dropped: what is known is asked anew. */
  forget(): void;
}

export function createDays({
  clock,
  retention,
}: Pick<Deps, 'clock'> & { retention: AuditConfig['retention'] }): Days {
  const known = new Set<string>();
  const make = async (database: Kysely<Tables>, wanted: Iterable<string>) => {
    const made = [...wanted].filter((day) => !known.has(day)).toSorted();
    for (const day of made) await makeDay(database, day);
    return made;
  };
  return {
    makeFor: async (database, events) => {
      const now = clock.now();
      const [first, last] = [now - retention.events, now + daysAhead * dayMs];
      const times = events.map(({ time }) => Date.parse(time));
      const near = times.filter((time) => time >= first && time <= last);
      const days = new Set(near.map((time) => Math.floor(time / dayMs)));
      return make(
        database,
        [...days].map((day) => dayOf(day * dayMs)),
      );
    },
    makeAhead: async (database) => {
      const ahead = Array.from({ length: daysAhead + 1 }, (_, index) => index * dayMs);
      return make(
        database,
        ahead.map((ms) => dayOf(clock.now() + ms)),
      );
    },
    noteMade: (days) => {
      for (const day of days) known.add(day);
    },
    forget: () => known.clear(),
  };
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
