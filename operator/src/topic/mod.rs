//! The controller of `NsqTopic`.

pub mod apply;
pub mod controller;
pub mod observe;
pub mod observed;
pub mod plan;
