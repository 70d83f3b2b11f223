#!/bin/bash
# mend.sh: puts right what a fault left that nobody took back: machines without power or network, or cordoned.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
for node in $NODES; do
  if [ -f "$PIDS/node-$node" ] && kill -0 "$(cat "$PIDS/node-$node")" 2>/dev/null; then
    "$RIG/node-net.sh" "$node" on
    "$RIG/node-net.sh" "$node" heal 2>/dev/null || true # most have nothing to heal
  else
    echo "$node has no power; starting it"
    "$RIG/node-up.sh" "$node"
  fi
done
for node in $NODES; do until_true 60 "node $node has joined" kubectl get node "$node"; done
[ -z "$NODES" ] || kubectl wait --for=condition=Ready node --all --timeout=120s >/dev/null
for node in $NODES; do kubectl uncordon "$node" >/dev/null; done
