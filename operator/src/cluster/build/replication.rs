//! What a replicated pair has besides: each node's own configuration, and the container that carries the peer's
//! messages over.
//!
//! The pods of a pair share one template, and only one word of it differs: the peer's name. Each pod mounts its own
//! directory of the pair's ConfigMap, chosen by the pod's index.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, KeyToPath, Volume, VolumeMount,
};

use super::{access, metadata, pod};
use crate::cluster::flags::{self, Flag};
use crate::cluster::names::{self, Component, NSQD_TCP, Node, PAIR_SIZE};
use crate::cluster::validate::{Replication, ValidatedCluster};

/// Container of `nsq_to_nsq --mirror`.
const MIRROR: &str = "mirror";
const VOLUME: &str = "pair";
const MOUNTED_AT: &str = "/etc/nsq/pair";
/// Files in a node's directory.
const NSQD_FILE: &str = "nsqd.toml";
const MIRROR_FILE: &str = "mirror.toml";

/// Tells each node of the pair who its peer is.
pub(super) fn config(cluster: &ValidatedCluster, pair: u32) -> ConfigMap {
    let mut data = BTreeMap::new();
    for member in 0..PAIR_SIZE {
        let node = Node::nsqd(pair * PAIR_SIZE + member);
        let of_node = toml(cluster, flags::of_node(cluster, node));
        let of_mirror = toml(cluster, flags::of_mirror(node));
        data.insert(key(member, NSQD_FILE), of_node);
        data.insert(key(member, MIRROR_FILE), of_mirror);
    }
    ConfigMap {
        metadata: metadata(
            cluster,
            names::pair_config(&cluster.name, pair),
            Some(Component::Nsqd),
        ),
        data: Some(data),
        ..ConfigMap::default()
    }
}

fn key(member: u32, file: &str) -> String {
    format!("{member}-{file}")
}

/// Every value is a text that needs no escaping: names and addresses.
fn toml(cluster: &ValidatedCluster, flags: Vec<Flag>) -> String {
    let lines = flags.into_iter().map(|(name, value)| {
        let value = pod::rendered(cluster, Component::Nsqd, None, value);
        format!("{} = \"{value}\"\n", name.replace('-', "_"))
    });
    lines.collect()
}

/// Where nsqd finds out who its peer is.
pub(super) fn nsqd_argument() -> String {
    format!("--config={MOUNTED_AT}/{NSQD_FILE}")
}

pub(super) fn mount() -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: MOUNTED_AT.to_owned(),
        sub_path_expr: Some(format!("$({})", pod::POD_INDEX)),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

pub(super) fn volume(cluster: &ValidatedCluster, pair: u32) -> Volume {
    let files = (0..PAIR_SIZE).flat_map(|member| {
        [NSQD_FILE, MIRROR_FILE].map(|file| KeyToPath {
            key: key(member, file),
            path: format!("{member}/{file}"),
            mode: None,
        })
    });
    Volume {
        name: VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::pair_config(&cluster.name, pair),
            items: Some(files.collect()),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Reads the peer's journal and writes it to the nsqd beside it. It decides nothing and keeps nothing, so it needs
/// no probe: how the link stands is asked of the nsqds.
pub(super) fn mirror(cluster: &ValidatedCluster, replication: &Replication) -> Container {
    // A certificate is for the node's name, not for the loopback address.
    let holder = match cluster.tls {
        Some(_) => pod::rendered(cluster, Component::Nsqd, None, flags::Value::OwnHost),
        None => "127.0.0.1".to_owned(),
    };
    let mut arguments = vec![
        "--mirror".to_owned(),
        format!("--config={MOUNTED_AT}/{MIRROR_FILE}"),
        format!("--holder-tcp-address={holder}:{NSQD_TCP}"),
    ];
    arguments.extend(access::arguments(cluster));
    let mut environment = vec![pod::index()];
    environment.extend(cluster.tls.iter().map(|_| pod::name()));
    environment.extend(access::environment(cluster));
    let mut mounts = vec![mount()];
    mounts.extend(access::mounts(cluster));
    Container {
        name: MIRROR.to_owned(),
        image: Some(cluster.nsqd.image.clone()),
        command: Some(vec!["/usr/local/bin/nsq_to_nsq".to_owned()]),
        args: Some(arguments),
        env: Some(environment),
        resources: replication.resources.clone(),
        volume_mounts: Some(mounts),
        security_context: Some(pod::confined()),
        ..Container::default()
    }
}
