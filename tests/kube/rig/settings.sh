# Read by every script of the rig: where things are and how the cluster is laid out.
RIG=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KUBE=$(dirname "$RIG")

# Outside the checkout: what is slow to build is built once.
CACHE=${NSQ_KUBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nsq-kube}
BIN=$CACHE/bin
IMAGES=$CACHE/images          # imported by every node when it boots
RUN=$CACHE/run                # everything about the cluster that runs now
PKI=$RUN/pki
LOGS=$RUN/logs
PIDS=$RUN/pids

NODES=${NODES-n1 n2 n3}       # empty: a control plane without nodes
VERSION=v1.34.4

# One cluster at a time: these are fixed.
BRIDGE=nsqkube0
HOST_IP=10.90.0.1             # of the machine, on the bridge; node nK is 10.90.0.1K
API_PORT=6443
ETCD_PORT=23790
NODE_NET=10.90.0.0/24
POD_NET=10.244.0.0/16         # node nK has 10.244.K.0/24
SERVICE_NET=10.96.0.0/16
DNS_IP=10.96.0.10
CGROUP=nsqkube

export KUBECONFIG=$PKI/admin.conf
export PATH=$BIN:/usr/sbin:/sbin:$PATH

number_of() { echo "${1#n}"; }
node_ip() { echo "10.90.0.1$(number_of "$1")"; }

# in_background NAME COMMAND...: its log and process id under that name. It keeps nothing else open of whoever starts
# it: a lock would be held for as long as the cluster is up.
in_background() {
  local name=$1 file
  shift
  (
    for file in /proc/self/fd/*; do
      file=${file##*/}
      [ "$file" -gt 2 ] && eval "exec $file>&-"
    done
    exec setsid "$@" >"$LOGS/$name.log" 2>&1 </dev/null
  ) &
  echo $! >"$PIDS/$name"
}

# until_true SECONDS WHAT COMMAND...
until_true() {
  local seconds=$1 what=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "after $seconds s still not: $what (logs are in $LOGS)" >&2
      return 1
    fi
    sleep 0.1
  done
}
