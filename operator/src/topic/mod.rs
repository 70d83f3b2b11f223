//! The controller of `NsqTopic`.

pub mod apply;
pub mod observe;
pub mod observed;
pub mod plan;

/// Name of the controller: field manager, reporter of events, target of logs.
pub const CONTROLLER: &str = "nsq-operator/topic";
