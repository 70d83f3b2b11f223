//! What differs on purpose. Each entry stands in docs/differences.md under the same key, with its reason.

use std::collections::BTreeMap;

/// A difference on purpose.
#[derive(Debug)]
pub struct Difference {
    /// Its heading in docs/differences.md.
    pub key: &'static str,
    /// Parts of the names of the scripts that show it.
    pub scripts: &'static [&'static str],
    /// Parts of their answer, and of ours.
    pub theirs: &'static str,
    pub ours: &'static str,
}

pub const DIFFERENCES: &[Difference] = &[Difference {
    key: "Numbers beyond 63 bits",
    scripts: &[
        "RDY \"9223372036854775808\"",
        "DPUB \"9223372036854775808\"",
    ],
    theirs: "",
    ours: " 9223372036854775808 out of range 0-",
}];

/// How often each was met.
#[derive(Debug, Default)]
pub struct Differences {
    met: BTreeMap<&'static str, usize>,
}

impl Differences {
    /// Whether these answers differ as listed.
    pub fn covers(&mut self, name: &str, theirs: &str, ours: &str) -> bool {
        let known = DIFFERENCES.iter().find(|known| {
            let named = known.scripts.iter().any(|part| name.contains(part));
            named && theirs.contains(known.theirs) && ours.contains(known.ours)
        });
        if let Some(known) = known {
            *self.met.entry(known.key).or_default() += 1;
        }
        known.is_some()
    }

    pub fn count(&self) -> usize {
        self.met.values().sum()
    }

    /// Those that were not met.
    pub fn stale(&self) -> Vec<&'static str> {
        let keys = DIFFERENCES.iter().map(|known| known.key);
        keys.filter(|key| !self.met.contains_key(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_documented() {
        let page = include_str!("../../../docs/differences.md");
        for known in DIFFERENCES {
            assert!(
                page.contains(&format!("### {}\n", known.key)),
                "{}",
                known.key
            );
        }
    }
}
