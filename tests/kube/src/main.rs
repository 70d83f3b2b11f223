//! Scenarios on a real cluster, driven with kubectl and helm as a person would drive them.
//!
//! scenarios [--list] [all | NAME ...], scenarios --in NAMESPACE NAME ... (on the cluster `demo` that is there), or failover RUNS, with KUBECONFIG, and kubectl and helm on the PATH. `cargo xtask kube test`
//! sets all of that up.

mod kubectl;
mod measure;
mod rig;
mod runs;
mod scenarios;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use kubectl::Kubectl;
use scenarios::When;

/// Every scenario, those that take long too.
const ALL: &str = "all";
/// What makes pairs of the nodes.
const PAIRS: &str = "replicate";
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
    let (words, as_it_is) = match words.split_first() {
        Some((first, [namespace, rest @ ..])) if first == "--in" => {
            (rest.to_vec(), Some(namespace.clone()))
        }
        _ => (words, None),
    };
    let kubectl = Kubectl::new(as_it_is.as_deref().unwrap_or(NAMESPACE));
    if let [word, runs] = words.as_slice()
        && word == "failover"
    {
        return repeat(&kubectl, runs);
    }
    let known = |word: &&String| {
        let mut names = scenarios::ALL.iter().map(|scenario| scenario.name);
        *word == ALL || names.any(|name| name == **word)
    };
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        eprintln!("there is no scenario {unknown:?}; --list shows them");
        return ExitCode::from(2);
    }
    let all = words.iter().any(|word| word == ALL);
    let named = |name: &str| words.iter().any(|word| word == name);
    let on_pairs = |it: &&scenarios::Scenario| it.when == When::OnPairs && named(it.name);
    let pairs = scenarios::ALL.iter().any(|it| on_pairs(&it));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in scenarios::ALL {
        let usual = words.is_empty() && scenario.when == When::Usually;
        let needed = scenario.when == When::Always || (pairs && scenario.name == PAIRS);
        let needed = needed && as_it_is.is_none();
        if !(all || named(scenario.name) || usual || needed) {
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

fn repeat(kubectl: &Kubectl, runs: &str) -> ExitCode {
    let runs = runs.parse().unwrap_or(0);
    match runs::repeat(kubectl, runs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error:#}");
            kubectl.tell_everything();
            ExitCode::FAILURE
        }
    }
}
