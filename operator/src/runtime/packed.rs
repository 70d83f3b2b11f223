//! An object as bytes: what is compared with what is wanted, and seldom looked at otherwise.
//!
//! Kubernetes' types have room for everything that a field may ever say: a StatefulSet of 4 kB takes 20 of them. Most
//! objects of most clusters lie still, so they are kept as they were sent, and unpacked for a pass.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};

use super::kept::{Kept, only_what_is_read};
use crate::cluster::build::INSTANCE;

/// An object of a cluster.
#[derive(Debug, Clone)]
pub struct Packed<K> {
    /// Only by which it is found, and by which its owner is.
    metadata: ObjectMeta,
    cluster: Box<str>,
    json: Box<[u8]>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kept + Serialize + DeserializeOwned> Packed<K> {
    /// # Errors
    /// The object cannot be written as JSON, which Kubernetes' own types always can.
    pub fn pack(mut object: K) -> serde_json::Result<Self> {
        only_what_is_read(&mut object);
        let json = serde_json::to_vec(&object)?.into_boxed_slice();
        let metadata = object.meta_mut();
        let labels = metadata.labels.as_ref();
        let cluster = labels.and_then(|labels| labels.get(INSTANCE));
        Ok(Self {
            cluster: cluster.map_or("", String::as_str).into(),
            metadata: ObjectMeta {
                name: metadata.name.take(),
                namespace: metadata.namespace.take(),
                uid: metadata.uid.take(),
                resource_version: metadata.resource_version.take(),
                owner_references: metadata.owner_references.take(),
                ..ObjectMeta::default()
            },
            json,
            kind: PhantomData,
        })
    }

    /// `None` if it cannot be read, though it was written here: then it counts as missing, and whoever wants to write it
    /// looks at the API server first.
    #[must_use]
    pub fn unpack(&self) -> Option<K> {
        serde_json::from_slice(&self.json).ok()
    }
}

impl<K> Packed<K> {
    /// Whether it belongs to this cluster.
    #[must_use]
    pub fn is_of(&self, namespace: &str, cluster: &str) -> bool {
        *self.cluster == *cluster && self.metadata.namespace.as_deref() == Some(namespace)
    }
}

impl<'de, K: Kept + Serialize + DeserializeOwned> Deserialize<'de> for Packed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::pack(K::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<K: Resource> Resource for Packed<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    #[test]
    fn what_is_unpacked_is_what_was_sent() {
        let sent = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "demo-publish", "namespace": "default", "uid": "u", "resourceVersion": "7",
                "labels": {INSTANCE: "demo", "a": "b"}, "annotations": {"nsq.io/wanted-hash": "w"},
                "ownerReferences": [{"apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster", "name": "demo", "uid": "c"}]},
            "spec": {"ports": [{"port": 4150, "targetPort": "tcp"}], "selector": {"c": "d"}},
        });
        let packed: Packed<Service> = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(packed.unpack()).unwrap(), sent);
        assert_eq!(packed.meta().uid.as_deref(), Some("u"));
        assert_eq!(packed.meta().owner_references.as_ref().unwrap()[0].uid, "c");
        assert!(packed.is_of("default", "demo"));
        assert!(!packed.is_of("default", "other") && !packed.is_of("other", "demo"));
    }
}
