//! Encryption and authorisation, as a manifest asks for them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// TLS on every listener, and between the nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Secret with tls.crt, tls.key and ca.crt, as cert-manager makes them. A changed one is taken up without a restart.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
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
