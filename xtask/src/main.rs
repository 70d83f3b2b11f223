//! The one door for people who work on this project: `cargo xtask VERB`.

mod bench;
mod chaos;
mod conform;
mod crds;
mod differential;
mod docs;
mod fuzz;
mod go_nsq;
mod image;
mod kube;
mod mutate;
mod packages;
mod peers;
mod programs;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

struct Verb {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "dev",
        help: "build everything and run examples/cluster.yaml on this machine, without Kubernetes",
        run: programs::dev,
    },
    Verb {
        name: "test",
        help: "every test there is; [STEP ...] for some of them, --list to see them",
        run: test::run,
    },
    Verb {
        name: "simulate",
        help: "nsqd in virtual time under crashes: [--pair] [--seeds N [--from F] [--first] | --seed S]",
        run: programs::simulate,
    },
    Verb {
        name: "model",
        help: "the protocol of pairs, searched whole within bounds: [WORLD ...] [--drop RULE] | rules | list",
        run: programs::model,
    },
    Verb {
        name: "build",
        help: "the programs as static release binaries; prints the directory",
        run: programs::print_build,
    },
    Verb {
        name: "bench",
        help: "our nsqd and others, side by side: [speed|levels|durable|flood|pair|scale]; --quick, --rows, --help",
        run: bench::bench,
    },
    Verb {
        name: "conform",
        help: "test suites of other people's clients against our servers; [--go] [SUITE ...]",
        run: conform::run,
    },
    Verb {
        name: "differential",
        help: "the same bytes to the Go servers and to ours, the same answers; [--only PART]",
        run: differential::run,
    },
    Verb {
        name: "chaos",
        help: "nsqd under real faults: ROW|all; --long, --cycles N, --go, --seed N, --report FILE, --help",
        run: chaos::chaos,
    },
    Verb {
        name: "fuzz",
        help: "bytes that do harm, searched with libFuzzer: [TARGET ...]; --cases N, --keep, --help",
        run: fuzz::fuzz,
    },
    Verb {
        name: "mutate",
        help: "breaks the code on purpose, in a copy, and shows that tests notice; [NAME ...]",
        run: mutate::run,
    },
    Verb {
        name: "originals",
        help: "the Go programs of NSQ, to compare with; prints the directory",
        run: go_nsq::print_build,
    },
    Verb {
        name: "image",
        help: "the container image, without an engine; [--out FILE] [--name NAME]",
        run: image::run,
    },
    Verb {
        name: "kube",
        help: "a real Kubernetes cluster on this machine: build|up|down|test [SCENARIO ...]",
        run: kube::run,
    },
    Verb {
        name: "crds",
        help: "the CRDs as files; --check fails when they are stale",
        run: crds::run,
    },
    Verb {
        name: "docs",
        help: "the pages of docs/ that programs write; a test fails when they are stale",
        run: docs::run,
    },
    Verb {
        name: "tidy",
        help: "layers, sizes, names and generated files of the source",
        run: tidy::run,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, arguments)) = words.split_first() else {
        print_help();
        return ExitCode::SUCCESS;
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprintln!("cargo xtask: there is no verb {name:?}\n");
        print_help();
        return ExitCode::from(2);
    };
    match (verb.run)(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_help() {
    println!("usage: cargo xtask VERB [ARGUMENTS]\n");
    for verb in VERBS {
        println!("  {:8} {}", verb.name, verb.help);
    }
}
