//! Command lines of local processes: loopback addresses in the places that the plan leaves open.

use std::path::Path;

use crate::cluster::flags::{self, Flag, Value};
use crate::cluster::names::{Node, PAIR_SIZE};
use crate::cluster::validate::ValidatedCluster;
use crate::dev::ports::{PortBook, Ports};

/// Of a daemon.
pub fn arguments(
    cluster: &ValidatedCluster,
    node: Node,
    own: Ports,
    data: &Path,
    ports: &PortBook,
) -> Vec<String> {
    let mut flags = flags::flags(cluster, node.component);
    if node.component == crate::cluster::names::Component::Nsqd {
        flags.extend(flags::of_node(cluster, node));
    }
    rendered(flags, cluster, node, own, data, ports)
}

/// Of the `nsq_to_nsq --mirror` beside an nsqd.
pub fn mirror_arguments(
    cluster: &ValidatedCluster,
    node: Node,
    own: Ports,
    ports: &PortBook,
) -> Vec<String> {
    let mut arguments = vec![
        "--mirror".to_owned(),
        format!("--holder-tcp-address=127.0.0.1:{}", own.tcp),
    ];
    let flags = flags::of_mirror(node);
    arguments.extend(rendered(flags, cluster, node, own, Path::new(""), ports));
    arguments
}

/// Of the `nsq_to_nsq --relocate` that empties an nsqd.
pub fn relocation_arguments(own: Ports, to: &[String], ports: &PortBook) -> Vec<String> {
    let mut arguments = vec![
        "--relocate".to_owned(),
        format!("--nsqd-tcp-address=127.0.0.1:{}", own.tcp),
    ];
    let targets = to.iter().filter_map(|pod| ports.of(pod));
    arguments.extend(targets.map(|target| {
        let port = target.tcp;
        format!("--destination-nsqd-tcp-address=127.0.0.1:{port}")
    }));
    arguments
}

fn rendered(
    flags: Vec<Flag>,
    cluster: &ValidatedCluster,
    node: Node,
    own: Ports,
    data: &Path,
    ports: &PortBook,
) -> Vec<String> {
    let rendered = |value: Value| match value {
        Value::Text(text) => Some(text),
        Value::ListenTcp => Some(format!("127.0.0.1:{}", own.tcp)),
        Value::ListenHttp => Some(format!("127.0.0.1:{}", own.http)),
        // Loopback needs no certificate and no token, and nobody is outside.
        Value::ListenHttps | Value::TlsFile(_) => None,
        Value::ListenReadOnly | Value::TokenFile => None,
        Value::ListenExternal | Value::ExternalAddresses => None,
        Value::OwnHost => Some("127.0.0.1".to_owned()),
        Value::OwnName => Some(node.pod_name(&cluster.name)),
        Value::DataPath => Some(data.display().to_string()),
        Value::NodeId => {
            let (pair, member) = (node.ordinal / PAIR_SIZE, node.ordinal % PAIR_SIZE);
            Some((10 * pair + member).to_string())
        }
        Value::TcpOf(other) => {
            let given = ports.of(&other.pod_name(&cluster.name))?;
            Some(format!("127.0.0.1:{}", given.tcp))
        }
    };
    flags
        .into_iter()
        .filter_map(|(name, value)| Some(format!("--{name}={}", rendered(value)?)))
        .collect()
}
