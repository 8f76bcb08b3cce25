#!/bin/sh
# First start: a database with the password given, then the scripts of the folder against a server that listens on no port.
set -eu
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
chown postgres:postgres "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  as_postgres initdb --pgdata="$PGDATA" --username=postgres --auth-local=trust --auth-host=scram-sha-256 --no-sync \
    --pwfile=/dev/stdin <"$POSTGRES_PASSWORD_FILE" >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  as_postgres pg_ctl --pgdata="$PGDATA" --wait --options='-c listen_addresses=' start >/dev/null
  for script in /docker-entrypoint-initdb.d/*.sh; do
    [ ! -e "$script" ] || POSTGRES_USER=postgres as_postgres bash "$script"
  done
  as_postgres pg_ctl --pgdata="$PGDATA" --wait stop >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" -c 'listen_addresses=*'
