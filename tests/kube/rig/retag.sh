#!/bin/bash
# retag.sh IMAGE NAME: the image under another name as well, on every node.
. "$(dirname "$0")/settings.sh"
for node in $NODES; do
  "$RIG/in-node.sh" "$node" ctr -n k8s.io images tag --force "docker.io/library/$1" "docker.io/library/$2" >/dev/null
done
