//! `cargo xtask chaos ROW`: real servers under real faults.

use std::path::PathBuf;

use anyhow::Result;

use crate::bench::judge;
use crate::go_nsq;
use crate::packages;
use crate::programs;
use crate::workspace::{cargo, run, target};

/// Asks for the Go servers: nsqd as control, nsqlookupd beside ours.
const CONTROL: &str = "--go";

/// Programs that rows use and the Debian packages they come in.
const PACKAGES: &[(&str, &str)] = &[
    ("strace", "strace"),
    ("faketime", "faketime"),
    ("mkfs.ext4", "e2fsprogs"),
    ("python3", "python3"),
];

pub fn chaos(arguments: &[String]) -> Result<()> {
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help") {
        println!(
            "cargo xtask chaos ROW [{CONTROL}] [ARGUMENTS]: {CONTROL} builds the Go servers (the control, and one of two nsqlookupds), and --nsqd is given\n"
        );
        return judge("nsq-chaos", &["--help".to_owned()]);
    }
    // Rows say what they still lack, the others run.
    if let Err(error) = packages::install(PACKAGES) {
        eprintln!("chaos: {error:#}");
    }
    let programs = programs::build_packages(&["nsqd", "nsq-tools", "nsqlookupd"])?;
    let mut all = vec![
        format!("--nsqd={}", programs.join("nsqd").display()),
        format!("--nsq-to-nsq={}", programs.join("nsq_to_nsq").display()),
        format!("--nsqlookupd={}", programs.join("nsqlookupd").display()),
    ];
    if ["all", "clock"].iter().any(|row| arguments[0] == *row) {
        all.push(format!("--dynamic-nsqd={}", dynamic_nsqd()?.display()));
    }
    for argument in arguments {
        match argument == CONTROL {
            true => {
                let go = go_nsq::build()?;
                all.push(format!("--go-nsqd={}", go.join("nsqd").display()));
                all.push(format!(
                    "--go-nsqlookupd={}",
                    go.join("nsqlookupd").display()
                ));
            }
            false => all.push(argument.clone()),
        }
    }
    judge("nsq-chaos", &all)
}

/// nsqd as most programs are linked: it loads libraries, among them one that lies about the time. With the
/// debug profile's checks of arithmetic.
fn dynamic_nsqd() -> Result<PathBuf> {
    run(cargo().args(["build", "--quiet", "--package", "nsqd"]))?;
    Ok(target().join("debug/nsqd"))
}

/// The slice that `cargo xtask test` runs.
pub fn slice() -> Result<()> {
    chaos(&["all".to_owned()])
}

/// The same rig must see the Go nsqd lose messages: else it could not see ours lose any.
pub fn control() -> Result<()> {
    chaos(&["kill", "--cycles=3", CONTROL].map(str::to_owned))
}
