//! Random histories: whatever happens to a cluster, the planner takes only safe steps and gets there.
//!
//! A small stand-in for Kubernetes executes each plan; between passes, pods become ready, nodes are emptied and
//! the manifest changes. The plan is judged in every pass, and the end has to be an empty one.

use std::collections::BTreeMap;

use nsq_operator::api::NsqCluster;
use nsq_operator::cluster::decide;
use nsq_operator::cluster::names::{Component, Node, PAIR_SIZE, pair_of_set};
use nsq_operator::cluster::object::Object;
use nsq_operator::cluster::observed::{
    Backlog, Leaving, LeavingState, Observed, PodState, Process,
};
use nsq_operator::cluster::plan::{Action, EMPTY_SIGHTINGS, Plan, surplus_pods};
use nsq_operator::cluster::validate::validate;
use proptest::prelude::*;
use serde_json::json;

use crate::scenario::{NOW, settle, template_hash};

/// What may happen between two passes.
#[derive(Debug, Clone)]
enum Happening {
    Scale(i32),
    Lookups(i32),
    Image(u8),
    /// A pod dies; it comes back by itself.
    Crash(usize),
    /// A pod gets ready.
    Start(usize),
    /// A node receives messages.
    Fill(usize),
    /// A node's messages are consumed.
    Empty(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..7i32).prop_map(Happening::Scale),
        (1..4i32).prop_map(Happening::Lookups),
        (0..3u8).prop_map(Happening::Image),
        (0..9usize).prop_map(Happening::Crash),
        (0..9usize).prop_map(Happening::Start),
        (0..9usize).prop_map(Happening::Start),
        (0..9usize).prop_map(Happening::Fill),
        (0..9usize).prop_map(Happening::Empty),
    ]
}

struct World {
    cluster: NsqCluster,
    objects: Vec<Object>,
    pods: BTreeMap<String, PodState>,
    depth: BTreeMap<String, i64>,
    sightings: BTreeMap<String, u32>,
    made: u32,
}

impl World {
    fn new() -> Self {
        let cluster = serde_json::from_value(json!({
            "apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster",
            "metadata": {"name": "demo", "namespace": "default", "uid": "u", "generation": 1},
            "spec": {"image": "nsq:0", "nsqd": {"replicas": 2, "storage": {"size": "1Gi"}}},
        }))
        .unwrap();
        Self {
            cluster,
            objects: Vec::new(),
            pods: BTreeMap::new(),
            depth: BTreeMap::new(),
            sightings: BTreeMap::new(),
            made: 0,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let nth = |pods: &BTreeMap<String, PodState>, at: usize| {
            pods.keys().nth(at % pods.len().max(1)).cloned()
        };
        let spec = &mut self.cluster.spec;
        match happening {
            Happening::Scale(replicas) => spec.nsqd.replicas = *replicas,
            Happening::Lookups(replicas) => spec.nsqlookupd.replicas = *replicas,
            Happening::Image(image) => spec.image = format!("nsq:{image}"),
            Happening::Crash(at) => {
                if let Some(name) = nth(&self.pods, *at) {
                    self.pods.get_mut(&name).unwrap().ready = false;
                }
            }
            Happening::Start(at) => {
                if let Some(name) = nth(&self.pods, *at) {
                    self.pods.get_mut(&name).unwrap().ready = true;
                }
            }
            Happening::Fill(at) => {
                if let Some(name) = nth(&self.pods, *at) {
                    self.depth.insert(name, 7);
                }
            }
            Happening::Empty(at) => {
                if let Some(name) = nth(&self.pods, *at) {
                    self.depth.remove(&name);
                }
            }
        }
        *self.cluster.metadata.generation.get_or_insert(0) += 1;
    }

    fn observe(&mut self) -> Observed {
        let mut observed = Observed {
            now: NOW.parse().unwrap(),
            objects: self.objects.clone(),
            pods: self.pods.values().cloned().collect(),
            ..Observed::default()
        };
        let asked = surplus_pods(&validate(&self.cluster).unwrap(), &observed);
        self.sightings.retain(|pod, _| asked.contains(pod));
        observed.leaving = asked.into_iter().map(|pod| self.ask(pod)).collect();
        observed
    }

    fn ask(&mut self, pod: String) -> Leaving {
        let depth = self.depth.get(&pod).copied().unwrap_or(0);
        let sightings = self.sightings.entry(pod.clone()).or_default();
        let state = match self.pods.get(&pod) {
            Some(state) if state.ready && depth == 0 => {
                *sightings += 1;
                LeavingState::Empty {
                    sightings: *sightings,
                }
            }
            Some(state) if state.ready => {
                *sightings = 0;
                LeavingState::Holds(Backlog {
                    places: 1,
                    topic: "t".to_owned(),
                    channel: None,
                    waiting: depth,
                    in_flight: 0,
                    deferred: 0,
                })
            }
            _ => {
                *sightings = 0;
                LeavingState::Unknown("it does not answer".to_owned())
            }
        };
        Leaving { pod, state }
    }

    fn execute(&mut self, plan: Plan) {
        for deletion in &plan.delete {
            self.objects
                .retain(|live| live.kind() != deletion.kind || live.name() != deletion.name);
        }
        for mut object in plan.apply {
            settle(&mut object);
            self.objects.retain(|live| !live.is_same(&object));
            self.objects.push(object);
        }
        for action in plan.actions {
            match action {
                Action::Restart { pod, .. } => drop(self.pods.remove(&pod)),
                Action::Publish { pod, publish, .. } => {
                    self.pods.get_mut(&pod).unwrap().publishing = publish;
                }
                other => panic!("without replication nobody does this: {other:?}"),
            }
        }
        self.cluster.status = Some(plan.status);
        self.run_sets();
    }

    /// The StatefulSet controller.
    fn run_sets(&mut self) {
        let mut wanted = Vec::new();
        for object in &self.objects {
            if let Object::StatefulSet(set) = object {
                let name = set.metadata.name.as_ref().unwrap();
                let replicas = set.spec.as_ref().unwrap().replicas.unwrap();
                wanted.extend((0..replicas).map(|index| format!("{name}-{index}")));
            }
        }
        self.pods.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if !self.pods.contains_key(&name) {
                self.made += 1;
                let pod = PodState {
                    uid: self.made.to_string(),
                    component: Node::from_pod_name("demo", &name).unwrap().component,
                    ready: false,
                    since: NOW.parse().unwrap(),
                    terminating: false,
                    template_hash: template_hash(&self.objects, &name),
                    restarted_at: None,
                    publishing: true,
                    address: None,
                    machine: None,
                    unplaced: false,
                    process: Process::Running,
                    problem: None,
                    name: name.clone(),
                };
                self.pods.insert(name, pod);
            }
        }
    }

