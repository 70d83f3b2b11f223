#!/bin/bash
# import.sh: every node takes up the images that there are now.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
for node in $NODES; do
  for image in "$IMAGES"/*.tar; do
    "$RIG/in-node.sh" "$node" ctr -n k8s.io images import "$image" >/dev/null &
  done
done
wait
