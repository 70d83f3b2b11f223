#!/bin/bash
# outside.sh COMMAND...: runs it in a network that reaches the machines' own addresses, and nothing of pods and Services.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
if [ ! -e /run/netns/nsq-outside ]; then
  ip link del nsqk-outside 2>/dev/null || true
  ip netns add nsq-outside
  ip link add nsqk-outside type veth peer name eth0 netns nsq-outside
  ip link set nsqk-outside master "$BRIDGE" up
  ip -n nsq-outside link set lo up
  ip -n nsq-outside addr add 10.90.0.200/24 dev eth0
  ip -n nsq-outside link set eth0 up
fi
exec nsenter --net=/run/netns/nsq-outside "$@"