    /// What no plan may do.
    fn judge(&self, plan: &Plan) -> Result<(), TestCaseError> {
        let restarts: Vec<&str> = plan
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Restart { pod, .. } => Some(pod.as_str()),
                _ => None,
            })
            .collect();
        prop_assert!(restarts.len() <= 1, "more than one restart: {restarts:?}");
        for pod in restarts {
            let state = &self.pods[pod];
            let mut peers = self
                .pods
                .values()
                .filter(|peer| peer.component == state.component && peer.name != state.name);
            let peers_ready = peers.all(|peer| peer.ready);
            prop_assert!(
                !state.ready || peers_ready,
                "a healthy {pod} is restarted while a peer is down"
            );
        }
        for deletion in &plan.delete {
            prop_assert!(
                deletion.kind != "StatefulSet",
                "{} is deleted",
                deletion.name
            );
        }
        self.judge_removals(plan)
    }

    /// A node goes only when it is empty, and only one at a time.
    fn judge_removals(&self, plan: &Plan) -> Result<(), TestCaseError> {
        let mut removed = Vec::new();
        for object in &plan.apply {
            let Object::StatefulSet(set) = object else {
                continue;
            };
            let name = set.metadata.name.as_ref().unwrap();
            let Some(pair) = pair_of_set("demo", name) else {
                continue;
            };
            let kept = u32::try_from(set.spec.as_ref().unwrap().replicas.unwrap()).unwrap();
            removed.extend((kept..PAIR_SIZE).filter_map(|member| {
                let pod = Node::nsqd(pair * PAIR_SIZE + member).pod_name("demo");
                self.pods.contains_key(&pod).then_some(pod)
            }));
        }
        prop_assert!(
            removed.len() <= 1,
            "more than one node removed: {removed:?}"
        );
        for pod in removed {
            prop_assert_eq!(self.depth.get(&pod), None, "{} holds messages", pod);
            prop_assert!(self.sightings[&pod] >= EMPTY_SIGHTINGS);
            let staying = u32::try_from(self.cluster.spec.nsqd.replicas).unwrap();
            for ordinal in 0..staying {
                let peer = Node::nsqd(ordinal).pod_name("demo");
                prop_assert!(
                    self.pods[&peer].ready,
                    "{pod} is removed while {peer} is down"
                );
            }
        }
        Ok(())
    }

    fn pass(&mut self) -> Result<bool, TestCaseError> {
        let observed = self.observe();
        let plan = decide(&self.cluster, &observed);
        self.judge(&plan)?;
        let empty = plan.is_empty(&self.cluster);
        self.execute(plan);
        Ok(empty)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_is_safe_and_every_history_ends_in_an_empty_plan(
        happenings in prop::collection::vec(happening(), 0..40)
    ) {
        let mut world = World::new();
        world.pass()?;
        for happening in &happenings {
            world.happen(happening);
            world.pass()?;
        }
        // From here on everything goes well: pods start, messages are consumed.
        world.depth.clear();
        let mut empty = false;
        for _ in 0..100 {
            for pod in world.pods.values_mut() {
                pod.ready = true;
            }
            empty = world.pass()?;
            if empty {
                break;
            }
        }
        prop_assert!(empty, "no end after 100 quiet passes");
        let nsqds = world.pods.values().filter(|pod| pod.component == Component::Nsqd);
        prop_assert_eq!(
            i32::try_from(nsqds.count()).unwrap(),
            world.cluster.spec.nsqd.replicas
        );
        let ready = &world.cluster.status.as_ref().unwrap().conditions[0];
        prop_assert_eq!((ready.type_.as_str(), ready.status.as_str()), ("Ready", "True"));
    }
}
