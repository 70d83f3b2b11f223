//! Whatever is observed of a replicated pair, nothing is destroyed without proof, and nobody adopts blindly.

use nsq_http_api::{AdoptionStatus, MirrorStatus, PairStatus};
use nsq_operator::api::NsqCluster;
use nsq_operator::cluster::decide;
use nsq_operator::cluster::observed::{Claim, Machine, Observed, PodState, Process};
use nsq_operator::cluster::plan::{Action, LOST_AFTER};
use nsq_operator::cluster::pulse::Pulse;
use proptest::prelude::*;
use serde_json::json;

use crate::scenario::{NOW, live_objects, template_hash};

/// What is to be known of one node of the pair.
#[derive(Debug, Clone)]
struct Node {
    ready: bool,
    terminating: bool,
    unplaced: bool,
    process: u8,
    failures: u32,
    silent_for: i64,
    holder_link: bool,
    mirrored: bool,
    adopted: Option<(u64, bool)>,
    machine: (bool, bool, bool, bool, i64),
    claim: Option<(bool, bool)>,
}

prop_compose! {
    fn node()(
        (ready, terminating, unplaced, process) in (any::<bool>(), any::<bool>(), any::<bool>(), 0..3u8),
        failures in prop_oneof![Just(0u32), 1..100u32],
        silent_for in 0..120i64,
        (holder_link, mirrored) in (any::<bool>(), any::<bool>()),
        adopted in prop::option::of((50..150u64, any::<bool>())),
        machine in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..120i64),
        claim in prop::option::of((any::<bool>(), any::<bool>())),
    ) -> Node {
        Node { ready, terminating, unplaced, process, failures, silent_for, holder_link, mirrored, adopted, machine, claim }
    }
}

fn name(at: usize) -> String {
    format!("demo-nsqd-0-{at}")
}

fn cluster(policy: &str) -> NsqCluster {
    serde_json::from_value(json!({
        "apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster",
        "metadata": {"name": "demo", "namespace": "default", "uid": "u", "generation": 1},
        "spec": {"image": "nsq:0", "nsqd": {"storage": {"size": "1Gi"}, "replication": {}, "nodeLossPolicy": policy}},
    }))
    .unwrap()
}

fn observe(cluster: &NsqCluster, nodes: &[Node; 2]) -> Observed {
    let now: jiff::Timestamp = NOW.parse().unwrap();
    let ago = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
    let objects = live_objects(cluster);
    let mut observed = Observed {
        now,
        ..Observed::default()
    };
    for (at, node) in nodes.iter().enumerate() {
        let (exists, ready, out_of_service, shut_down, since) = node.machine;
        observed.machines.push(Machine {
            name: format!("m{at}"),
            uid: format!("m{at}"),
            address: String::new(),
            exists,
            ready,
            since: ago(since),
            out_of_service,
            tainted_by_us: false,
            shut_down,
        });
        observed.pods.push(PodState {
            uid: format!("uid-{at}"),
            component: nsq_operator::cluster::names::Component::Nsqd,
            ready: node.ready,
            since: ago(node.silent_for),
            terminating: node.terminating,
            template_hash: template_hash(&objects, &name(at)),
            restarted_at: None,
            publishing: true,
            address: Some(format!("{}:4151", name(at))),
            machine: (!node.unplaced).then(|| format!("m{at}")),
            unplaced: node.unplaced,
            process: [Process::Running, Process::Starting, Process::Ended]
                [usize::from(node.process)],
            tls: false,
            problem: None,
            name: name(at),
        });
        observed.pulses.push(Pulse {
            pod: name(at),
            uid: format!("uid-{at}"),
            answered: node.failures == 0 || node.holder_link,
            failures: node.failures,
            silent_since: (node.failures > 0).then(|| ago(node.silent_for)),
            pair: Some(PairStatus {
                node: name(at),
                peer: name(1 - at),
                incarnation: format!("{at:016x}"),
                mirrored: node.mirrored,
                holder_link: node.holder_link,
                mirror: Some(MirrorStatus {
                    node: name(1 - at),
                    incarnation: format!("{:016x}", 1 - at),
                    run: 1,
                    end: 100,
                    whole: true,
                }),
                adoption: node.adopted.map(|(through, done)| AdoptionStatus {
                    incarnation: format!("{:016x}", 1 - at),
                    run: 1,
                    through,
                    done,
                }),
                ..PairStatus::default()
            }),
            hidden: true,
        });
        observed
            .claims
            .extend(node.claim.map(|(retained, lost)| Claim {
                pod: name(at),
                name: format!("data-{}", name(at)),
                uid: format!("claim-{at}"),
                volume: format!("volume-{at}"),
                retained,
                lost,
                machine: Some(format!("m{at}")),
                terminating: false,
            }));
    }
    observed.objects = objects;
    observed
}

