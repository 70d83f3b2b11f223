//! The Job that moves what a node has to others: `nsq_to_nsq --relocate`, once.
//!
//! Whether it is tried again is the planner's to decide, so the Job itself tries once and keeps its last words.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{access, labels, metadata, pod, some};
use crate::cluster::names::{self, NSQD_TCP, Node};
use crate::cluster::object::{WANTED_HASH, hash};
use crate::cluster::validate::ValidatedCluster;

/// Value of the component label: none of a cluster's nodes.
const COMPONENT: &str = "relocation";
const CONTAINER: &str = "relocate";

/// Moves everything unfinished from one node to others.
#[must_use]
pub fn relocation(cluster: &ValidatedCluster, from: Node, to: &[Node]) -> Job {
    let name = names::relocation(&from.pod_name(&cluster.name));
    let labels = labels::with(
        labels::of(&cluster.name, None),
        labels::COMPONENT,
        COMPONENT,
    );
    let mut own = metadata(cluster, name, None);
    own.labels = Some(labels.clone());
    let mut job = Job {
        metadata: own,
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(cluster, from, to)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    };
    let hash = hash(&job);
    job.metadata
        .annotations
        .get_or_insert_default()
        .insert(WANTED_HASH.to_owned(), hash);
    job
}

fn pod_spec(cluster: &ValidatedCluster, from: Node, to: &[Node]) -> PodSpec {
    let address = |node: &Node| {
        let host = node.host(&cluster.name, &cluster.namespace);
        format!("{host}:{NSQD_TCP}")
    };
    let mut arguments = vec![
        "--relocate".to_owned(),
        format!("--nsqd-tcp-address={}", address(&from)),
    ];
    let targets = to.iter().map(address);
    arguments.extend(targets.map(|target| format!("--destination-nsqd-tcp-address={target}")));
    arguments.extend(access::arguments(cluster));
    // Where the nodes may run and pull their image, this may too.
    let overlay = cluster.nsqd.overlay.as_ref();
    let overlay = overlay.and_then(|overlay| overlay.spec.clone());
    let overlay = overlay.unwrap_or_default();
    PodSpec {
        service_account_name: Some(names::service_account(&cluster.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".to_owned()),
        security_context: Some(pod::harmless()),
        containers: vec![Container {
            name: CONTAINER.to_owned(),
            image: Some(cluster.nsqd.image.clone()),
            command: Some(vec!["/usr/local/bin/nsq_to_nsq".to_owned()]),
            args: Some(arguments),
            env: some(access::environment(cluster)),
            volume_mounts: some(access::mounts(cluster)),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            resources: cluster
                .replication
                .as_ref()
                .and_then(|replication| replication.resources.clone()),
            security_context: Some(pod::confined()),
            ..Container::default()
        }],
        volumes: some(access::volumes(cluster)),
        image_pull_secrets: overlay.image_pull_secrets,
        node_selector: overlay.node_selector,
        tolerations: overlay.tolerations,
        priority_class_name: overlay.priority_class_name,
        ..PodSpec::default()
    }
}
