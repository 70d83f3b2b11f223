//! Random histories: whatever happens to a cluster, the planner takes only safe steps and gets there.
//!
//! A small stand-in for Kubernetes executes each plan; between passes, pods become ready, nodes are emptied and
//! the manifest changes. The plan is judged in every pass, and the end has to be an empty one.

use std::collections::{BTreeMap, BTreeSet};

use nsq_operator::api::{NsqCluster, ScaleDown};
use nsq_operator::cluster::build;
use nsq_operator::cluster::decide;
use nsq_operator::cluster::names::{Component, Node, PAIR_SIZE, claim, pair_of_set};
use nsq_operator::cluster::object::{Object, WANTED_HASH};
use nsq_operator::cluster::observed::{
    Backlog, Leaving, LeavingState, Observed, PodState, Process, Relocation, RelocationState,
    Volume,
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
    /// A relocation ends, having moved something or not.
    Relocated(bool),
    /// Whether leaving nodes are emptied.
    ScaleDown(ScaleDown),
    Hibernate(bool),
    /// Larger volumes, in Gi.
    Grow(u32),
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
        any::<bool>().prop_map(Happening::Relocated),
        prop_oneof![Just(ScaleDown::Wait), Just(ScaleDown::Relocate)]
            .prop_map(Happening::ScaleDown),
        any::<bool>().prop_map(Happening::Hibernate),
        (1..4u32).prop_map(Happening::Grow),
    ]
}

