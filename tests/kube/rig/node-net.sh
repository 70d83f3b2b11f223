#!/bin/bash
# node-net.sh nK off|on|no-api|not-to nM|heal: what of its network works.
. "$(dirname "$0")/settings.sh"
node=$1
inside() { nsenter --net="/run/netns/nsq-$node" "$@"; }
drop() { # drop CHAIN-HOOK ADDRESS...
  inside nft add table ip nsqtest
  for hook in input output forward; do
    inside nft add chain ip nsqtest $hook "{ type filter hook $hook priority -10; }"
    for address in "$@"; do
      inside nft add rule ip nsqtest $hook ip saddr "$address" drop
      inside nft add rule ip nsqtest $hook ip daddr "$address" drop
    done
  done
}
case $2 in
  off) ip link set "nsqk-$node" down ;;
  on) ip link set "nsqk-$node" up ;;
  no-api) drop "$HOST_IP" ;;
  not-to) drop "$(node_ip "$3")" "10.244.$(number_of "$3").0/24" ;;
  heal) inside nft delete table ip nsqtest ;;
esac
