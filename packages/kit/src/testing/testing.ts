/** Working doubles and helpers for tests. */
import { eventLogFuzzTargets } from '../event-log/testing.js';
import { spoolFuzzTargets, type FuzzTarget } from '../spool/testing.js';

export type { FuzzTarget };
/** Decoders of this package that meet bytes from elsewhere. */
export const fuzzTargets: readonly FuzzTarget[] = [...spoolFuzzTargets, ...eventLogFuzzTargets];

export { connectTcpPair } from './connect-tcp-pair.js';
export { findFreePort } from './find-free-port.js';
export { createMemoryEventLog, MemoryBroker } from './memory-event-log.js';
export { createRandom, type Random } from './random.js';
export { spoilSharedReads } from './spoil-shared-reads.js';
export { createTestDatabase, type TestDatabase } from './test-database.js';
export { startTestKafka, type TestKafka, type TestKafkaOptions } from './test-kafka.js';
export { startTestPostgres, type TestPostgres } from './test-postgres.js';
export { makeEvent } from './make-event.js';
