//! Pod templates: what runs, how it is probed, where it may be placed, what it may do.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    Lifecycle, LifecycleHandler, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext,
    SleepAction, TCPSocketAction, TopologySpreadConstraint, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::{self, Labels};
use super::{access, external, replication, some};
use crate::cluster::flags::{self, Value};
use crate::cluster::names::{self, Component};
use crate::cluster::object::hash;
use crate::cluster::validate::{Daemon, ValidatedCluster};

/// Volume and volume claim of each nsqd.
pub const DATA_VOLUME: &str = "data";
/// Annotation of pods: what the template they were made from said. Leaves out everything of the operator's own, so
/// that upgrading the operator restarts nothing unless it changes what runs.
pub const TEMPLATE_HASH: &str = "nsq.io/template-hash";
/// Annotation that `kubectl rollout restart` puts on the template.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Variable with the pod's number within its set.
pub(super) const POD_INDEX: &str = "POD_INDEX";

const DATA_PATH: &str = "/data";
const USER: i64 = 65532;
const ZONE: &str = "topology.kubernetes.io/zone";
const MACHINE: &str = "kubernetes.io/hostname";

/// A clean stop writes out what is only in memory and waits for the disk. Taking long costs nothing; being cut
/// short costs messages at durability `memory`.
const NSQD_GRACE_SECONDS: i64 = 120;
const NSQLOOKUPD_GRACE_SECONDS: i64 = 10;
/// The Service's endpoints have to forget the pod before it stops answering.
const ENDPOINTS_SECONDS: i64 = 2;
/// Recovery replays the journal before the ports open: 300 x 2 s, then the kubelet tries anew.
const STARTUP_FAILURES: i32 = 300;

pub(super) fn nsqd(cluster: &ValidatedCluster, pair: u32) -> PodTemplateSpec {
    let mut container = container(cluster, Component::Nsqd, Some(pair));
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(VolumeMount {
        name: DATA_VOLUME.to_owned(),
        mount_path: DATA_PATH.to_owned(),
        ..VolumeMount::default()
    });
    container.lifecycle = Some(Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction {
                seconds: ENDPOINTS_SECONDS,
            }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    });
    // The two of a pair are each other's insurance, so they never share a machine.
    let apart = PodAntiAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![per_machine(
            labels::pair_selector(&cluster.name, pair),
        )]),
        ..PodAntiAffinity::default()
    };
    let labels = labels::with(
        labels::of_pair(&cluster.name, pair),
        labels::PUBLISH,
        "true",
    );
    let mut spec = pod_spec(cluster, Component::Nsqd, container, apart);
    if let Some(replicated) = &cluster.replication {
        for nsqd in &mut spec.containers {
            nsqd.args
                .get_or_insert_default()
                .push(replication::nsqd_argument());
            let mounts = nsqd.volume_mounts.get_or_insert_default();
            mounts.push(replication::mount());
        }
        let mirror = replication::mirror(cluster, replicated);
        spec.containers.push(mirror);
        let volumes = spec.volumes.get_or_insert_default();
        volumes.push(replication::volume(cluster, pair));
    }
    finish(labels, spec, &cluster.nsqd)
}

pub(super) fn nsqlookupd(cluster: &ValidatedCluster) -> PodTemplateSpec {
    let component = Component::Nsqlookupd;
    let mut container = container(cluster, component, None);
    if let Some(mount) = external::mount(cluster) {
        container.volume_mounts.get_or_insert_default().push(mount);
    }
    let apart = PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
            weight: 100,
            pod_affinity_term: per_machine(labels::selector(&cluster.name, Some(component))),
        }]),
        ..PodAntiAffinity::default()
    };
    let mut spec = pod_spec(cluster, component, container, apart);
    if let Some(volume) = external::volume(cluster) {
        spec.volumes.get_or_insert_default().push(volume);
    }
    let labels = labels::of(&cluster.name, Some(component));
    finish(labels, spec, &cluster.nsqlookupd)
}

/// Lays the manifest's own template over ours and writes down what came of it.
fn finish(labels: Labels, spec: PodSpec, daemon: &Daemon) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    };
    if let Some(overlay) = &daemon.overlay {
        template.merge_from(overlay.clone());
    }
    let hash = hash(&template);
    template
        .metadata
        .get_or_insert_default()
        .annotations
        .get_or_insert_default()
        .insert(TEMPLATE_HASH.to_owned(), hash);
    template
}

fn pod_spec(
    cluster: &ValidatedCluster,
    component: Component,
    container: Container,
    apart: PodAntiAffinity,
) -> PodSpec {
    let grace = match component {
        Component::Nsqd => NSQD_GRACE_SECONDS,
        Component::Nsqlookupd => NSQLOOKUPD_GRACE_SECONDS,
    };
    PodSpec {
        service_account_name: Some(names::service_account(&cluster.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace),
        security_context: Some(harmless()),
        affinity: Some(Affinity {
            pod_anti_affinity: Some(apart),
            ..Affinity::default()
        }),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: ZONE.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selecting(labels::selector(&cluster.name, Some(component)))),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![container],
        volumes: some(access::daemon_volumes(cluster)),
        ..PodSpec::default()
    }
}

