//! The controller of `NsqTopic`.

pub mod apply;
pub mod observe;
pub mod observed;
pub mod plan;

/// The stand-in name of the whole controller in events, field managers and logs.
pub const CONTROLLER: &str = "nsq-operator/topic";
