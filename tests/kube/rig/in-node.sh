#!/bin/bash
# in-node.sh nK COMMAND...: runs a command inside a node.
. "$(dirname "$0")/settings.sh"
node=$1
shift
exec nsenter -t "$(pgrep -P "$(cat "$PIDS/node-$node")")" -m -n -p -u -i -- "$@"
