//! Doing: the steps on pods, machines and volumes, and the orders to nsqds and nsqlookupds.

use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use nsq_http_api::{AdoptOrder, ErrorKind};
use serde_json::json;
use tracing::warn;

use super::apply::{Failure, done, exactly, gone_is_fine};
use super::build::PUBLISH;
use super::machines::{OUT_OF_SERVICE, TAINTED_BY};
use super::names::relocation;
use super::plan::Action;
use crate::api::NsqCluster;
use crate::runtime::context::{Context, key_of};

/// Carries out one step.
///
/// # Errors
/// It was refused, or nobody answered.
pub(super) async fn act(
    context: &Context,
    namespace: &str,
    cluster: &str,
    action: &Action,
) -> Result<(), Failure> {
    let client = &context.client;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match action {
        Action::Restart { pod, uid, .. } => {
            let deleted = pods.delete(pod, &exactly(uid)).await;
            done(gone_is_fine(deleted), || format!("delete pod {pod}"))
        }
        Action::ForceDelete { pod, uid, .. } => {
            let deleted = pods.delete(pod, &at_once(uid)).await;
            done(gone_is_fine(deleted), || {
                format!("delete pod {pod} by force")
            })
        }
        Action::Publish { pod, uid, publish } => {
            let patch = json!({"metadata": {
                "uid": uid, // refused if another pod has taken the name
                "labels": {PUBLISH: publish.to_string()},
            }});
            let patched = pods
                .patch(pod, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            done(patched, || format!("label pod {pod}"))
        }
        Action::Drain {
            pod,
            address,
            drain,
        } => {
            let nsqd = context.nsq.nsqd(address);
            let told = match drain {
                true => nsqd.drain().await,
                false => nsqd.undrain().await,
            };
            told.map_err(|err| Failure::new(format!("tell {pod} whether to drain"), err))
        }
        Action::Hide { pod, node, lookups } => {
            hide(context, node, lookups).await;
            let key = key_of::<NsqCluster>(namespace, cluster);
            context.pulses.hidden(&key, pod);
            Ok(())
        }
        Action::Adopt { .. } => adopt(context, action).await,
        other => on_others(context, namespace, other).await,
    }
}

/// Steps on machines, volumes, sets and Jobs.
async fn on_others(context: &Context, namespace: &str, action: &Action) -> Result<(), Failure> {
    let client = &context.client;
    match action {
        Action::Relocate { pod, job, .. } => {
            let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
            let made = jobs.create(&PostParams::default(), job).await;
            done(made, || format!("move what {pod} has to others"))
        }
        Action::EndRelocation { pod, uid } => {
            let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
            let options = DeleteParams {
                // With its pod; the name is free when that is gone.
                propagation_policy: Some(PropagationPolicy::Foreground),
                ..exactly(uid)
            };
            let deleted = jobs.delete(&relocation(pod), &options).await;
            done(gone_is_fine(deleted), || {
                format!("end the relocation of {pod}")
            })
        }
        Action::Taint {
            machine,
            uid,
            out_of_service,
        } => taint(context, machine, uid, *out_of_service).await,
        Action::GrowVolume { claim, size } => {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            let patched = claims
                .patch(claim, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            done(patched, || format!("have {claim} grow to {size}"))
        }
        Action::ReplaceSet { set, uid } => {
            let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
            let options = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Orphan),
                ..exactly(uid)
            };
            let deleted = sets.delete(set, &options).await;
            done(gone_is_fine(deleted), || format!("make {set} anew"))
        }
        Action::RetainVolume { volume, .. } => {
            let api: Api<PersistentVolume> = Api::all(client.clone());
            let patch = json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}});
            let patched = api
                .patch(volume, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            done(patched, || format!("keep volume {volume}"))
        }
        Action::ReplaceVolume {
            claim,
            claim_uid,
            pod,
            pod_uid,
        } => {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            let deleted = claims.delete(claim, &exactly(claim_uid)).await;
            done(gone_is_fine(deleted), || format!("delete claim {claim}"))?;
            // The claim is made anew for a pod that is made anew.
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let deleted = pods.delete(pod, &exactly(pod_uid)).await;
            done(gone_is_fine(deleted), || format!("delete pod {pod}"))
        }
        _ => Ok(()), // done by the caller
    }
}

fn at_once(uid: &str) -> DeleteParams {
    DeleteParams {
        grace_period_seconds: Some(0),
        ..exactly(uid)
    }
}

/// An order that comes too late, or has nothing to act on, has done its work.
async fn adopt(context: &Context, action: &Action) -> Result<(), Failure> {
    let Action::Adopt {
        pod,
        address,
        node,
        incarnation,
        run,
    } = action
    else {
        return Ok(());
    };
    let order = AdoptOrder {
        node,
        incarnation,
        run: *run,
    };
    match context.nsq.nsqd(address).adopt(&order).await {
        Err(err)
            if !matches!(
                err.kind,
                ErrorKind::Status {
                    status: 404 | 409,
                    ..
                }
            ) =>
        {
            Err(Failure::new(format!("have {pod} adopt {node}"), err))
        }
        _ => Ok(()),
    }
}

/// At every nsqlookupd, for every topic it has there. One that cannot be asked forgets the node by itself, later.
async fn hide(context: &Context, node: &str, lookups: &[String]) {
    join_all(lookups.iter().map(|address| async move {
        if let Err(err) = hide_at(context, node, address).await {
            warn!(node, error = %err, "cannot hide it at an nsqlookupd");
        }
    }))
    .await;
}

async fn hide_at(context: &Context, node: &str, lookup: &str) -> Result<(), nsq_http_api::Error> {
    let lookupd = context.nsq.nsqlookupd(lookup);
    for known in lookupd.nodes().await? {
        if format!("{}:{}", known.broadcast_address, known.http_port) != node {
            continue;
        }
        for topic in &known.topics {
            lookupd.tombstone(topic, node).await?;
        }
    }
    Ok(())
}

/// Puts the taint on, or takes it off; refused if somebody has changed the list since it was read.
async fn taint(
    context: &Context,
    machine: &str,
    uid: &str,
    out_of_service: bool,
) -> Result<(), Failure> {
    let api: Api<Node> = Api::all(context.client.clone());
    let what = || format!("taint machine {machine}");
    let found = api
        .get(machine)
        .await
        .map_err(|source| Failure::new(what(), source))?;
    if found.metadata.uid.as_deref() != Some(uid) {
        return Ok(()); // another machine of that name
    }
    let taints = found.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let mut taints: Vec<_> = taints
        .into_iter()
        .filter(|taint| !is_ours(taint))
        .map(|taint| json!(taint))
        .collect();
    if out_of_service {
        taints.push(json!({"key": OUT_OF_SERVICE, "value": TAINTED_BY, "effect": "NoExecute"}));
    }
    let patch = json!({
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "spec": {"taints": taints},
    });
    let patched = api
        .patch(machine, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    done(patched, what)
}

fn is_ours(taint: &k8s_openapi::api::core::v1::Taint) -> bool {
    taint.key == OUT_OF_SERVICE && taint.value.as_deref() == Some(TAINTED_BY)
}
