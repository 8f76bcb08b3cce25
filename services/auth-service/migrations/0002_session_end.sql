create table session_end (
  id text not null,
  reason text not null,
  ended_by text not null,
  until timestamptz not null,
  constraint session_end_pk primary key (id)
);
comment on table session_end is 'Sessions that were told to end, for as long as their login could keep them open.';
