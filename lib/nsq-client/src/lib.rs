//! A client of NSQ: [`Consumer`] and [`Producer`], with the options, and the manners, of NSQ's own client library.
//!
//! What is decided lies in functions of values: [`Flow`] says which connection may have how many messages, [`Backoff`] when
//! to take less; the rest carries bytes.

#![forbid(unsafe_code)]

mod backoff;
mod config;
mod consumer;
mod dial;
mod flow;
mod lookup;
mod producer;
mod tls;
mod wire;

pub use backoff::{Backoff, Strategy};
pub use config::{Config, ConfigError};
pub use consumer::{Consumer, Message, Sources, Stopper};
pub use dial::DialError;
pub use flow::{Flow, Limits};
pub use producer::{Producer, PublishError};
