/**
 * The event log and what travels on it. Events: `createAuditEvent` values become records by `encodeAuditRecord`
 * (CloudEvents 1.0 binary mode) and come back by `decodeAuditRecord`. Recording chunks likewise. Drivers: embedded
 * (tables of the embedded database) and Kafka; both pass conformance.ts.
 */
export {
  auditEventSchema,
  decodeAuditRecord,
  encodeAuditRecord,
  eventKey,
  type AuditActor,
  type AuditEvent,
  type AuditTarget,
} from './audit-event.js';
export {
  boundEvent,
  maxEventBytes,
  maxTextBytes,
  trimmedNote,
  type BoundedEvent,
  type TrimmedField,
} from './bounds.js';
export { bytesOfText, textOfBytes } from './byte-text.js';
export {
  decodeChunkRecord,
  encodeChunkRecord,
  maxChunkBytes,
  type ChunkRecord,
  type RecordingChunk,
} from './chunk-record.js';
export { createEmbeddedEventLog, type EmbeddedEventLogOptions } from './embedded.js';
export { eventLogErrors } from './errors.js';
export { createKafkaTopics, type TopicSpec } from './kafka/kafka.js';
export { eventLogSchema, openEventLog, readKafkaConnection, type EventLogConfig } from './open.js';
export { isReadThrough } from './read-through.js';
export {
  createFloodGate,
  type CountedEvents,
  type FloodDraft,
  type FloodGate,
} from './flood-gate.js';
export {
  maxBatchBytes,
  maxBatchRecords,
  topics,
  type EventLog,
  type LogRecord,
  type Progress,
  type ReadLag,
  type StoredRecord,
  type SubscribeOptions,
  type Subscription,
} from './types.js';
