//! nsq-operator: keeps what an `NsqCluster` and an `NsqTopic` declare.
//!
//! A manifest's way is the same in both controllers and in `dev`:
//! observe (reads) -> validate (pure) -> plan (pure) -> apply (writes, no decisions) -> report.

pub mod api;
pub mod backoff;
pub mod cli;
pub mod cluster;
pub mod demo;
pub mod dev;
pub mod runtime;
pub mod topic;
