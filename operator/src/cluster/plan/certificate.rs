//! Waiting for cert-manager: nothing is started, and nothing restarted, for a certificate that is not there.

use super::super::names;
use super::super::object::Object;
use super::super::observed::{CertificateState, Observed};
use super::super::validate::ValidatedCluster;
use crate::api::ConditionState;

/// What is known of the certificate; `None` if nobody was asked for one.
pub fn condition(cluster: &ValidatedCluster, observed: &Observed) -> Option<ConditionState> {
    let (tls, issuer) = cluster.issued()?;
    let name = names::certificate(&cluster.name);
    let (is_true, reason, message) = match &observed.certificate {
        CertificateState::NoCertManager => (
            false,
            "NoCertManager",
            "spec.tls.issuerRef needs cert-manager, and this API server knows no Certificate of cert-manager.io/v1: \
             install it, or make the Secret yourself and name it in spec.tls.secretName without issuerRef"
                .to_owned(),
        ),
        CertificateState::Missing => (
            false,
            "Requested",
            format!("{} {} is asked for the certificate {name}", issuer.kind, issuer.name),
        ),
        CertificateState::Waiting { why } => (
            false,
            "Waiting",
            format!("the certificate {name} is not ready: {why}"),
        ),
        CertificateState::Issued { until } => (
            true,
            "Issued",
            match until.as_str() {
                "" => format!("in the Secret {}", tls.secret_name),
                until => format!("in the Secret {}, valid until {until}", tls.secret_name),
            },
        ),
    };
    Some(ConditionState::new(
        "CertificateReady",
        is_true,
        reason,
        message,
    ))
}

/// What can be wanted now. Without a certificate the sets stay as they are, and so do their pods, which would be replaced by
/// some that cannot start; without cert-manager the certificate itself cannot be written either.
pub fn without_waiting(
    cluster: &ValidatedCluster,
    observed: &Observed,
    objects: Vec<Object>,
) -> Vec<Object> {
    if cluster.issued().is_none() || matches!(observed.certificate, CertificateState::Issued { .. })
    {
        return objects;
    }
    let no_cert_manager = observed.certificate == CertificateState::NoCertManager;
    let may = |object: &Object| match object {
        Object::StatefulSet(_) => false,
        Object::Certificate(_) => !no_cert_manager,
        _ => true,
    };
    objects.into_iter().filter(may).collect()
}
