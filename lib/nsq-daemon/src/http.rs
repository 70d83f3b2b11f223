//! NSQ's HTTP conventions, shared by every daemon.
//!
//! An [`Api`] is a table of routes. Around its handlers: 404 and 405 with JSON bodies, `Allow`, HEAD
//! refused, a trailing slash redirected, one log line per request. [`serve`] runs it on a listener.

mod answer;
mod api;
mod heap;
mod params;
mod profile;
mod serve;
mod token;

pub use answer::{Answer, ApiError};
pub use api::Api;
pub use heap::heap_profile;
pub use params::Params;
pub use profile::cpu_profile;
pub use serve::{RemoteAddress, serve, serve_as, serve_tls};
pub use token::{TokenError, Tokens};
