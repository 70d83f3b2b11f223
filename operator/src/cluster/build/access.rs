//! Certificates and secrets in pods.

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};

use crate::cluster::flags::AUTHORITIES;
use crate::cluster::validate::ValidatedCluster;

/// Volume with the certificate; the kubelet renews its files when the Secret changes.
pub const TLS: &str = "tls";
const MOUNTED_AT: &str = "/etc/nsq/tls";
/// Variable with the secret for AUTH, and the key of its Secret.
const AUTH: &str = "AUTH_SECRET";
const AUTH_KEY: &str = "secret";
/// Volume with the tokens of the HTTP API, and the key of its Secret.
const TOKENS: &str = "http-tokens";
const TOKENS_AT: &str = "/etc/nsq/http";
const TOKENS_KEY: &str = "tokens";

/// Path of a file of the Secret with the certificate.
pub(super) fn tls_file(name: &str) -> String {
    format!("{MOUNTED_AT}/{name}")
}

/// Path of the file with the tokens.
pub(super) fn token_file() -> String {
    format!("{TOKENS_AT}/{TOKENS_KEY}")
}

/// What a daemon has besides what every program of a cluster has.
pub(super) fn daemon_volumes(cluster: &ValidatedCluster) -> Vec<Volume> {
    let tokens = cluster.http_tokens.iter();
    let tokens = tokens.map(|secret| secret_volume(TOKENS, secret));
    volumes(cluster).into_iter().chain(tokens).collect()
}

pub(super) fn daemon_mounts(cluster: &ValidatedCluster) -> Vec<VolumeMount> {
    let tokens = cluster.http_tokens.iter();
    let tokens = tokens.map(|_| secret_mount(TOKENS, TOKENS_AT));
    mounts(cluster).into_iter().chain(tokens).collect()
}

/// The files of a Secret.
pub(crate) fn secret_volume(name: &str, secret: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(crate) fn secret_mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

pub(super) fn volumes(cluster: &ValidatedCluster) -> Vec<Volume> {
    let tls = cluster.tls.iter();
    tls.map(|tls| secret_volume(TLS, &tls.secret_name))
        .collect()
}

pub(super) fn mounts(cluster: &ValidatedCluster) -> Vec<VolumeMount> {
    let tls = cluster.tls.iter();
    tls.map(|_| secret_mount(TLS, MOUNTED_AT)).collect()
}

/// What an `nsq_to_nsq` says to be let in.
pub(super) fn arguments(cluster: &ValidatedCluster) -> Vec<String> {
    let mut arguments = Vec::new();
    if cluster.tls.is_some() {
        let authorities = tls_file(AUTHORITIES);
        arguments.push("--tls".to_owned());
        arguments.push(format!("--tls-root-ca-file={authorities}"));
    }
    if cluster.auth_secret.is_some() {
        arguments.push(format!("--auth-secret=$({AUTH})"));
    }
    arguments
}

/// Where it finds the secret.
pub(super) fn environment(cluster: &ValidatedCluster) -> Vec<EnvVar> {
    let secret = cluster.auth_secret.iter();
    secret.map(|secret| secret_variable(AUTH, secret)).collect()
}

/// A variable with what a Secret says for AUTH.
pub(crate) fn secret_variable(name: &str, secret: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: AUTH_KEY.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
