use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::outcome::Case;
use crate::{gnsq, go_nsq, nsqjs};

/// A client's own tests.
pub struct Suite {
    pub name: &'static str,
    pub version: &'static str,
    /// How many cases it has: a suite that ran none has not passed.
    pub cases: usize,
    /// Why it cannot be run on this machine, if so.
    pub missing: fn() -> Option<String>,
    pub(crate) prepare: fn() -> Result<PathBuf>,
    /// In the prepared directory, against the programs; the cases and what was printed.
    pub(crate) run: fn(&Path, &Path) -> Result<Ran>,
}

/// What a run came to, and what it printed.
pub(crate) type Ran = (Vec<Case>, String);

pub const SUITES: &[Suite] = &[
    Suite {
        name: "go-nsq",
        version: go_nsq::VERSION,
        cases: 24,
        missing: go_nsq::missing,
        prepare: go_nsq::prepare,
        run: go_nsq::run,
    },
    Suite {
        name: "gnsq",
        version: gnsq::VERSION,
        cases: 108,
        missing: gnsq::missing,
        prepare: gnsq::prepare,
        run: gnsq::run,
    },
    Suite {
        name: "nsqjs",
        version: nsqjs::VERSION,
        cases: 171,
        missing: nsqjs::missing,
        prepare: nsqjs::prepare,
        run: nsqjs::run,
    },
];
