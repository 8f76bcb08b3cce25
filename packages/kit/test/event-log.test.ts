import { pino } from 'pino';

import { systemClock } from '../src/clock/clock.js';
import { describeEventLog } from '../src/event-log/conformance.js';
import { createEmbeddedEventLog } from '../src/event-log/event-log.js';
import { createMemoryEventLog, createTestDatabase, MemoryBroker } from '../src/testing/testing.js';

describeEventLog('the embedded database', async () => {
  const test = await createTestDatabase();
  let count = 0;
  return {
    open: async () =>
      createEmbeddedEventLog({
        database: test.database,
        clock: systemClock,
        logger: pino({ level: 'silent' }),
      }),
    newTopic: async () => `topic.${(count += 1)}`,
    [Symbol.asyncDispose]: async () => test[Symbol.asyncDispose](),
  };
});

describeEventLog('memory', async () => {
  const broker = new MemoryBroker();
  let count = 0;
  return {
    open: async () => createMemoryEventLog(broker),
    newTopic: async () => `topic.${(count += 1)}`,
    [Symbol.asyncDispose]: async () => undefined,
  };
});
