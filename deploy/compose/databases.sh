#!/bin/bash
# Runs once, when PostgreSQL's data folder is made: a database and an owner for each of the two services that have one.
set -eu
for service in auth audit; do
  psql --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres \
    --set=name="gatehouse_$service" --set=password="$(cat "/run/secrets/$service-database")" <<'SQL'
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
done
