//! The Deployment of a bridge: a pure function of the manifest and of the clusters that it names.

use std::collections::BTreeMap;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::ResourceExt;

use super::observed::{Cluster, Observed};
use crate::api::{AuthSpec, BridgeTlsSpec, NsqBridge, Scalar};
use crate::cluster::build::{
    COMPONENT, MANAGED_BY, OPERATOR, confined, harmless, owner, secret_mount, secret_variable,
    secret_volume, some,
};
use crate::cluster::flags::AUTHORITIES;
use crate::cluster::names::{NSQD_TCP, NSQLOOKUPD_HTTP, Node};
use crate::cluster::object::Object;
use crate::cluster::validate::{Invalid, overlay, requirements};

/// Label of everything that belongs to a bridge: its name.
pub const BRIDGE: &str = "nsq.io/bridge";
/// Value of the component label, and the container's name.
const NAME: &str = "bridge";

/// One of the two sides.
struct End {
    /// `from` or `to`: names of volume and variable.
    side: &'static str,
    /// Name of the option that the client library's options are given by.
    option: &'static str,
    tls_secret: Option<String>,
    auth_secret: Option<String>,
}

impl End {
    fn new(
        side: &'static str,
        option: &'static str,
        cluster: Option<&Cluster>,
        tls: Option<&BridgeTlsSpec>,
        auth: Option<&AuthSpec>,
    ) -> Self {
        let of_cluster = |secret: fn(&Cluster) -> Option<String>| cluster.and_then(secret);
        Self {
            side,
            option,
            tls_secret: tls
                .map(|tls| tls.secret_name.clone())
                .or_else(|| of_cluster(|cluster| cluster.tls_secret.clone())),
            auth_secret: auth
                .map(|auth| auth.secret_name.clone())
                .or_else(|| of_cluster(|cluster| cluster.auth_secret.clone())),
        }
    }

    fn path(&self) -> String {
        format!("/etc/nsq/{}", self.side)
    }

    fn variable(&self) -> String {
        format!("AUTH_{}", self.side.to_uppercase())
    }

    fn arguments(&self) -> Vec<String> {
        let option = |value: String| format!("--{}={value}", self.option);
        let mut arguments = Vec::new();
        if self.tls_secret.is_some() {
            arguments.push(option("tls_v1,true".to_owned()));
            let file = format!("tls_root_ca_file,{}/{AUTHORITIES}", self.path());
            arguments.push(option(file));
        }
        if self.auth_secret.is_some() {
            arguments.push(option(format!("auth_secret,$({})", self.variable())));
        }
        arguments
    }

    fn volume(&self) -> Option<Volume> {
        let secret = self.tls_secret.as_ref()?;
        Some(secret_volume(self.side, secret))
    }

    fn mount(&self) -> Option<VolumeMount> {
        let secret = self.tls_secret.as_ref();
        secret.map(|_| secret_mount(self.side, &self.path()))
    }

    fn environment(&self) -> Option<EnvVar> {
        let secret = self.auth_secret.as_ref()?;
        Some(secret_variable(&self.variable(), secret))
    }
}

/// A label selector, as text, for the pods of a bridge.
pub fn selector(bridge: &str) -> String {
    format!("{COMPONENT}={NAME},{BRIDGE}={bridge}")
}

fn labels(bridge: &str) -> BTreeMap<String, String> {
    [(COMPONENT, NAME), (BRIDGE, bridge)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// # Errors
/// The pod template of the manifest is none.
pub fn deployment(bridge: &NsqBridge, observed: &Observed) -> Result<Object, Invalid> {
    let (name, spec) = (bridge.name_any(), &bridge.spec);
    let ends = [
        End::new(
            "from",
            "consumer-opt",
            observed.source.as_ref(),
            spec.from.tls.as_ref(),
            spec.from.auth.as_ref(),
        ),
        End::new(
            "to",
            "producer-opt",
            observed.target.as_ref(),
            spec.to.tls.as_ref(),
            spec.to.auth.as_ref(),
        ),
    ];
    let mut arguments = arguments(bridge, observed);
    arguments.extend(ends.iter().flat_map(End::arguments));
    let mut own = labels(&name);
    own.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(own.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(harmless()),
            containers: vec![container(bridge, arguments, &ends)],
            volumes: some(ends.iter().filter_map(End::volume).collect()),
            ..PodSpec::default()
        }),
    };
    if let Some(overlay) = overlay("spec.podTemplate", spec.pod_template.as_ref())? {
        template.merge_from(overlay);
    }
    let deployment = Deployment {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: bridge.namespace(),
            labels: Some(own),
            owner_references: Some(vec![owner::<NsqBridge>(
                &name,
                &bridge.uid().unwrap_or_default(),
            )]),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: Some(spec.replicas),
            selector: LabelSelector {
                match_labels: Some(labels(&name)),
                ..LabelSelector::default()
            },
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    };
    Ok(Object::Deployment(Box::new(deployment)).sealed())
}

fn container(bridge: &NsqBridge, arguments: Vec<String>, ends: &[End]) -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(bridge.spec.image.clone()),
        command: Some(vec!["/usr/local/bin/nsq_to_nsq".to_owned()]),
        args: Some(arguments),
        env: some(ends.iter().filter_map(End::environment).collect()),
        volume_mounts: some(ends.iter().filter_map(End::mount).collect()),
        resources: bridge.spec.resources.as_ref().map(requirements),
        security_context: Some(confined()),
        ..Container::default()
    }
}

fn arguments(bridge: &NsqBridge, observed: &Observed) -> Vec<String> {
    let spec = &bridge.spec;
    let namespace = bridge.namespace().unwrap_or_default();
    let each = |nodes: u32, of: fn(u32) -> Node, cluster: &str, port: u16| -> Vec<String> {
        let address = |node: Node| format!("{}:{port}", node.host(cluster, &namespace));
        (0..nodes).map(of).map(address).collect()
    };
    let mut lookups = spec.from.lookupd_http_addresses.clone();
    if let Some(source) = &observed.source {
        lookups.extend(each(
            source.nsqlookupds,
            Node::nsqlookupd,
            &source.name,
            NSQLOOKUPD_HTTP,
        ));
    }
    let mut targets = spec.to.nsqd_tcp_addresses.clone();
    if let Some(target) = &observed.target {
        targets.extend(each(target.nsqds, Node::nsqd, &target.name, NSQD_TCP));
    }
    let flags = |name: &str, values: &[String]| -> Vec<String> {
        let flag = |value: &String| format!("--{name}={value}");
        values.iter().map(flag).collect()
    };
    let pairs = |name: &str, options: &BTreeMap<String, Scalar>| -> Vec<String> {
        let flag = |(option, value): (&String, &Scalar)| format!("--{name}={option},{value}");
        options.iter().map(flag).collect()
    };
    let mut arguments = flags("topic", &spec.topics);
    arguments.push(format!("--channel={}", spec.channel));
    let to = spec.destination_topic.iter();
    arguments.extend(to.map(|topic| format!("--destination-topic={topic}")));
    arguments.extend(flags("lookupd-http-address", &lookups));
    arguments.extend(flags("nsqd-tcp-address", &spec.from.nsqd_tcp_addresses));
    arguments.extend(flags("destination-nsqd-tcp-address", &targets));
    let options = spec.options.iter();
    arguments.extend(options.map(|(name, value)| format!("--{name}={value}")));
    arguments.extend(pairs("consumer-opt", &spec.consumer_options));
    arguments.extend(pairs("producer-opt", &spec.producer_options));
    arguments
}
