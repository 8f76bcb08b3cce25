create table audit_dead_letter (
  id text collate "C" not null,
  topic text collate "C" not null,
  partition integer not null,
  topic_position bigint not null,
  reason text not null,
  key text not null,
  headers text not null,
  value bytea not null,
  value_bytes integer not null,
  dead_at timestamptz not null,
  replayed_at timestamptz,
  replayed_by text,
  constraint audit_dead_letter_pkey primary key (id)
);
create index audit_dead_letter_dead on audit_dead_letter (dead_at, id);
comment on table audit_dead_letter is 'What could not be decoded or stored, as on the topic of dead letters; what came of it is noted here.';
comment on column audit_dead_letter.value_bytes is 'Bytes of the whole; of more than 512 KiB only the beginning is kept.';

create function audit_dead_letter_drop(cutoff timestamptz) returns integer language plpgsql security definer as $$
declare
  dropped integer;
begin
  if cutoff is null or cutoff > now() - interval '7 days' then
    raise exception using errcode = '22023', message = 'dead letters of the last seven days are never dropped';
  end if;
  delete from audit_dead_letter where dead_at < cutoff;
  get diagnostics dropped = row_count;
  return dropped;
end $$;
comment on function audit_dead_letter_drop is 'Forgets dead letters from before a time.';
do $$
begin
  execute format('alter function audit_dead_letter_drop(timestamptz) set search_path = %I, pg_temp', current_schema());
  revoke all on function audit_dead_letter_drop(timestamptz) from public;
end $$;
