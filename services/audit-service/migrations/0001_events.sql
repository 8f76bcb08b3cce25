create table audit_event (
  position bigint generated always as identity,
  id text collate "C" not null,
  type text collate "C" not null,
  time timestamptz not null,
  session_id text collate "C",
  sequence integer,
  actor_kind text collate "C" not null,
  actor_name text collate "C" not null,
  target_name text collate "C",
  outcome text collate "C" not null,
  search_text text not null,
  event text not null,
  stored_at timestamptz not null,
  constraint audit_event_pkey primary key (position),
  constraint audit_event_id_key unique (id),
  constraint audit_event_sequence_key unique (session_id, sequence)
);
create index audit_event_time on audit_event (time, position);
create index audit_event_actor on audit_event (actor_name, time, position);
create index audit_event_target on audit_event (target_name, time, position);
create index audit_event_type on audit_event (type, time, position);
comment on table audit_event is 'Every event once, in the order in which it was stored. Rows are never changed.';
comment on column audit_event.event is 'The event as JSON, as on the topic.';
comment on column audit_event.search_text is 'Texts of the event in lower case, a line each, for searches by text.';
comment on column audit_event.actor_name is 'At most 256 characters; the whole is in the event.';
