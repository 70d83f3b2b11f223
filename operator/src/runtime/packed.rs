//! An object as bytes: what is compared with what is wanted, and seldom looked at otherwise.
//!
//! Kubernetes' types have room for everything that a field may ever say: a StatefulSet of 4 kB takes 20 of them. Most
//! objects of most clusters lie still, so they are kept as they were sent, compressed, and unpacked for a pass.

use std::borrow::Cow;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};

use super::kept::{Kept, only_what_is_read};
use super::shelf::Named;
use crate::cluster::build::INSTANCE;

/// A kind whose objects are parts of clusters.
pub trait Part:
    Kept<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What is looked at without unpacking.
    type AtHand: Debug + Clone + Send + Sync + 'static;

    fn at_hand(&self) -> Self::AtHand;
}

/// What is kept of an object.
#[derive(Debug)]
pub struct Packed<K: Part> {
    name: Box<str>,
    pub at_hand: K::AtHand,
    bytes: Box<[u8]>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Part> Packed<K> {
    fn pack(object: &K) -> serde_json::Result<Self> {
        let json = serde_json::to_vec(object)?;
        let packed = snap::raw::Encoder::new().compress_vec(&json);
        let name = object.meta().name.as_deref();
        Ok(Self {
            name: name.unwrap_or_default().into(),
            at_hand: object.at_hand(),
            bytes: packed.map_err(serde_json::Error::custom)?.into(),
            kind: PhantomData,
        })
    }

    /// `None` if it cannot be read, though it was written here: then it counts as missing, and whoever wants to write it
    /// looks at the API server first.
    #[must_use]
    pub fn unpack(&self) -> Option<K> {
        let json = snap::raw::Decoder::new().decompress_vec(&self.bytes).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

impl<K: Part> Named for Packed<K> {
    fn name(&self) -> &str {
        &self.name
    }
}

/// An object as it is watched: packed, and by whom it is found.
#[derive(Debug)]
pub struct Parcel<K: Part> {
    /// Only by which it is found, and by which its owner is.
    metadata: ObjectMeta,
    /// The cluster that it says it is of; empty if it says none.
    pub cluster: Box<str>,
    pub packed: Arc<Packed<K>>,
}

impl<K: Part> Parcel<K> {
    /// # Errors
    /// The object cannot be written as JSON, which Kubernetes' own types always can.
    pub fn pack(mut object: K) -> serde_json::Result<Self> {
        only_what_is_read(&mut object);
        let packed = Arc::new(Packed::pack(&object)?);
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
            packed,
        })
    }
}

impl<K: Part> Clone for Parcel<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            cluster: self.cluster.clone(),
            packed: self.packed.clone(),
        }
    }
}

impl<'de, K: Part> Deserialize<'de> for Parcel<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::pack(K::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<K: Part> Resource for Parcel<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(of: &()) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &()) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &()) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &()) -> Cow<'_, str> {
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
        let parcel: Parcel<Service> = serde_json::from_value(sent.clone()).unwrap();
        let packed = &parcel.packed;
        assert_eq!(serde_json::to_value(packed.unpack()).unwrap(), sent);
        assert_eq!((packed.name(), &*parcel.cluster), ("demo-publish", "demo"));
        assert_eq!(parcel.meta().uid.as_deref(), Some("u"));
        assert_eq!(parcel.meta().owner_references.as_ref().unwrap()[0].uid, "c");
    }
}
