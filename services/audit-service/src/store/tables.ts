/** Types of the tables that the migrations make. */
import type { ColumnType, Generated, Kysely } from 'kysely';

type Time = ColumnType<Date, Date, never>;

interface EventTable {
  position: Generated<number>;
  id: string;
  type: string;
  time: Time;
  session_id: string | null;
  sequence: number | null;
  actor_kind: string;
  actor_name: string;
  target_name: string | null;
  outcome: string;
  search_text: string;
  event: string;
  stored_at: Time;
}

export interface RecordingTable {
  id: string;
  session_id: string;
  protocol: string;
  actor_kind: string;
  actor_name: string;
  target_name: string;
  started_at: Time;
  duration_ms: number;
  bytes: number;
  chunks: number;
  expected_chunks: number | null;
  head: string | null;
}

export interface RecordingChunkTable {
  recording_id: string;
  chunk_index: number;
  sha256: string;
  previous_sha256: string;
  from_ms: number;
  to_ms: number;
  stored_bytes: number;
}

export interface DeadLetterTable {
  id: string;
  topic: string;
  partition: number;
  topic_position: number;
  reason: string;
  key: string;
  /** JSON. */
  headers: string;
  value: Buffer;
  value_bytes: number;
  dead_at: Time;
  replayed_at: ColumnType<Date | null, never, Date>;
  replayed_by: ColumnType<string | null, never, string>;
}

export interface OpenSessionTable {
  session_id: string;
  started_at: Time;
}

export interface OwnEventTable {
  id: string;
  event: string;
}

export interface Tables {
  audit_own_event: OwnEventTable;
  audit_open_session: OpenSessionTable;
  audit_dead_letter: DeadLetterTable;
  audit_event: EventTable;
  audit_recording: RecordingTable;
  audit_recording_chunk: RecordingChunkTable;
}

export type Db = Kysely<Tables>;
