//! Encryption and authorisation, as a manifest asks for them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// TLS on every listener, and between the nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretName) || has(self.issuerRef)")
    .message("tls needs secretName, or issuerRef of cert-manager"))]
pub struct TlsSpec {
    /// Secret with tls.crt, tls.key and ca.crt. A changed one is taken up without a restart. With issuerRef it is written
    /// by cert-manager, and called NAME-tls if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// Who issues the certificate: an Issuer or ClusterIssuer of cert-manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// Refuse publishers and consumers that do not speak TLS; HTTP stays open without it, for probes.
    #[serde(default)]
    pub required: bool,
}

/// How the nodes authenticate with each other, where nsqd.options has an auth-http-address.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// Secret whose key `secret` has both permissions for all topics.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Who issues certificates, as in cert-manager.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Issuer, ClusterIssuer, or what another group has.
    #[serde(default = "issuer")]
    #[schemars(length(max = 63))]
    pub kind: String,
    #[serde(default = "cert_manager")]
    #[schemars(length(max = 253))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}

fn cert_manager() -> String {
    "cert-manager.io".to_owned()
}

/// TLS to the nsqds of a bridge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BridgeTlsSpec {
    /// Secret with ca.crt: who signs their certificates.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Tokens of the HTTP APIs: without one, nothing can be changed over HTTP. Probes, monitoring and lookups need none.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpTokensSpec {
    /// Secret whose key `tokens` has one token a line, the operator's among them (the chart's httpTokenSecret). A changed
    /// one is taken up without a restart.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Access from outside of the Kubernetes cluster: a Service for every nsqd, one for lookups, one for publishing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSpec {
    /// What kind of Service.
    #[serde(rename = "type")]
    pub type_: ExternalType,
    /// For NodePort: host name or IP address under which the machines' ports are reached; without it each pod's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9.:_-]+$')")
        .message("external.address must be a host name or an IP address, without port"))]
    pub address: Option<String>,
    /// Also the HTTP API of nsqd, with which everything can be changed and deleted: set httpTokens as well.
    #[serde(default)]
    pub http: bool,
    /// Annotations of these Services: what a load balancer wants to be told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// How Services are reached from outside.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalType {
    /// A port of every machine.
    NodePort,
    /// An address of its own.
    LoadBalancer,
}

impl ExternalType {
    /// The `type` of a Service.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Where a cluster is reached from outside; empty while there is no address yet.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalStatus {
    /// host:port where publishing over TCP reaches any ready nsqd.
    pub publish_address: String,
    /// host:port for consumers: lookups that name nsqds by their addresses outside.
    pub lookup_address: String,
}