/// Everything a node had is its peer's.
fn adopted(nodes: &[Node; 2], lost: usize) -> bool {
    let through = nodes[1 - lost].adopted;
    through.is_some_and(|(through, done)| through >= 100 && done)
}

fn judge(nodes: &[Node; 2], policy: &str, action: &Action) -> Result<(), TestCaseError> {
    let of = |pod: &str| usize::from(pod.ends_with('1'));
    let answers = |at: usize| nodes[at].failures == 0;
    let fenced = |at: usize| {
        let (exists, _, out_of_service, shut_down, _) = nodes[at].machine;
        !exists || out_of_service || shut_down
    };
    let long_lost = |at: usize| {
        let (_, ready, _, _, since) = nodes[at].machine;
        let long = LOST_AFTER.as_secs();
        !ready && since >= long && nodes[at].silent_for >= long && adopted(nodes, at)
    };
    match action {
        Action::Adopt { pod, .. } => {
            let survivor = of(pod);
            prop_assert!(answers(survivor) && !answers(1 - survivor));
            prop_assert!(!nodes[survivor].holder_link, "its peer hears it");
        }
        Action::ForceDelete { pod, .. } => {
            let lost = of(pod);
            prop_assert!(answers(1 - lost) && !answers(lost));
            prop_assert!(fenced(lost) || (policy == "ForceDelete" && long_lost(lost)));
        }
        Action::Taint { machine, .. } => {
            let lost = of(machine);
            prop_assert!(policy == "OutOfServiceTaint" && long_lost(lost));
            prop_assert!(answers(1 - lost) && !answers(lost));
        }
        Action::RetainVolume { volume: what, .. } | Action::ReplaceVolume { claim: what, .. } => {
            let lost = of(what);
            let (exists, _, out_of_service, _, _) = nodes[lost].machine;
            let (retained, unbound) = nodes[lost].claim.unwrap();
            prop_assert!(
                !exists || out_of_service || unbound,
                "its disk may come back"
            );
            prop_assert!(adopted(nodes, lost), "its messages are nowhere else");
            prop_assert!(answers(1 - lost) && !answers(lost) && nodes[lost].unplaced);
            let lets_go = matches!(action, Action::ReplaceVolume { .. });
            prop_assert!(!lets_go || retained, "the volume goes with its claim");
        }
        Action::Restart { .. } | Action::Publish { .. } | Action::Hide { .. } => {}
        other => prop_assert!(false, "nothing else is to be done: {other:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_destroyed_without_proof(
        nodes in [node(), node()],
        policy in prop::sample::select(vec!["Wait", "OutOfServiceTaint", "ForceDelete"]),
    ) {
        let cluster = cluster(policy);
        let plan = decide(&cluster, &observe(&cluster, &nodes));
        let mut destroying = 0;
        for action in &plan.actions {
            judge(&nodes, policy, action)?;
            destroying += usize::from(!action.is_harmless() && !matches!(action, Action::Publish { .. }));
        }
        prop_assert!(destroying <= 1, "one step at a time: {:?}", plan.actions);
    }
}
