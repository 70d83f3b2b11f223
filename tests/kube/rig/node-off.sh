#!/bin/bash
# node-off.sh nK: its power is cut. Everything on it ends at once and nobody is told; node-up.sh nK starts it again.
. "$(dirname "$0")/settings.sh"
node=$1
process=$(cat "$PIDS/node-$node")
first=$(pgrep -P "$process")
ip link del "nsqk-$node" # by name: deleting the namespace frees it only later
kill -9 "$process"
rm -f "$PIDS/node-$node"
while kill -0 "$first" 2>/dev/null; do sleep 0.02; done
ip netns del "nsq-$node"
