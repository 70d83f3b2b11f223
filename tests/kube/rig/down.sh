#!/bin/bash
# Ends everything that up.sh started, by its process id, and leaves nothing but the cache and the built images.
. "$(dirname "$0")/settings.sh"
for name in "$PIDS"/node-* "$PIDS"/volumes "$PIDS"/scheduler "$PIDS"/controllers "$PIDS"/kube-apiserver "$PIDS"/etcd; do
  [ -f "$name" ] && kill -9 "$(cat "$name")" 2>/dev/null
done
[ -d "$PIDS" ] && sleep 0.5
for node in n1 n2 n3 n4 n5 outside; do
  ip link del "nsqk-$node" 2>/dev/null # by name: deleting the namespace frees it only later
  [ -e "/run/netns/nsq-$node" ] && ip netns del "nsq-$node"
done
ip link del "$BRIDGE" 2>/dev/null
for tree in /sys/fs/cgroup /sys/fs/cgroup/*/; do
  [ -d "$tree/$CGROUP" ] && find "$tree/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null
done
rm -rf "$RUN"
exit 0
