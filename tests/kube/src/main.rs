//! Scenarios on a real cluster, driven with kubectl and helm as a person would drive them.
//!
//! scenarios [--list] [NAME ...], with KUBECONFIG, and kubectl and helm on the PATH. `cargo xtask kube test`
//! sets all of that up.

mod kubectl;
mod measure;
mod rig;
mod scenarios;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use kubectl::Kubectl;

/// Everything happens in this namespace, which is made anew for each run.
const NAMESPACE: &str = "nsq-test";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        for scenario in scenarios::ALL {
            println!("  {:18} {}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    let known = |word: &&String| {
        scenarios::ALL
            .iter()
            .any(|scenario| scenario.name == **word)
    };
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        eprintln!("there is no scenario {unknown:?}; --list shows them");
        return ExitCode::from(2);
    }
    let kubectl = Kubectl::new(NAMESPACE);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in scenarios::ALL {
        if !scenario.always && !words.is_empty() && !words.iter().any(|word| word == scenario.name)
        {
            continue;
        }
        println!("== {}: {}", scenario.name, scenario.about);
        let begun = Instant::now();
        let outcome = (scenario.run)(&kubectl);
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(None) => {
                passed += 1;
                println!("   passed after {seconds:.1} s");
            }
            Ok(Some(why)) => {
                skipped += 1;
                println!("   NOT RUN: {why}");
            }
            Err(error) => {
                failed += 1;
                println!("   FAILED after {seconds:.1} s: {error:#}");
                kubectl.tell_everything();
                break; // the next ones build on it
            }
        }
    }
    println!("kube: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
