//! A slice of the worlds; `cargo xtask simulate --seeds N` runs as many as you like.

use nsq_simulation::{Plan, run};

#[test]
fn worlds_lose_nothing() {
    let mut steps = 0;
    for seed in 0..60 {
        let outcome = run(Plan::of(seed));
        steps += outcome.steps;
        assert!(
            outcome.verdict.is_good(),
            "cargo xtask simulate --seed {seed}: {:#?}",
            outcome.verdict
        );
    }
    println!("{steps} steps");
}

#[test]
fn pairs_lose_nothing_they_do_not_tell_of() {
    for seed in 0..40 {
        let outcome = nsq_simulation::pair::run(nsq_simulation::pair::PairPlan::of(seed));
        assert!(
            outcome.verdict.is_good(),
            "cargo xtask simulate --pair --seed {seed}: {:#?}",
            outcome.verdict
        );
    }
}

/// The second run has other addresses and other hash seeds: neither may decide anything.
#[test]
fn one_seed_is_one_run() {
    for seed in [3, 26] {
        let [one, other] = [(); 2].map(|()| run(Plan::of(seed)));
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed}");
        let [one, other] =
            [(); 2].map(|()| nsq_simulation::pair::run(nsq_simulation::pair::PairPlan::of(seed)));
        assert_eq!(
            format!("{one:?}"),
            format!("{other:?}"),
            "--pair, seed {seed}"
        );
    }
}
