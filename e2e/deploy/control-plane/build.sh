#!/bin/sh
# Builds the control plane of test:deploy into the folder given, with kwok's own rules for nodes and pods beside it.
#   sh e2e/deploy/control-plane/build.sh <folder>
set -eu
out=$1
cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
minor=${minor%%.*}
names=k8s.io/component-base/version
CGO_ENABLED=0 go build -trimpath -o "$out/control-plane" -ldflags "-s -w -X $names.gitVersion=$version \
  -X $names.gitMajor=1 -X $names.gitMinor=$minor -X $names.gitTreeState=clean" .
stages=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
for file in "$stages"/pod/fast/pod-*.yaml "$stages"/node/fast/node-*.yaml "$stages"/node/heartbeat-with-lease/node-*.yaml; do
  echo ---
  cat "$file"
done >"$out/kwok.yaml"
