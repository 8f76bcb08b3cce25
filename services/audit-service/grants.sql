-- What the user of audit-service may do; :role stands for its name. Stored events and chunks can't be changed by it.
grant usage on schema public to :role;
grant select on audit_migration to :role;
grant select, insert on audit_event, audit_recording_chunk to :role;
grant usage on sequence audit_event_position to :role;
grant select, insert on audit_recording to :role;
grant update (protocol, duration_ms, bytes, chunks, expected_chunks, head) on audit_recording to :role;
grant execute on function audit_event_make_day(date) to :role;
grant execute on function audit_event_drop_before(timestamptz) to :role;
grant execute on function audit_recording_drop(text[], timestamptz) to :role;
grant select, insert on audit_dead_letter to :role;
grant update (replayed_at, replayed_by) on audit_dead_letter to :role;
grant execute on function audit_dead_letter_drop(timestamptz) to :role;
grant select, insert, delete on audit_open_session to :role;
grant select, insert, delete on audit_own_event to :role;
