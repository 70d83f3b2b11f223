//! What is: the second input of planning.

use jiff::Timestamp;
use serde::Deserialize;

use crate::cluster::object::Object;

/// A bridge as it was found.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Observed {
    pub now: Timestamp,
    /// The Deployment that was made for it.
    pub deployment: Option<Object>,
    /// The clusters that it names.
    pub source: Option<Cluster>,
    pub target: Option<Cluster>,
    /// Messages in its channel, if somebody could say.
    pub backlog: Option<i64>,
}

/// What a bridge needs to know of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cluster {
    pub name: String,
    /// nsqds that it wants.
    pub nsqds: u32,
    /// nsqlookupds that it wants.
    pub nsqlookupds: u32,
    /// Secret with its authorities, if it speaks TLS.
    pub tls_secret: Option<String>,
    /// Secret for its AUTH.
    pub auth_secret: Option<String>,
}
