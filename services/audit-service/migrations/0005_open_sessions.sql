create table audit_open_session (
  session_id text collate "C" not null,
  started_at timestamptz not null,
  constraint audit_open_session_pkey primary key (session_id)
);
create index audit_open_session_started on audit_open_session (started_at, session_id);
comment on table audit_open_session is 'Sessions whose start is stored and whose end is not.';

insert into audit_open_session (session_id, started_at)
select session_id, min(time) from audit_event as started
where type = 'session.started' and session_id is not null and time > now() - interval '31 days'
  and not exists (
    select from audit_event as ended
    where ended.session_id = started.session_id and ended.type = 'session.ended')
group by session_id;
