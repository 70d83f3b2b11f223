//! nsq-operator: keeps what an `NsqCluster`, an `NsqTopic` and an `NsqBridge` declare.
//!
//! A manifest's way is the same in all controllers and in `dev`:
//! observe (reads) -> validate (pure) -> plan (pure) -> apply (writes, no decisions) -> report.

pub mod api;
pub mod backoff;
pub mod bridge;
pub mod cli;
pub mod cluster;
pub mod demo;
pub mod dev;
pub mod runtime;
pub mod topic;
