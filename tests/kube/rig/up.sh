#!/bin/bash
# A whole cluster: control plane, nodes, DNS, volumes. One that runs is left as it is, but for what is broken in it.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
[ ! -f "$PIDS/kube-apiserver" ] || "$RIG/api.sh" go 2>/dev/null || true
if [ -e "$KUBECONFIG" ] && kubectl get --raw /readyz >/dev/null 2>&1; then
  "$RIG/mend.sh"
  "$RIG/import.sh"
  echo "the cluster is running"
  exit 0
fi
"$RIG/down.sh"
mkdir -p "$LOGS" "$PIDS"
started=$SECONDS
# Without these, what is meant for the cluster would leave by the default route once the bridge is gone.
ip route replace unreachable "$NODE_NET" metric 9999
ip route replace unreachable "$POD_NET" metric 9999
ip link add "$BRIDGE" type bridge
ip addr add "$HOST_IP/24" dev "$BRIDGE"
ip link set "$BRIDGE" up
"$RIG/certificates.sh"
"$RIG/control-plane.sh"
kubectl apply -f "$KUBE/manifests/base.yaml" >/dev/null
in_background volumes components volumes --base "$RUN/volumes" --kubeconfig "$KUBECONFIG"
sysctl -qw fs.inotify.max_user_instances=1024 || true
for node in $NODES; do "$RIG/node-up.sh" "$node"; done
if [ -n "$NODES" ]; then
  for node in $NODES; do until_true 60 "node $node has joined" kubectl get node "$node"; done
  kubectl wait --for=condition=Ready node --all --timeout=120s >/dev/null
  kubectl apply -f "$KUBE/manifests/dns.yaml" >/dev/null
  kubectl -n kube-system rollout status deployment/coredns --timeout=120s >/dev/null
fi
echo "the cluster is up after $((SECONDS - started)) s: export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH"
