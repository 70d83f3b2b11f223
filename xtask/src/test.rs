//! `cargo xtask test`: every test. CI runs this and nothing else.

use anyhow::{Result, bail};

use crate::steps::{self, Step};
use crate::workspace::{cargo, run as run_command};
use crate::{chaos, conform, differential, go_nsq, kube, programs, tidy};

const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "cargo fmt --check",
        missing: nothing,
        run: || run_command(cargo().args(["fmt", "--all", "--", "--check"])),
    },
    Step {
        name: "tidy",
        about: "layers, sizes, names and generated files",
        missing: nothing,
        run: || tidy::run(&[]),
    },
    Step {
        name: "lint",
        about: "clippy, all targets, no warnings",
        missing: nothing,
        run: || {
            let clippy = [
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ];
            run_command(cargo().args(clippy))
        },
    },
    Step {
        name: "unit",
        about: "cargo test, the whole workspace",
        missing: nothing,
        run: || run_command(cargo().args(["test", "--workspace", "--no-fail-fast"])),
    },
    Step {
        name: "build",
        about: "the programs, static, release",
        missing: nothing,
        run: || programs::build().map(|_| ()),
    },
    Step {
        name: "simulate",
        about: "nsqd in virtual time: crashes, power cuts, failing disks, a million steps",
        missing: nothing,
        run: || programs::simulate(&["--seeds".into(), "300".into()]),
    },
    Step {
        name: "go-nsq",
        about: "the suite of NSQ's own Go client against our servers",
        missing: || conform::missing("go-nsq"),
        run: || conform::step("go-nsq"),
    },
    Step {
        name: "gnsq",
        about: "the suite of a Python client",
        missing: || conform::missing("gnsq"),
        run: || conform::step("gnsq"),
    },
    Step {
        name: "nsqjs",
        about: "the suite of the Node.js client",
        missing: || conform::missing("nsqjs"),
        run: || conform::step("nsqjs"),
    },
    Step {
        name: "differ",
        about: "the same bytes to the Go servers and to ours: the same answers, but for those listed",
        missing: go_nsq::missing,
        run: || differential::run(&[]),
    },
    Step {
        name: "go-data",
        about: "a Go nsqd's data directory to ours and back, stopped and killed",
        missing: go_nsq::missing,
        run: go_data,
    },
    Step {
        name: "dev",
        about: "the example cluster, nsqjs finding nsqd through nsqlookupd, and kill -9",
        missing: nsq_conformance::dev::missing,
        run: conform::dev_step,
    },
    Step {
        name: "chaos",
        about: "a slice of every fault: kill -9, power cuts, failing and full disks; nothing acknowledged is lost",
        missing: nothing,
        run: chaos::slice,
    },
    Step {
        name: "control",
        about: "the same kills see the Go nsqd lose messages",
        missing: go_nsq::missing,
        run: chaos::control,
    },
    Step {
        name: "kube",
        about: "a real Kubernetes of three nodes: install, publish, kill, scale, delete",
        missing: kube::missing,
        run: || kube::run(&["test".into()]),
    },
];

fn go_data() -> Result<()> {
    let go = go_nsq::build()?.join("nsqd");
    let mut command = cargo();
    command.env("NSQ_GO_NSQD", go);
    run_command(command.args([
        "test",
        "--package",
        "nsqd",
        "--test",
        "go_data",
        "--",
        "--ignored",
    ]))
}

fn nothing() -> Option<String> {
    None
}

pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        for step in STEPS {
            println!("  {:10} {}", step.name, step.about);
        }
        return Ok(());
    }
    if let Some(unknown) = arguments
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        bail!("there is no step {unknown:?}; cargo xtask test --list shows them");
    }
    let chosen =
        |step: &&Step| arguments.is_empty() || arguments.iter().any(|name| name == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();
    let strict = std::env::var("CI").is_ok_and(|ci| ci == "true");
    steps::run(&steps, strict)
}
