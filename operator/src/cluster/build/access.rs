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

/// Path of a file of the Secret with the certificate.
pub(super) fn tls_file(name: &str) -> String {
    format!("{MOUNTED_AT}/{name}")
}

pub(super) fn volumes(cluster: &ValidatedCluster) -> Vec<Volume> {
    let volume = |secret: &str| Volume {
        name: TLS.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let tls = cluster.tls.iter();
    tls.map(|tls| volume(&tls.secret_name)).collect()
}

pub(super) fn mounts(cluster: &ValidatedCluster) -> Vec<VolumeMount> {
    let mount = VolumeMount {
        name: TLS.to_owned(),
        mount_path: MOUNTED_AT.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    cluster.tls.iter().map(|_| mount.clone()).collect()
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
    let variable = |secret: &String| EnvVar {
        name: AUTH.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.clone(),
                key: AUTH_KEY.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    cluster.auth_secret.iter().map(variable).collect()
}
