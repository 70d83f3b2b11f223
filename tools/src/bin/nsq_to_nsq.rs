//! `nsq_to_nsq`: from some nsqds to others, message by message. With `--mirror` it carries the journal of one node of a pair to the other, with
//! `--relocate` it moves what is unfinished, identity kept.

use std::process::ExitCode;

use nsq_tools::{forward, mirror, relocate};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let is_mode = |name: &str| {
        let mut args = args.iter().filter_map(|arg| arg.to_str());
        args.any(|arg| arg.trim_start_matches('-') == name)
    };
    match () {
        () if is_mode("mirror") => mirror::main(args),
        () if is_mode("relocate") => relocate::main(args),
        () => forward::main(args),
    }
}
