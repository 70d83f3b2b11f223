#!/bin/bash
# Authorities, certificates and kubeconfigs of a cluster, under $PKI.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
mkdir -p "$PKI"
cd "$PKI"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -out "$1.crt" 2>/dev/null
}

# certificate NAME SUBJECT [NAMES [AUTHORITY]]
certificate() {
  local name=$1 subject=$2 names=${3:-} by=${4:-ca}
  key "$name"
  printf 'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n%s' "${names:+subjectAltName=$names}" >"$name.ext"
  openssl req -new -key "$name.key" -subj "$subject" 2>/dev/null |
    openssl x509 -req -CA "$by.crt" -CAkey "$by.key" -CAcreateserial -days 3650 -extfile "$name.ext" -out "$name.crt" 2>/dev/null
  rm "$name.ext"
}

kubeconfig() {
  cat >"$1.conf" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: nsq-test
  cluster: {server: "https://$HOST_IP:$API_PORT", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}
contexts:
- name: nsq-test
  context: {cluster: nsq-test, user: $1}
current-context: nsq-test
EOF
}

authority ca
authority front-proxy-ca
openssl genrsa -out service-accounts.key 2048 2>/dev/null
openssl rsa -in service-accounts.key -pubout -out service-accounts.pub 2>/dev/null

in_cluster=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
certificate apiserver /CN=kube-apiserver "$in_cluster,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$HOST_IP"
certificate front-proxy-client /CN=front-proxy-client "" front-proxy-ca
certificate apiserver-to-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
certificate admin /O=system:masters/CN=admin
certificate controllers /CN=system:kube-controller-manager
certificate scheduler /CN=system:kube-scheduler
certificate proxy /CN=system:kube-proxy
for name in admin controllers scheduler proxy; do kubeconfig $name; done
for node in $NODES; do
  certificate "node-$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_ip "$node")"
  kubeconfig "node-$node"
done
