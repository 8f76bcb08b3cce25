#!/bin/sh
# Says how to begin, once the port answers. The cluster was made a moment ago on this machine: its own word for its
# authority is taken, as it could not be over a network.
set -eu
export NODE_TLS_REJECT_UNAUTHORIZED=0 NODE_NO_WARNINGS=1
pin=
tries=120
until pin=$(node -e "
  fetch('https://proxy:8443/.well-known/gatehouse.json', { signal: AbortSignal.timeout(2000) })
    .then((answer) => answer.json())
    .then(({ caPins: [pin] }) => console.log(pin))
    .catch(() => process.exit(1))"); do
  tries=$((tries - 1))
  if [ "$tries" -eq 0 ]; then
    echo 'the port does not answer; docker compose logs proxy auth' >&2
    exit 1
  fi
  sleep 1
done
unset NODE_TLS_REJECT_UNAUTHORIZED
cat <<TEXT

The cluster is ready on https://localhost:8443

  export GATE_PROXY=localhost:8443 GATE_CA_PIN=$pin
TEXT
# Where there is an administrator already, it says so and there is no more to say.
invite=$(node --disable-warning=ExperimentalWarning dist/src/main.js invite-admin --config /etc/gatehouse/config.yaml)
cat <<TEXT
  bin/gate invite accept $invite
  bin/gate login

A host to log in to, the agent's own container, and a person who may:

  export GATE_AGENT_TOKEN=\$(bin/gate tokens add --type agent --format json | sed 's/.*"token": *"\([^"]*\)".*/\1/')
  docker compose --profile agent up --detach agent
  bin/gate users add alice --roles access --trait logins=node
  bin/gate invite accept THE-LINK && bin/gate login --user alice
  bin/gate ssh node@demo

TEXT
