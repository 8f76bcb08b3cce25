/** Working doubles and helpers for tests. */
export { createMemoryEventLog, MemoryBroker } from './memory-event-log.js';
export { createTestDatabase, type TestDatabase } from './test-database.js';
export { startTestPostgres, type TestPostgres } from './test-postgres.js';
