#!/bin/bash
# The first process of a node: its own directories, its images, its daemons.
. "$(dirname "$0")/settings.sh"
node=$1
home=$RUN/nodes/$node
hostname "$node"
mkdir -p /var/lib/cni /var/lib/kubelet /var/lib/containerd /var/log/pods /etc/cni/net.d /etc/containerd
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock
mount --bind "$home/kubelet" /var/lib/kubelet
mount --bind "$home/containerd" /var/lib/containerd
mount --bind "$home/cni" /var/lib/cni # shared, addresses would be given out again at once, and neighbours would not know
mount --bind "$home/pod-logs" /var/log/pods
mount --bind "$home/etc-cni" /etc/cni/net.d
mount --bind "$home/etc-containerd" /etc/containerd
mount --bind "$RUN/resolv.conf" /etc/resolv.conf # empty: no question of a node leaves the machine
mount --make-rshared /

containerd >"$LOGS/$node-containerd.log" 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.05; done
for image in "$IMAGES"/*.tar; do ctr -n k8s.io images import "$image"; done
kubelet --config "$home/kubelet.yaml" --kubeconfig "$PKI/node-$node.conf" --node-ip "$(node_ip "$node")" \
  >"$LOGS/$node-kubelet.log" 2>&1 &
kube-proxy --config "$home/proxy.yaml" --hostname-override "$node" >"$LOGS/$node-proxy.log" 2>&1 &
while :; do
  wait -n # and with it the containers' shims that become ours
  sleep 1
done
