-- What audit-service itself needs where another role owns the tables (database.grant_to).
grant usage on schema public to :role;
grant select, insert, update, delete on all tables in schema public to :role;
grant usage, select on all sequences in schema public to :role;
revoke insert, update, delete on audit_migration, audit_migration_lock from :role;
