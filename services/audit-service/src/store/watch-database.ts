/** Does the database answer? For `/readyz` and a metric; nothing waits for it. */
import { sleep } from '@gatehouse/kit/clock';
import { runInBackground, withDeadline } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { sql } from 'kysely';

import type { Db } from './tables.js';

export interface DatabaseWatch extends AsyncDisposable {
  /** It answered at the last look. */
  isHealthy(): boolean;
}

const lookEveryMs = 2_000;
const answerMs = 5_000;

export function watchDatabase(database: Db, logger: Logger): DatabaseWatch {
  const stop = new AbortController();
  let healthy = true;
  const look = async () => {
    try {
      const late = () => new Error('no answer in time');
      await withDeadline(sql`select 1`.execute(database), answerMs, late);
      healthy = true;
    } catch (thrown) {
      if (healthy && !stop.signal.aborted) logger.warn({ err: thrown }, 'database does not answer');
      healthy = false;
    }
  };
  const loop = async () => {
    while (!stop.signal.aborted) {
      await look();
      await sleep(lookEveryMs, stop.signal).catch(() => undefined);
    }
  };
  const looping = loop();
  runInBackground(async () => looping, logger, 'looking after the database stopped');
  return {
    isHealthy: () => healthy,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await looping;
    },
  };
}
