//! Services: one name per pod, one way in for publishers, one for consumers.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{labels, metadata};
use crate::cluster::names::{self, Component};
use crate::cluster::validate::ValidatedCluster;

pub(super) fn all(cluster: &ValidatedCluster) -> Vec<Service> {
    vec![
        headless(cluster, Component::Nsqlookupd),
        headless(cluster, Component::Nsqd),
        lookup(cluster),
        publish(cluster),
    ]
}

/// Gives every pod its name, whether ready or not: an nsqd that recovers has to find its nsqlookupds, and
/// consumers keep the connection to a node that has merely stopped taking messages.
fn headless(cluster: &ValidatedCluster, component: Component) -> Service {
    let name = names::headless_service(&cluster.name, component);
    let mut service = service(cluster, name, component);
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

/// Any nsqlookupd: each knows everything.
fn lookup(cluster: &ValidatedCluster) -> Service {
    let name = names::lookup_service(&cluster.name);
    let mut service = service(cluster, name, Component::Nsqlookupd);
    if cluster.http_tokens.is_some() {
        // Consumers have no token, and change nothing.
        let ports = service.spec.as_mut().and_then(|spec| spec.ports.as_mut());
        let http = ports.into_iter().flatten();
        for port in http.filter(|port| port.name.as_deref() == Some("http")) {
            let target = i32::from(Component::Nsqlookupd.read_only_port());
            port.target_port = Some(IntOrString::Int(target));
        }
    }
    service
}

/// Any nsqd that is ready and not about to be removed.
fn publish(cluster: &ValidatedCluster) -> Service {
    let name = names::publish_service(&cluster.name);
    let mut service = service(cluster, name, Component::Nsqd);
    if let Some(selector) = service
        .spec
        .as_mut()
        .and_then(|spec| spec.selector.as_mut())
    {
        selector.insert(labels::PUBLISH.to_owned(), "true".to_owned());
    }
    service
}

fn service(cluster: &ValidatedCluster, name: String, component: Component) -> Service {
    let port = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let mut ports = vec![
        port("tcp", component.tcp_port()),
        port("http", component.http_port()),
    ];
    let https = cluster.tls.iter();
    ports.extend(https.map(|_| port("https", component.https_port())));
    Service {
        metadata: metadata(cluster, name, Some(component)),
        spec: Some(ServiceSpec {
            selector: Some(labels::selector(&cluster.name, Some(component))),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
