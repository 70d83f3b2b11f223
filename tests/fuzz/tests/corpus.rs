//! What a search found worth keeping, and random changes of it: quick enough for every run.

#![allow(clippy::unwrap_used)] // a test may

use std::path::Path;

use nsq_fuzz::{TARGETS, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Changed inputs for each kept one.
const CHANGED: usize = 4;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{}.txt", target.name));
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| -> Vec<u8> {
        let digits = line
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap());
        digits
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    };
    text.lines().map(line).collect()
}

#[test]
fn kept_inputs_do_no_harm_changed_or_not() {
    let mut random = StdRng::seed_from_u64(1);
    for target in TARGETS {
        let kept = corpus(target);
        assert!(!kept.is_empty(), "{}", target.name);
        for input in kept {
            (target.run)(&input);
            for _ in 0..CHANGED {
                let mut changed = input.clone();
                let at = random.random_range(0..=changed.len());
                match random.random_range(0..3) {
                    0 => changed.truncate(at),
                    1 => changed.insert(at, random.random()),
                    _ => changed
                        .iter_mut()
                        .skip(at)
                        .take(1)
                        .for_each(|byte| *byte ^= 1 << (at % 8)),
                }
                (target.run)(&changed);
            }
        }
    }
}
