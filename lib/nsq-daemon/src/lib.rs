//! What every daemon has around its heart.
//!
//! - [`options`]: one table per daemon; Go-style flags, NSQ's config file, usage text.
//! - [`log`]: NSQ's log lines on stderr, level changeable at run time.
//! - [`listen`]: TCP and unix-socket listeners behind one type; [`connections`]: their bounded loop.
//! - [`http`]: NSQ's HTTP conventions: JSON errors, 405 with `Allow`, redirects, and a bounded server.
//! - [`statsd`]: NSQ's lines to a statsd daemon.
//! - [`tls`]: a certificate and its key, for HTTPS.
//! - [`reread`]: what comes from files that change while everything runs.
//! - [`open_files`], [`shutdown`], [`identity`], [`version`], [`go_duration`]: the small rest.

mod command_line;
mod config_file;
pub mod connections;
pub mod go_duration;
pub mod http;
pub mod identity;
pub mod listen;
pub mod log;
mod markdown;
pub mod open_files;
pub mod options;
mod pace;
pub mod reread;
pub mod shutdown;
pub mod statsd;
mod stop;
pub mod stream;
pub mod tls;
mod usage;
pub mod value;
pub mod version;

pub use stop::Stop;
