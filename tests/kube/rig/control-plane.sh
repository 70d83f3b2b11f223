#!/bin/bash
# etcd, API server, controllers and scheduler, as processes of this machine.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
mkdir -p "$RUN/etcd"
chmod 700 "$RUN/etcd"
etcd=http://127.0.0.1:$ETCD_PORT
peer=http://127.0.0.1:$((ETCD_PORT + 1))

in_background etcd etcd --name only --data-dir "$RUN/etcd" --log-level warn --unsafe-no-fsync \
  --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
  --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "only=$peer"

in_background kube-apiserver kube-apiserver --etcd-servers="$etcd" \
  --bind-address="$HOST_IP" --advertise-address="$HOST_IP" --secure-port="$API_PORT" --service-cluster-ip-range="$SERVICE_NET" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --profiling=false \
  --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file="$PKI/service-accounts.pub" --service-account-signing-key-file="$PKI/service-accounts.key" \
  --kubelet-client-certificate="$PKI/apiserver-to-kubelet.crt" --kubelet-client-key="$PKI/apiserver-to-kubelet.key" \
  --kubelet-preferred-address-types=InternalIP \
  --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
  --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" --enable-aggregator-routing=true \
  --default-not-ready-toleration-seconds=10 --default-unreachable-toleration-seconds=10

# Nobody routes to pretended pods and nothing is mounted into them: what looks after that would take most of two cores.
if [ -n "$NODES" ]; then
  controllers='*'
else
  controllers='*,-endpoints-controller,-endpointslice-controller,-persistentvolume-binder-controller,-horizontal-pod-autoscaler-controller'
fi

# The others exit at once when they are started before the API server has made its own roles.
ready() { [ "$(kubectl get --raw /readyz)" = ok ]; }
until_true 60 "the API server is ready" ready

in_background controllers kube-controller-manager --kubeconfig="$PKI/controllers.conf" \
  --authentication-kubeconfig="$PKI/controllers.conf" --authorization-kubeconfig="$PKI/controllers.conf" --bind-address=127.0.0.1 \
  --service-account-private-key-file="$PKI/service-accounts.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true \
  --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" --leader-elect=false \
  --cluster-cidr="$POD_NET" --allocate-node-cidrs=true --node-cidr-mask-size=24 --service-cluster-ip-range="$SERVICE_NET" \
  --node-monitor-period=2s --node-monitor-grace-period=16s --kube-api-qps=100 --kube-api-burst=200 --controllers="$controllers"
in_background scheduler kube-scheduler --kubeconfig="$PKI/scheduler.conf" --authentication-kubeconfig="$PKI/scheduler.conf" \
  --authorization-kubeconfig="$PKI/scheduler.conf" --bind-address=127.0.0.1 --leader-elect=false
until_true 60 "the default ServiceAccount is there" kubectl -n default get serviceaccount default