struct World {
    cluster: NsqCluster,
    objects: Vec<Object>,
    pods: BTreeMap<String, PodState>,
    depth: BTreeMap<String, i64>,
    /// By volume: a node that is removed and comes back still drains.
    draining: BTreeSet<String>,
    relocations: BTreeMap<String, Relocation>,
    /// Size of each volume, by claim.
    volumes: BTreeMap<String, String>,
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
            draining: BTreeSet::new(),
            relocations: BTreeMap::new(),
            volumes: BTreeMap::new(),
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
                if let Some(name) = nth(&self.pods, *at)
                    && !self.draining.contains(&name)
                {
                    self.depth.insert(name, 7);
                }
            }
            Happening::Empty(at) => {
                if let Some(name) = nth(&self.pods, *at) {
                    self.depth.remove(&name);
                }
            }
            Happening::Relocated(whole) => self.end_relocations(*whole),
            Happening::Hibernate(yes) => spec.hibernate = *yes,
            Happening::Grow(size) => {
                let size = format!("{size}Gi"); // one digit: text order is number order
                let storage = &mut spec.nsqd.storage.size;
                *storage = storage.clone().max(size);
            }
            Happening::ScaleDown(how) => self.cluster.spec.nsqd.scale_down = *how,
        }
        *self.cluster.metadata.generation.get_or_insert(0) += 1;
    }

    fn end_relocations(&mut self, whole: bool) {
        for (pod, relocation) in &mut self.relocations {
            relocation.ended = Some("2026-01-01T00:00:00Z".parse().unwrap());
            relocation.state = match whole {
                true => RelocationState::Complete,
                false => RelocationState::Failed,
            };
            if let Some(depth) = self.depth.remove(pod).filter(|_| whole) {
                *self.depth.entry("demo-nsqd-0-0".to_owned()).or_default() += depth;
            }
        }
    }

    fn observe(&mut self) -> Observed {
        let mut observed = Observed {
            now: NOW.parse().unwrap(),
            objects: self.objects.clone(),
            pods: self.pods.values().cloned().collect(),
            relocations: self.relocations.values().cloned().collect(),
            ..Observed::default()
        };
        let volumes = self.volumes.iter().filter(|(_, size)| !size.is_empty());
        let volumes = volumes.map(|(claim, size)| Volume {
            claim: claim.clone(),
            size: size.clone(),
        });
        observed.volumes = volumes.collect();
        let asked = surplus_pods(&validate(&self.cluster).unwrap(), &observed);
        self.sightings.retain(|pod, _| asked.contains(pod));
        let says = |name: &&String| self.pods.get(*name).is_some_and(|pod| pod.ready);
        let stays = self.draining.iter().filter(|name| !asked.contains(name));
        observed.draining = stays.filter(says).cloned().collect();
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
                    consumers: 0,
                })
            }
            _ => {
                *sightings = 0;
                LeavingState::Unknown("it does not answer".to_owned())
            }
        };
        let draining = self.draining.contains(&pod);
        Leaving {
            pod,
            state,
            draining,
        }
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
                Action::Drain {
                    pod, drain: true, ..
                } => drop(self.draining.insert(pod)),
                Action::Drain { pod, .. } => drop(self.draining.remove(&pod)),
                Action::Relocate { pod, job, .. } => {
                    let hash = job.metadata.annotations.unwrap()[WANTED_HASH].clone();
                    let relocation = Relocation {
                        pod: pod.clone(),
                        wanted_hash: hash,
                        ..Relocation::default()
                    };
                    assert!(self.relocations.insert(pod, relocation).is_none());
                }
                Action::GrowVolume { claim, size } => drop(self.volumes.insert(claim, size)),
                Action::ReplaceSet { set, .. } => {
                    let of = |live: &Object| live.kind() == "StatefulSet" && live.name() == set;
                    self.objects.retain(|live| !of(live));
                }
                Action::EndRelocation { pod, .. } => drop(self.relocations.remove(&pod)),
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
        let sets: Vec<&str> = self.objects.iter().map(Object::name).collect();
        let is_orphan = |pod: &str| !sets.contains(&pod.rsplit_once('-').unwrap().0);
        self.pods
            .retain(|name, _| wanted.contains(name) || is_orphan(name));
        for name in wanted {
            if !self.pods.contains_key(&name) {
                self.made += 1;
                let size = self.claim_size(&name);
                self.volumes.entry(claim(&name)).or_insert(size);
                let pod = PodState {
                    uid: self.made.to_string(),
                    component: Node::from_pod_name("demo", &name).unwrap().component,
                    ready: false,
                    since: NOW.parse().unwrap(),
                    terminating: false,
                    template_hash: template_hash(&self.objects, &name),
                    restarted_at: None,
                    publishing: true,
                    address: Some(name.clone()),
                    machine: None,
                    unplaced: false,
                    process: Process::Running,
                    tls: false,
                    problem: None,
                    name: name.clone(),
                };
                self.pods.insert(name, pod);
            }
        }
    }

    /// Of the volume that a new pod gets; empty for those without one.
    fn claim_size(&self, pod: &str) -> String {
        let (of, _) = pod.rsplit_once('-').unwrap();
        let sizes = self.objects.iter().filter_map(|object| match object {
            Object::StatefulSet(set) if object.name() == of => build::claim_size(set),
            _ => None,
        });
        sizes.map(|size| size.0.clone()).collect()
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
        let replaced: Vec<&Action> = plan
            .actions
            .iter()
            .filter(|action| matches!(action, Action::ReplaceSet { .. }))
            .collect();
        let size = &self.cluster.spec.nsqd.storage.size;
        for action in replaced {
            let Action::ReplaceSet { set, .. } = action else {
                continue;
            };
            let mut own = self
                .volumes
                .iter()
                .filter(|(name, _)| name.starts_with(&claim(set)));
            prop_assert!(own.all(|(_, has)| has == size), "{set} has small volumes");
        }
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
        self.judge_draining(plan)?;
        self.judge_removals(plan)
    }

    /// Only nodes that go are drained and emptied, and only into nodes that stay.
    fn judge_draining(&self, plan: &Plan) -> Result<(), TestCaseError> {
        let wanted = u32::try_from(self.cluster.spec.nsqd.replicas).unwrap();
        let stays = |pod: &String| Node::from_pod_name("demo", pod).unwrap().ordinal < wanted;
        for action in &plan.actions {
            match action {
                Action::Drain { pod, drain, .. } => prop_assert_ne!(stays(pod), *drain, "{}", pod),
                Action::Relocate { pod, to, .. } => {
                    prop_assert!(!stays(pod) && to.iter().all(stays), "{pod} to {to:?}");
                    prop_assert!(self.draining.contains(pod), "{pod} takes messages");
                    prop_assert_eq!(to.len(), usize::try_from(wanted).unwrap());
                }
                _ => {}
            }
        }
        Ok(())
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
            if build::nodes_asleep(set).is_some() {
                prop_assert!(self.cluster.spec.hibernate, "{name} sleeps");
                continue;
            }
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
            let never_ran = !self.sightings.contains_key(&pod);
            prop_assert!(
                never_ran || self.draining.contains(&pod),
                "{pod} takes messages"
            );
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
        world.cluster.spec.hibernate = false;
        // From here on everything goes well: pods start, messages are moved, or consumed.
        if world.cluster.spec.nsqd.scale_down == ScaleDown::Wait {
            world.depth.clear();
        }
        let mut empty = false;
        for _ in 0..100 {
            for pod in world.pods.values_mut() {
                pod.ready = true;
            }
            world.end_relocations(true);
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
        let sizes = world.volumes.iter().filter(|(_, size)| !size.is_empty());
        for (claim, size) in sizes {
            prop_assert_eq!(size, &world.cluster.spec.nsqd.storage.size, "{}", claim);
        }
        prop_assert!(world.relocations.is_empty(), "{:?}", world.relocations);
        let drains = world.pods.keys().find(|pod| world.draining.contains(*pod));
        prop_assert_eq!(drains, None);
        let ready = &world.cluster.status.as_ref().unwrap().conditions[0];
        prop_assert_eq!((ready.type_.as_str(), ready.status.as_str()), ("Ready", "True"));
    }
}
