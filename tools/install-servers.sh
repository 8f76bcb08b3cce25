#!/bin/sh
# Installs the real servers and clients that tests run against, where they are missing. As root by the package manager;
# otherwise it says what to install. Nothing is skipped in silence.
set -u
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
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
if [ -z "$missing" ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ]; then
  echo "tests need these packages: run  sudo apt-get install$missing" >&2
  exit 1
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
exit "$status"
