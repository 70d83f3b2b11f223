//! Mutations of the operator: what it destroys, and on which proof.

use super::{Check, Mutation};
use Check::Tests;

const PLANNER: Check = Tests(&["-p", "nsq-operator", "--test", "planner"]);
const FENCING: &str = "operator/src/cluster/plan/fencing.rs";
const SCALE: &str = "operator/src/cluster/plan/scale.rs";

pub const OPERATOR: &[Mutation] = &[
    Mutation {
        name: "replace a volume without proof that it is lost",
        file: FENCING,
        old: "unplaced && (gone || claim.lost) && member.is_lost()",
        new: "unplaced && (gone || claim.lost || unplaced) && member.is_lost()",
        checks: &[PLANNER],
    },
    Mutation {
        name: "replace a volume whose machine is merely off",
        file: FENCING,
        old: "!machine.exists || machine.out_of_service",
        new: "!machine.exists || machine.out_of_service || !machine.ready",
        checks: &[PLANNER],
    },
    Mutation {
        name: "replace a volume that nobody has adopted",
        file: FENCING,
        old: "member.is_lost() && member.adopted() == Adopted::Wholly\n}",
        new: "member.is_lost()\n}",
        checks: &[PLANNER],
    },
    Mutation {
        name: "replace a volume that goes with its claim",
        file: FENCING,
        old: "if !claim.retained && !claim.volume.is_empty() {",
        new: "if !claim.retained && claim.volume.is_empty() {",
        checks: &[PLANNER],
    },
    Mutation {
        name: "delete a pod by force without proof",
        file: FENCING,
        old: "NodeLossPolicy::Wait => None,",
        new: "NodeLossPolicy::Wait => Some(force(pod, String::new())),",
        checks: &[PLANNER],
    },
    Mutation {
        name: "believe a policy when many machines are silent",
        file: FENCING,
        old: "|| lost_machines(observed) > 1 {",
        new: "|| lost_machines(observed) > 99 {",
        checks: &[PLANNER],
    },
    Mutation {
        name: "remove a node that was seen empty once",
        file: SCALE,
        old: "LeavingState::Empty { sightings } if *sightings >= EMPTY_SIGHTINGS => None,",
        new: "LeavingState::Empty { sightings } if *sightings >= 1 => None,",
        checks: &[PLANNER],
    },
    Mutation {
        name: "remove a node that cannot be asked",
        file: SCALE,
        old: "match &leaving.state {\n        LeavingState::Unknown(why) =>",
        new: "match &leaving.state {\n        LeavingState::Unknown(_) if leaving.draining || !leaving.pod.is_empty() => None,\n        LeavingState::Unknown(why) =>",
        checks: &[PLANNER],
    },
    Mutation {
        name: "remove a node that takes messages",
        file: SCALE,
        old: "_ if !leaving.draining =>",
        new: "_ if !leaving.draining && running_nodes(cluster, observed) == 0 =>",
        checks: &[PLANNER],
    },
    Mutation {
        name: "restart both nodes of a pair",
        file: "operator/src/cluster/plan/roll.rs",
        old: "(all_there && all_ready).then",
        new: "(all_there || all_ready).then",
        checks: &[PLANNER],
    },
    Mutation {
        name: "restart a node that is not mirrored",
        file: "operator/src/cluster/plan/pairs.rs",
        old: "(probed && (settled || between))",
        new: "(probed || settled || between)",
        checks: &[PLANNER],
    },
];
