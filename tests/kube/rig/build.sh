#!/bin/bash
# Builds what a cluster is made of: Debian packages and Go modules, nothing else. Slow once, then cached.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
mkdir -p "$BIN" "$IMAGES"
export CGO_ENABLED=0
SMALL="-s -w"

packages="containerd runc containernetworking-plugins iptables nftables conntrack iproute2 openssl curl"
if ! dpkg -s $packages >/dev/null 2>&1; then
  echo "installing Debian packages: $packages"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

# A change of what is built from makes it anew.
stamp() { cat "$@" | sha256sum | cut -c1-16; }
stale() { [ ! -x "$BIN/$1" ] || [ "$(cat "$BIN/$1.stamp" 2>/dev/null)" != "$2" ]; }

components=$(stamp "$KUBE"/components/go.sum "$KUBE"/components/*.go "$RIG/build.sh")
if stale components "$components"; then
  echo "building Kubernetes $VERSION (about 4 minutes of two cores the first time)"
  flags="$SMALL"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags="$flags -X $package.gitVersion=$VERSION -X $package.gitMajor=1 -X $package.gitMinor=34"
    flags="$flags -X $package.gitTreeState=clean -X $package.gitCommit=module -X $package.buildDate=2026-01-01T00:00:00Z"
  done
  (cd "$KUBE/components" && go build -trimpath -ldflags "$flags" -o "$BIN/components" . &&
    go build -trimpath -ldflags "$SMALL" -o "$BIN/pause" ./pause)
  echo "$components" >"$BIN/components.stamp"
fi
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
  ln -sf components "$BIN/$name"
done

dns=$(stamp "$KUBE"/dns/go.sum "$KUBE"/dns/*.go)
if stale coredns "$dns"; then
  echo "building CoreDNS (about 90 seconds the first time)"
  (cd "$KUBE/dns" && go build -trimpath -ldflags "$SMALL" -o "$BIN/coredns" .)
  echo "$dns" >"$BIN/coredns.stamp"
fi

if [ ! -x "$BIN/helm" ]; then
  echo "building helm (about a minute the first time)"
  GOBIN=$BIN go install -trimpath -ldflags "$SMALL" helm.sh/helm/v3/cmd/helm@v3.18.6
fi
