#!/bin/bash
# node-up.sh nK: boots a node, a "machine" in namespaces of its own with containerd, kubelet and kube-proxy inside.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
node=$1
number=$(number_of "$node")
ip=$(node_ip "$node")
home=$RUN/nodes/$node
mkdir -p "$home"/{kubelet,containerd,cni,pod-logs,etc-cni,etc-containerd}

# Network: a link from the node's own network namespace to the machine's bridge.
if [ ! -e "/run/netns/nsq-$node" ]; then
  ip link del "nsqk-$node" 2>/dev/null || true # left over from a namespace that is still being freed
  ip netns add "nsq-$node"
  ip link add "nsqk-$node" type veth peer name eth0 netns "nsq-$node"
  ip link set "nsqk-$node" master "$BRIDGE" up
  ip -n "nsq-$node" link set lo up
  ip -n "nsq-$node" addr add "$ip/24" dev eth0
  ip -n "nsq-$node" link set eth0 up
  ip -n "nsq-$node" route add default via "$HOST_IP"
  nsenter --net="/run/netns/nsq-$node" sysctl -qw net.ipv4.ip_forward=1
  nsenter --net="/run/netns/nsq-$node" sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
  for other in $NODES; do
    [ "$other" = "$node" ] || ip -n "nsq-$node" route add "10.244.$(number_of "$other").0/24" via "$(node_ip "$other")"
  done
  ip route replace "10.244.$number.0/24" via "$ip"
fi

# Resources: a control group for everything on the node. Version 1 has one tree per controller.
if [ -d /sys/fs/cgroup/cpuset ]; then
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
    [ -d "/sys/fs/cgroup/$controller" ] && mkdir -p "/sys/fs/cgroup/$controller/$CGROUP/$node"
  done
  for group in "$CGROUP" "$CGROUP/$node"; do
    for file in cpus mems; do
      cat "/sys/fs/cgroup/cpuset/cpuset.$file" >"/sys/fs/cgroup/cpuset/$group/cpuset.$file"
    done
  done
else
  mkdir -p "/sys/fs/cgroup/$CGROUP/$node"
fi

cat >"$home/etc-containerd/config.toml" <<EOF
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "test.nsq.io/pause:1"
  disable_tcp_service = true
  restrict_oom_score_adj = true # a machine without CAP_SYS_RESOURCE refuses the negative ones
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
EOF
cat >"$home/etc-cni/10-bridge.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "nsq-test", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.$number.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
cat >"$home/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/$node
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
address: $ip
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/node-$node.crt
tlsPrivateKeyFile: $PKI/node-$node.key
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $RUN/resolv.conf
failSwapOn: false
nodeStatusUpdateFrequency: 4s
nodeStatusReportFrequency: 4s
nodeLeaseDurationSeconds: 12
syncFrequency: 10s
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi}
maxPods: 60
EOF
cat >"$home/proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $PKI/proxy.conf}
clusterCIDR: $POD_NET
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
EOF
: >"$RUN/resolv.conf"

# Not `ip netns exec`: it remounts /sys, and the control groups are gone.
in_background "node-$node" nsenter --net="/run/netns/nsq-$node" \
  unshare --mount --propagation private --pid --fork --mount-proc --uts --ipc --kill-child "$RIG/node-init.sh" "$node"
