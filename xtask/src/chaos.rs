//! `cargo xtask chaos ROW`: real servers under real faults.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::bench::{judge, nsqd};
use crate::go_nsq;
use crate::workspace::{cargo, run, target};

/// Asks for the Go nsqd as control.
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
            "cargo xtask chaos ROW [{CONTROL}] [ARGUMENTS]: {CONTROL} builds the control, and --nsqd is given\n"
        );
        return judge("nsq-chaos", &["--help".to_owned()]);
    }
    set_up();
    let mut all = vec![format!("--nsqd={}", nsqd()?.display())];
    if ["all", "clock"].iter().any(|row| arguments[0] == *row) {
        all.push(format!("--dynamic-nsqd={}", dynamic_nsqd()?.display()));
    }
    for argument in arguments {
        match argument == CONTROL {
            true => all.push(format!(
                "--go-nsqd={}",
                go_nsq::build()?.join("nsqd").display()
            )),
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

/// Installs what is missing where that is possible; rows say what they still lack.
fn set_up() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(program, _)| !found(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() || !Path::new("/etc/debian_version").exists() {
        return;
    }
    eprintln!("chaos: installing {}", missing.join(", "));
    for words in [
        vec!["update", "-qq"],
        [
            vec!["install", "-y", "-qq", "--no-install-recommends"],
            missing,
        ]
        .concat(),
    ] {
        let mut command = Command::new("apt-get");
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        if let Err(error) = run(command.stdout(std::process::Stdio::null())) {
            return eprintln!("chaos: {error:#}");
        }
    }
}

/// The slice that `cargo xtask test` runs.
pub fn slice() -> Result<()> {
    chaos(&["all".to_owned()])
}

/// The same rig must see the Go nsqd lose messages: else it could not see ours lose any.
pub fn control() -> Result<()> {
    chaos(&["kill", "--cycles=3", CONTROL].map(str::to_owned))
}
