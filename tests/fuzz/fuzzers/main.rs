//! The fuzzer around one target, which the environment names. Built and run by `cargo xtask fuzz`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use nsq_fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("NSQ_FUZZ_TARGET").unwrap_or_default();
        match Target::find(&name) {
            Some(target) => drop(TARGET.set(target)),
            None => panic!("NSQ_FUZZ_TARGET is {name:?}, which is no target"),
        }
    },
    |input: &[u8]| {
        if let Some(target) = TARGET.get() {
            (target.run)(input);
        }
    }
);
