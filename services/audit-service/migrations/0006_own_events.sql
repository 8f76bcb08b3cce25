create table audit_own_event (
  id text collate "C" not null,
  event text not null,
  constraint audit_own_event_pkey primary key (id)
);
comment on table audit_own_event is 'Events of audit-service itself that wait for the event log.';
