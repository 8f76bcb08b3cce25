#!/bin/sh
# Makes the secrets of docker-compose.yml that are not there yet, in one folder for each reader. Run once before everything
# else, as root, because the folders' readers are different users.
set -eu
umask 077
dir=${SECRETS_DIR:-/secrets}
random() { head -c 32 /dev/urandom | base64; }
# 64 hexadecimal digits: a password that no quoting changes.
password() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
make() { # make <reader> <name> <random|password>
  file=$dir/$1/$2
  if [ ! -s "$file" ]; then
    "$3" >"$file.new"
    mv "$file.new" "$file"
  fi
}
share() { # share <reader> <name> <other reader>
  cp "$dir/$1/$2" "$dir/$3/$2"
}
make auth kek random
for kind in proxy tunnel audit; do
  make auth "join-$kind" random
  share auth "join-$kind" "$kind"
done
make postgres postgres password
for service in auth audit; do
  make "$service" "$service-database" password
  share "$service" "$service-database" postgres
done
for reader in auth proxy tunnel audit; do
  [ "$(id -u)" -ne 0 ] || chown -R 1000:1000 "$dir/$reader"
done
# The database's own user reads its folder while it makes the other two; its number differs between images.
chmod 755 "$dir/postgres"
chmod 444 "$dir"/postgres/*
