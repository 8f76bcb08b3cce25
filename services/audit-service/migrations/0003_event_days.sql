alter table audit_event rename to audit_event_whole;
alter table audit_event_whole rename constraint audit_event_pkey to audit_event_whole_pkey;
drop index audit_event_time, audit_event_actor, audit_event_target, audit_event_type;

create sequence audit_event_position as bigint;
create table audit_event (
  position bigint not null default nextval('audit_event_position'),
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
  constraint audit_event_pkey primary key (time, id)
) partition by range (time);
alter sequence audit_event_position owned by audit_event.position;
create index audit_event_id on audit_event (id);
create index audit_event_session on audit_event (session_id, sequence);
create index audit_event_position_order on audit_event (position);
create index audit_event_time on audit_event (time, position);
create index audit_event_actor on audit_event (actor_name, time, position);
create index audit_event_target on audit_event (target_name, time, position);
create index audit_event_type on audit_event (type, time, position);
comment on table audit_event is 'Every event once, in the order in which it was stored; a partition a day, by the event''s time. Rows are never changed.';
comment on column audit_event.event is 'The event as JSON, as on the topic.';
comment on column audit_event.search_text is 'Texts of the event in lower case, a line each, for searches by text.';
comment on column audit_event.actor_name is 'At most 256 characters; the whole is in the event.';

create table audit_event_other partition of audit_event default;
comment on table audit_event_other is 'Events of days that have no partition: times far from the present, which no clock should have.';

-- The service owns no table. These functions are what it may do beyond inserting; they run as their owner, so they look
-- up names in their own schema alone and check what they are asked.
create function audit_event_make_day(wanted date) returns void language plpgsql security definer as $$
declare
  today constant date := (now() at time zone 'UTC')::date;
  part constant text := 'audit_event_' || to_char(wanted, 'YYYYMMDD');
  day_start constant timestamptz := wanted::timestamp at time zone 'UTC';
  day_end constant timestamptz := (wanted + 1)::timestamp at time zone 'UTC';
begin
  if wanted is null or wanted < today - 4000 or wanted > today + 7 then
    raise exception using errcode = '22023', message = 'no partition is made for a day so far from today';
  end if;
  if to_regclass(part) is not null then return; end if;
  lock table audit_event_other in access exclusive mode;
  if to_regclass(part) is not null then return; end if;
  execute format('create table %I (like audit_event including defaults)', part);
  execute format(
    'with moved as (delete from audit_event_other where time >= %L and time < %L returning *) insert into %I select * from moved',
    day_start, day_end, part);
  execute format('alter table audit_event attach partition %I for values from (%L) to (%L)', part, day_start, day_end);
end $$;
comment on function audit_event_make_day is 'Makes the partition of a day (UTC) where it is missing; takes along what is stored of that day already.';

create function audit_event_drop_before(cutoff timestamptz) returns integer language plpgsql security definer as $$
declare
  part text;
  dropped integer := 0;
begin
  if cutoff is null or cutoff > now() - interval '7 days' then
    raise exception using errcode = '22023', message = 'events of the last seven days are never dropped';
  end if;
  for part in
    select relname from pg_class join pg_inherits on inhrelid = oid
    where inhparent = 'audit_event'::regclass and relname ~ '^audit_event_[0-9]{8}$'
      and (to_date(right(relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC' <= cutoff
  loop
    execute format('drop table %I', part);
    dropped := dropped + 1;
  end loop;
  delete from audit_event_other where stored_at < cutoff;
  return dropped;
end $$;
comment on function audit_event_drop_before is 'Drops the days that lie wholly before a time, and what was stored before it under an odd time.';

create function audit_recording_drop(ids text[], cutoff timestamptz) returns integer language plpgsql security definer as $$
declare
  dropped text[];
begin
  if cutoff is null or cutoff > now() - interval '7 days' then
    raise exception using errcode = '22023', message = 'recordings of the last seven days are never dropped';
  end if;
  with gone as (
    delete from audit_recording
    where id = any(ids) and started_at + duration_ms * interval '1 millisecond' < cutoff
    returning id)
  select coalesce(array_agg(id), '{}') into dropped from gone;
  delete from audit_recording_chunk where recording_id = any(dropped);
  return cardinality(dropped);
end $$;
comment on function audit_recording_drop is 'Forgets those of the recordings that ended before a time.';

do $$
declare
  signature text;
begin
  foreach signature in array array[
    'audit_event_make_day(date)', 'audit_event_drop_before(timestamptz)', 'audit_recording_drop(text[], timestamptz)']
  loop
    execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
    -- A long search must not hold up storing for its whole length.
    execute format('alter function %s set lock_timeout = ''5s''', signature);
    execute format('revoke all on function %s from public', signature);
  end loop;
end $$;

select audit_event_make_day(day)
from (select distinct (time at time zone 'UTC')::date as day from audit_event_whole) as days
where day between (now() at time zone 'UTC')::date - 400 and (now() at time zone 'UTC')::date + 2;
insert into audit_event
select position, id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, stored_at
from audit_event_whole order by position;
select setval('audit_event_position', (select coalesce(max(position), 0) + 1 from audit_event_whole), false);
drop table audit_event_whole;