fn container(cluster: &ValidatedCluster, component: Component, pair: Option<u32>) -> Container {
    let daemon = match component {
        Component::Nsqd => &cluster.nsqd,
        Component::Nsqlookupd => &cluster.nsqlookupd,
    };
    Container {
        name: component.to_string(),
        image: Some(daemon.image.clone()),
        command: Some(vec![format!("/usr/local/bin/{component}")]),
        args: Some(arguments(cluster, component, pair)),
        env: Some(vec![name(), index()]),
        ports: Some(ports(cluster, component)),
        volume_mounts: some(access::daemon_mounts(cluster)),
        resources: daemon.resources.clone(),
        startup_probe: Some(listening(2, STARTUP_FAILURES)),
        // Not /ping: that says no when the disk is full, and restarting does not make room.
        liveness_probe: Some(listening(10, 3)),
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/ping".to_owned()),
                port: IntOrString::String(probed(cluster).to_owned()),
                ..HTTPGetAction::default()
            }),
            period_seconds: Some(2),
            timeout_seconds: Some(2),
            failure_threshold: Some(2),
            ..Probe::default()
        }),
        security_context: Some(confined()),
        ..Container::default()
    }
}

/// Name of the port that is probed: where no token is needed.
fn probed(cluster: &ValidatedCluster) -> &'static str {
    match cluster.http_tokens {
        Some(_) => "read-only",
        None => "http",
    }
}

fn ports(cluster: &ValidatedCluster, component: Component) -> Vec<ContainerPort> {
    let mut ports = vec![
        port("tcp", component.tcp_port()),
        port("http", component.http_port()),
    ];
    let https = cluster.tls.iter();
    ports.extend(https.map(|_| port("https", component.https_port())));
    let tokens = cluster.http_tokens.iter();
    ports.extend(tokens.map(|_| port("read-only", component.read_only_port())));
    if cluster.external.is_some() && component == Component::Nsqlookupd {
        ports.push(port("external", names::NSQLOOKUPD_EXTERNAL));
    }
    ports
}

/// The pod's name.
pub(super) fn name() -> EnvVar {
    from_field("POD_NAME", "metadata.name")
}

/// The pod's number within its set.
pub(super) fn index() -> EnvVar {
    let label = "metadata.labels['apps.kubernetes.io/pod-index']";
    from_field(POD_INDEX, label)
}

/// As whom the containers of a pod run: nobody.
pub(crate) fn harmless() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // Without this, every start walks over the whole volume.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// What a container may do: nothing but its work.
pub(crate) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        ..SecurityContext::default()
    }
}

fn arguments(cluster: &ValidatedCluster, component: Component, pair: Option<u32>) -> Vec<String> {
    flags::flags(cluster, component)
        .into_iter()
        .map(|(name, value)| format!("--{name}={}", rendered(cluster, component, pair, value)))
        .collect()
}

/// An option's value as a pod of this set is told it.
pub(super) fn rendered(
    cluster: &ValidatedCluster,
    component: Component,
    pair: Option<u32>,
    value: Value,
) -> String {
    match value {
        Value::Text(text) => text,
        Value::ListenTcp => format!("0.0.0.0:{}", component.tcp_port()),
        Value::ListenHttp => format!("0.0.0.0:{}", component.http_port()),
        Value::ListenHttps => format!("0.0.0.0:{}", component.https_port()),
        Value::ListenReadOnly => format!("0.0.0.0:{}", component.read_only_port()),
        Value::ListenExternal => format!("0.0.0.0:{}", names::NSQLOOKUPD_EXTERNAL),
        Value::ExternalAddresses => external::file(),
        Value::TokenFile => access::token_file(),
        Value::TlsFile(name) => access::tls_file(name),
        Value::OwnHost => {
            let service = names::headless_service(&cluster.name, component);
            format!("$(POD_NAME).{service}.{}.svc", cluster.namespace)
        }
        Value::OwnName => "$(POD_NAME)".to_owned(),
        Value::DataPath => DATA_PATH.to_owned(),
        // Pods of a set share one template, so the number is put together by the kubelet: 10 x pair + member.
        Value::NodeId => match pair {
            None | Some(0) => format!("$({POD_INDEX})"),
            Some(pair) => format!("{pair}$({POD_INDEX})"),
        },
        Value::TcpOf(node) => format!(
            "{}:{}",
            node.host(&cluster.name, &cluster.namespace),
            node.component.tcp_port()
        ),
    }
}

fn listening(period: i32, failures: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String("http".to_owned()),
            ..TCPSocketAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn per_machine(selector: Labels) -> PodAffinityTerm {
    PodAffinityTerm {
        label_selector: Some(selecting(selector)),
        topology_key: MACHINE.to_owned(),
        ..PodAffinityTerm::default()
    }
}

fn selecting(labels: Labels) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
