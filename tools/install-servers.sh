#!/bin/sh
# Installs the real servers and clients that tests run against, where they are missing. As root by the package manager;
# otherwise it says what to install. Nothing is skipped in silence.
set -u
cd "$(dirname "$0")/.."
missing=
need() { # need <file or command> <package>
  if [ -e "$1" ] || command -v "$1" >/dev/null 2>&1; then return; fi
  case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}
need /usr/sbin/sshd openssh-server
need /usr/lib/openssh/sftp-server openssh-sftp-server
need ssh openssh-client
need tmux tmux
need vim vim-tiny
need rsync rsync
need openssl openssl
need curl curl
need plink putty-tools
need ss iproute2
need setpriv util-linux
need chromium chromium
need java default-jre-headless
need javac default-jdk-headless
need /usr/share/java/postgresql.jar libpostgresql-jdbc-java
need /usr/lib/python3/dist-packages/asyncpg python3-asyncpg
need kcat kcat
need mvn maven
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"

install_packages() {
  if [ "$(id -u)" -ne 0 ]; then
    echo "tests need these packages: run  sudo apt-get install$missing" >&2
    return 1
  fi
  echo "installing$missing" >&2
  # A policy that says no keeps packages from starting services of their own.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
  status=$?
  [ -z "$made" ] || rm -f "$policy"
  if [ "$status" -ne 0 ]; then echo "could not install$missing" >&2; fi
  return "$status"
}
[ -z "$missing" ] || install_packages || exit 1

# Kafka comes as jars; the folder appears whole or not at all.
kafka=.cache/kafka-4.3.1
if [ ! -d "$kafka" ]; then
  echo 'fetching Kafka' >&2
  mkdir -p .cache
  work=$(mktemp -d .cache/kafka.XXXXXX)
  trap 'rm -rf "$work"' EXIT
  mvn -q -B -f tools/kafka.pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$PWD/$work/lib" >&2 || {
    echo 'could not fetch Kafka by mvn' >&2
    exit 1
  }
  mv "$work" "$kafka" 2>/dev/null || [ -d "$kafka" ]
fi
