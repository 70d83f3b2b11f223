//! Every call to the API server that the operator makes, in the words of RBAC.
//!
//! The chart's roles must grant exactly this: a test compares them, and the tests on a real cluster compare this
//! list with the calls that were counted.

/// What may be done to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    pub group: &'static str,
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
}

const fn allow(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Permission {
    Permission {
        group,
        resource,
        verbs,
    }
}

/// In the namespaces that are watched. Applying an object that is not there needs `create` besides `patch`.
pub const WATCHED: &[Permission] = &[
    allow("nsq.io", "nsqclusters", &["list", "watch"]),
    allow("nsq.io", "nsqclusters/status", &["patch"]),
    allow("nsq.io", "nsqtopics", &["list", "patch", "watch"]),
    allow("nsq.io", "nsqtopics/status", &["patch"]),
    allow("nsq.io", "nsqbridges", &["list", "watch"]),
    allow("nsq.io", "nsqbridges/status", &["patch"]),
    allow("apps", "deployments", &["create", "list", "patch", "watch"]),
    allow(
        "apps",
        "statefulsets",
        &["create", "delete", "list", "patch", "watch"],
    ),
    allow(
        "",
        "configmaps",
        &["create", "delete", "list", "patch", "watch"],
    ),
    allow(
        "",
        "services",
        &["create", "delete", "list", "patch", "watch"],
    ),
    allow("", "serviceaccounts", &["create", "list", "patch", "watch"]),
    allow(
        "policy",
        "poddisruptionbudgets",
        &["create", "delete", "list", "patch", "watch"],
    ),
    allow("batch", "jobs", &["create", "delete", "list", "watch"]),
    allow("", "pods", &["delete", "list", "patch", "watch"]),
    allow(
        "",
        "persistentvolumeclaims",
        &["delete", "get", "list", "patch", "watch"],
    ),
    allow(
        "cert-manager.io",
        "certificates",
        &["create", "get", "patch"],
    ),
    allow("events.k8s.io", "events", &["create", "patch"]),
];

/// What belongs to no namespace: whether a machine is there, and what is done about its loss.
pub const MACHINES: &[Permission] = &[
    allow("", "nodes", &["get", "list", "patch", "watch"]),
    allow("", "persistentvolumes", &["get", "patch"]),
];

/// In the operator's own namespace.
pub const OWN: &[Permission] = &[allow(
    "coordination.k8s.io",
    "leases",
    &["create", "get", "update"],
)];
