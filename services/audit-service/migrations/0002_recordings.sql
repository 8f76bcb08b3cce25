create table audit_recording (
  id text collate "C" not null,
  session_id text collate "C" not null,
  protocol text not null,
  actor_kind text collate "C" not null,
  actor_name text collate "C" not null,
  target_name text collate "C" not null,
  started_at timestamptz not null,
  duration_ms bigint not null,
  bytes bigint not null,
  chunks integer not null,
  expected_chunks integer,
  head text,
  constraint audit_recording_pkey primary key (id)
);
create index audit_recording_started on audit_recording (started_at, id);
create index audit_recording_actor on audit_recording (actor_name, started_at, id);
create index audit_recording_session on audit_recording (session_id, started_at, id);
comment on table audit_recording is 'Recordings, from their first chunk or their end on, whichever arrives first.';
comment on column audit_recording.expected_chunks is 'From recording.completed; null until it has arrived.';

create table audit_recording_chunk (
  recording_id text collate "C" not null,
  chunk_index integer not null,
  sha256 text not null,
  previous_sha256 text not null,
  from_ms bigint not null,
  to_ms bigint not null,
  stored_bytes integer not null,
  constraint audit_recording_chunk_pkey primary key (recording_id, chunk_index)
);
comment on table audit_recording_chunk is 'Chunks whose content is in the object store. Rows are never changed.';
