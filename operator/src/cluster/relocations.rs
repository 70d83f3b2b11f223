//! What planning needs to know of a Job that moves messages off a leaving node.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::names::relocated_by;
use super::object::WANTED_HASH;
use super::observed::{Relocation, RelocationState};
use super::pods::problem;

/// Label that the Job controller puts on a Job's pods.
const JOB: &str = "batch.kubernetes.io/job-name";

/// The state of a relocation; `None` if the Job is something else.
#[must_use]
pub fn relocation_state(job: &Job, pods: &[Pod]) -> Option<Relocation> {
    let name = job.name_any();
    let ended = ["Complete", "Failed"].into_iter().find_map(|type_| {
        let status = job.status.as_ref()?;
        let mut conditions = status.conditions.iter().flatten();
        conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
    });
    let own = |pod: &&Pod| pod.labels().get(JOB) == Some(&name);
    let pod = pods.iter().find(own);
    Some(Relocation {
        pod: relocated_by(&name)?.to_owned(),
        uid: job.uid().unwrap_or_default(),
        wanted_hash: job
            .annotations()
            .get(WANTED_HASH)
            .cloned()
            .unwrap_or_default(),
        terminating: job.metadata.deletion_timestamp.is_some(),
        state: match ended.map(|condition| condition.type_.as_str()) {
            Some("Complete") => RelocationState::Complete,
            Some(_) => RelocationState::Failed,
            None => RelocationState::Running,
        },
        ended: ended.and_then(|condition| Some(condition.last_transition_time.as_ref()?.0)),
        problem: pod.and_then(last_words).or_else(|| problem(pod?)),
    })
}

/// The last line that the program printed before it ended without success.
fn last_words(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended = statuses.first()?.state.as_ref()?.terminated.as_ref()?;
    if ended.exit_code == 0 {
        return None;
    }
    let said = ended.message.as_deref().unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Some(match last {
        Some(line) => line.trim().to_owned(),
        None => format!("it ended with exit code {}", ended.exit_code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_one_is_told_with_its_last_words() {
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": "demo-nsqd-1-0-relocate", "uid": "u", "annotations": {WANTED_HASH: "h"}},
            "status": {"conditions": [{"type": "FailureTarget", "status": "True"},
                {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "labels": {JOB: "demo-nsqd-1-0-relocate"}},
            "status": {"containerStatuses": [{"name": "relocate", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"terminated": {"exitCode": 3, "message": "moved 3\n5 messages are held by consumers\n\n"}}}]},
        }))
        .unwrap();
        let found = relocation_state(&job, &[pod]).unwrap();
        assert_eq!(found.pod, "demo-nsqd-1-0");
        assert_eq!(found.state, RelocationState::Failed);
        let words = "5 messages are held by consumers";
        assert_eq!(found.problem.as_deref(), Some(words));
        assert!(found.ended.is_some());
    }

    #[test]
    fn another_job_is_none_of_ours() {
        let job: Job = serde_json::from_value(json!({"metadata": {"name": "backup"}})).unwrap();
        assert_eq!(relocation_state(&job, &[]), None);
    }
}
