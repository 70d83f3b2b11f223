//! `cargo xtask differential`: the same bytes to the Go servers and to ours.

use anyhow::Result;

use crate::bench::judge;
use crate::{go_nsq, programs};

pub fn run(arguments: &[String]) -> Result<()> {
    let ours = programs::build_packages(&["nsqd", "nsqlookupd", "nsq-tools"])?;
    let mut all = vec![
        format!("--ours={}", ours.display()),
        format!("--theirs={}", go_nsq::build()?.display()),
    ];
    all.extend_from_slice(arguments);
    judge("nsq-differential", &all)
}
