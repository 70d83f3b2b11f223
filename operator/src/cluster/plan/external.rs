//! Which addresses clients outside are told: what became of the Services, and where pods run.

use k8s_openapi::api::core::v1::Service;

use super::super::build;
use super::super::names::{self, Component, Node};
use super::super::object::Object;
use super::super::observed::Observed;
use super::super::validate::ValidatedCluster;
use crate::api::{ConditionState, ExternalSpec, ExternalStatus, ExternalType};

/// The way in, as far as it is open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposure {
    /// Lines of the addresses that nsqlookupd reads.
    pub lines: Vec<String>,
    pub status: ExternalStatus,
    /// Services without an address, and why.
    missing: Vec<String>,
    nodes: usize,
}

/// An address outside.
struct Open {
    host: String,
    tcp: Option<i32>,
    http: Option<i32>,
}

/// `None` without `spec.external`.
pub fn exposure(cluster: &ValidatedCluster, observed: &Observed, nodes: u32) -> Option<Exposure> {
    let external = cluster.external.as_ref()?;
    let mut exposure = Exposure::default();
    for ordinal in 0..nodes {
        let node = Node::nsqd(ordinal);
        let pod = node.pod_name(&cluster.name);
        let host = host_of(external, observed, Some(&pod));
        match open(external, observed, &names::external_service(&pod), host) {
            Ok(open) => exposure.lines.push(format!(
                "{} {} {} {}",
                node.host(&cluster.name, &cluster.namespace),
                open.host,
                open.tcp.unwrap_or(0),
                open.http.unwrap_or(0)
            )),
            Err(why) => exposure.missing.push(why),
        }
    }
    exposure.nodes = exposure.lines.len();
    let publish = names::external_service(&names::publish_service(&cluster.name));
    let lookup = names::external_service(&names::lookup_service(&cluster.name));
    let mut reached = |name: &str, component: Component| {
        let pod = |pod: &&super::super::observed::PodState| pod.component == component && pod.ready;
        let any = observed.pods.iter().filter(pod).map(|pod| &pod.name).min();
        let host = host_of(external, observed, any.map(String::as_str));
        match open(external, observed, name, host) {
            Ok(open) => match open.tcp.or(open.http) {
                Some(port) => bracketed(&open.host, port),
                None => String::new(),
            },
            Err(why) => {
                exposure.missing.push(why);
                String::new()
            }
        }
    };
    exposure.status = ExternalStatus {
        publish_address: reached(&publish, Component::Nsqd),
        lookup_address: reached(&lookup, Component::Nsqlookupd),
    };
    Some(exposure)
}

impl Exposure {
    pub fn condition(&self) -> ConditionState {
        let is_true = self.missing.is_empty();
        let mut message = format!("{} nsqd can be reached from outside", self.nodes);
        for why in &self.missing {
            message = format!("{message}; {why}");
        }
        let reason = match is_true {
            true => "Reachable",
            false => "WaitingForAddress",
        };
        ConditionState::new("Exposed", is_true, reason, message)
    }
}

/// By which address a machine's ports are reached: the one of the manifest, or that of the pod's machine.
fn host_of(external: &ExternalSpec, observed: &Observed, pod: Option<&str>) -> Option<String> {
    if external.address.is_some() {
        return external.address.clone();
    }
    let pod = observed
        .pods
        .iter()
        .find(|found| Some(found.name.as_str()) == pod)?;
    let machine = pod.machine.as_ref()?;
    let machine = observed
        .machines
        .iter()
        .find(|found| found.name == *machine)?;
    (!machine.address.is_empty()).then(|| machine.address.clone())
}

fn open(
    external: &ExternalSpec,
    observed: &Observed,
    name: &str,
    host: Option<String>,
) -> Result<Open, String> {
    let service = observed.objects.iter().find_map(|object| match object {
        Object::Service(service) if service.metadata.name.as_deref() == Some(name) => Some(service),
        _ => None,
    });
    let Some(service) = service else {
        return Err(format!("the Service {name} is not there yet"));
    };
    match external.type_ {
        ExternalType::NodePort => {
            let host =
                host.ok_or_else(|| format!("{name}: its pod has no machine with an address"))?;
            let port = |of: &str| port(service, of, |port| port.node_port);
            let (tcp, http) = (port("tcp"), port("http"));
            match tcp.or(http) {
                Some(_) => Ok(Open { host, tcp, http }),
                None => Err(format!("the Service {name} has no node port yet")),
            }
        }
        ExternalType::LoadBalancer => {
            let ingress = ingress(service);
            let host = ingress.ok_or_else(|| {
                format!("the load balancer of the Service {name} has no address yet")
            })?;
            let port = |of: &str| port(service, of, |port| Some(port.port));
            Ok(Open {
                host,
                tcp: port("tcp"),
                http: port("http"),
            })
        }
    }
}

fn port(
    service: &Service,
    name: &str,
    number: impl Fn(&k8s_openapi::api::core::v1::ServicePort) -> Option<i32>,
) -> Option<i32> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = ports
        .iter()
        .find(|port| port.name.as_deref() == Some(name))?;
    number(port)
}

/// A host name if there is one: that is what certificates are made for.
fn ingress(service: &Service) -> Option<String> {
    let status = service.status.as_ref()?.load_balancer.as_ref()?;
    let first = status.ingress.as_ref()?.first()?;
    first.hostname.clone().or_else(|| first.ip.clone())
}

fn bracketed(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The objects with the addresses, before the sets whose pods read them.
pub fn with_addresses(
    cluster: &ValidatedCluster,
    mut wanted: Vec<Object>,
    exposure: Option<&Exposure>,
) -> Vec<Object> {
    if let Some(exposure) = exposure {
        let config = build::addresses(cluster, &exposure.lines);
        let first_set = wanted
            .iter()
            .position(|object| matches!(object, Object::StatefulSet(_)));
        wanted.insert(
            first_set.unwrap_or(wanted.len()),
            Object::ConfigMap(Box::new(config)).sealed(),
        );
    }
    wanted
}
