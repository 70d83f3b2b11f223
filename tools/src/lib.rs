//! What the tools share; each tool is a file in `src/bin`.

#![forbid(unsafe_code)]

pub mod connect;
pub mod forward;
pub mod mirror;
pub mod relocate;
