//! The way in from outside: a Service for every nsqd, one for lookups, one for publishing.
//!
//! nsqlookupd has a listener for those outside, which shows each nsqd under the address of its Service. Those addresses
//! stand in a ConfigMap that every nsqlookupd reads again when it changes; no node restarts for it.

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Service, ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::{self, Labels};
use super::metadata;
use crate::api::ExternalSpec;
use crate::cluster::names::{self, Component, Node};
use crate::cluster::validate::ValidatedCluster;

const VOLUME: &str = "external";
const MOUNTED_AT: &str = "/etc/nsq/external";
const FILE: &str = "addresses";
/// Label that a StatefulSet gives each of its pods.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// Where nsqlookupd finds the addresses.
pub(super) fn file() -> String {
    format!("{MOUNTED_AT}/{FILE}")
}

pub(super) fn volume(cluster: &ValidatedCluster) -> Option<Volume> {
    cluster.external.as_ref().map(|_| Volume {
        name: VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::external_config(&cluster.name),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    })
}

pub(super) fn mount(cluster: &ValidatedCluster) -> Option<VolumeMount> {
    // The directory, not the file: a file that is mounted by itself never changes.
    cluster.external.as_ref().map(|_| VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: MOUNTED_AT.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    })
}

/// The addresses of nodes, as nsqlookupd reads them.
pub fn addresses(cluster: &ValidatedCluster, lines: &[String]) -> ConfigMap {
    let mut text = "# node, address outside, TCP port, HTTP port\n".to_owned();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    ConfigMap {
        metadata: metadata(
            cluster,
            names::external_config(&cluster.name),
            Some(Component::Nsqlookupd),
        ),
        data: Some([(FILE.to_owned(), text)].into()),
        ..ConfigMap::default()
    }
}

/// All Services of the way in, when there are so many nsqds.
pub(super) fn services(cluster: &ValidatedCluster, nodes: u32) -> Vec<Service> {
    let Some(external) = &cluster.external else {
        return Vec::new();
    };
    let port = |name: &str, port: u16, target: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        target_port: Some(IntOrString::Int(i32::from(target))),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let nsqd = Component::Nsqd;
    let mut ports = vec![port("tcp", nsqd.tcp_port(), nsqd.tcp_port())];
    if external.http {
        // Over TLS where there is a certificate: plain HTTP is for probes then.
        let target = match cluster.tls {
            Some(_) => nsqd.https_port(),
            None => nsqd.http_port(),
        };
        ports.push(port("http", nsqd.http_port(), target));
    }
    let selector = labels::selector(&cluster.name, Some(nsqd));
    let publish = labels::with(selector.clone(), labels::PUBLISH, "true");
    let lookup = Component::Nsqlookupd;
    let lookup_port = port("http", lookup.http_port(), names::NSQLOOKUPD_EXTERNAL);
    let mut services = vec![
        service(
            cluster,
            external,
            names::external_service(&names::lookup_service(&cluster.name)),
            labels::selector(&cluster.name, Some(lookup)),
            vec![lookup_port],
        ),
        service(
            cluster,
            external,
            names::external_service(&names::publish_service(&cluster.name)),
            publish,
            ports.clone(),
        ),
    ];
    services.extend((0..nodes).map(|ordinal| {
        let pod = Node::nsqd(ordinal).pod_name(&cluster.name);
        let selector = labels::with(selector.clone(), POD_NAME, &pod);
        let name = names::external_service(&pod);
        let mut service = service(cluster, external, name, selector, ports.clone());
        if let Some(spec) = &mut service.spec {
            // As inside: consumers keep a node that has merely stopped taking messages.
            spec.publish_not_ready_addresses = Some(true);
        }
        service
    }));
    services
}

fn service(
    cluster: &ValidatedCluster,
    external: &ExternalSpec,
    name: String,
    selector: Labels,
    ports: Vec<ServicePort>,
) -> Service {
    let mut metadata = metadata(cluster, name, None);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(labels::EXTERNAL.to_owned(), "true".to_owned());
    if !external.annotations.is_empty() {
        metadata.annotations = Some(external.annotations.clone());
    }
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(external.type_.as_str().to_owned()),
            selector: Some(selector),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
