//! The certificate that cert-manager is asked for: its kind is not Kubernetes' own, so it is written as plain data.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use super::{Object, metadata};
use crate::cluster::names::{self, Component};
use crate::cluster::validate::ValidatedCluster;

/// The kind, as its API calls it.
#[must_use]
pub fn certificates() -> ApiResource {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate");
    ApiResource::from_gvk_with_plural(&kind, "certificates")
}

/// The one certificate of all nodes, if the manifest names who issues it.
pub(super) fn certificate(cluster: &ValidatedCluster) -> Option<Object> {
    let (tls, issuer) = cluster.issued()?;
    let (hosts, addresses): (Vec<String>, Vec<String>) = names_of(cluster)
        .into_iter()
        .partition(|name| name.parse::<std::net::IpAddr>().is_err());
    let mut spec = json!({
        "secretName": tls.secret_name,
        "issuerRef": {"name": issuer.name, "kind": issuer.kind, "group": issuer.group},
        "dnsNames": hosts,
        "usages": ["server auth", "client auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
    });
    if !addresses.is_empty() {
        spec["ipAddresses"] = json!(addresses);
    }
    let mut certificate = DynamicObject::new("", &certificates()).data(json!({"spec": spec}));
    certificate.metadata = metadata(cluster, names::certificate(&cluster.name), None);
    Some(Object::Certificate(Box::new(certificate)))
}

/// Every node under its own name, the Services, and the address outside if it is one for all.
fn names_of(cluster: &ValidatedCluster) -> Vec<String> {
    let namespace = &cluster.namespace;
    let nodes = [Component::Nsqd, Component::Nsqlookupd].map(|component| {
        let service = names::headless_service(&cluster.name, component);
        format!("*.{service}.{namespace}.svc")
    });
    let services = [
        names::publish_service(&cluster.name),
        names::lookup_service(&cluster.name),
    ];
    let services = services.into_iter().flat_map(|service| {
        let full = format!("{service}.{namespace}");
        [service, full.clone(), format!("{full}.svc")]
    });
    let outside = cluster.external.iter();
    let outside = outside.filter_map(|external| external.address.clone());
    nodes.into_iter().chain(services).chain(outside).collect()
}
