//! The controller of `NsqBridge`: a Deployment of `nsq_to_nsq`, and how far it is behind.

mod build;
pub mod controller;
mod observe;
pub mod observed;
pub mod plan;
