//! What a suite's cases came to, and whether that is as expected.

use std::collections::BTreeSet;

use crate::Suite;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub name: String,
    pub outcome: Outcome,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            outcome,
        }
    }
}

/// The cases that fail.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected(BTreeSet<String>);

impl Expected {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Those of one suite, from lines of `SUITE CASE`.
    pub(crate) fn of(suite: &str, text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let cases = lines.filter_map(|line| line.split_once(' '));
        Self(
            cases
                .filter(|(name, _)| *name == suite)
                .map(|(_, case)| case.to_owned())
                .collect(),
        )
    }
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub counts: String,
    /// Empty: all is as expected.
    pub complaints: Vec<String>,
}

pub(crate) fn judge(suite: &Suite, cases: &[Case], expected: &Expected) -> Verdict {
    let with = |outcome| -> BTreeSet<String> {
        let cases = cases.iter().filter(|case| case.outcome == outcome);
        cases.map(|case| case.name.clone()).collect()
    };
    let (passed, failed) = (with(Outcome::Passed), with(Outcome::Failed));
    let mut complaints = Vec::new();
    for case in failed.difference(&expected.0) {
        complaints.push(format!("{case} failed"));
    }
    for case in expected.0.difference(&failed) {
        let what = match passed.contains(case) {
            true => "passed: take it out of expected.txt",
            false => "was not run",
        };
        complaints.push(format!("{case} {what}"));
    }
    if cases.len() != suite.cases {
        complaints.push(format!("{} cases, not {}", cases.len(), suite.cases));
    }
    // Names need not be unique.
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    Verdict {
        counts: format!(
            "{} passed, {} failed ({} expected to), {} skipped",
            count(Outcome::Passed),
            count(Outcome::Failed),
            expected.0.len(),
            count(Outcome::Skipped)
        ),
        complaints,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SUITES;

    fn complaints(cases: &[(&str, Outcome)], expected: &[&str]) -> Vec<String> {
        let cases: Vec<Case> = cases
            .iter()
            .map(|&(name, outcome)| Case::new(name, outcome))
            .collect();
        let suite = Suite {
            cases: 2,
            ..SUITES[0]
        };
        let expected = Expected(expected.iter().map(|&case| case.to_owned()).collect());
        judge(&suite, &cases, &expected).complaints
    }

    #[test]
    fn only_what_is_expected_may_fail_and_must() {
        use Outcome::{Failed, Passed, Skipped};
        let none: [&str; 0] = [];
        assert_eq!(complaints(&[("a", Passed), ("b", Failed)], &["b"]), none);
        assert_eq!(
            complaints(&[("a", Passed), ("b", Failed)], &[]),
            ["b failed"]
        );
        assert_eq!(
            complaints(&[("a", Passed), ("b", Passed)], &["b"]),
            ["b passed: take it out of expected.txt"]
        );
        assert_eq!(
            complaints(&[("a", Passed), ("b", Skipped)], &["b"]),
            ["b was not run"]
        );
        assert_eq!(complaints(&[("a", Passed)], &[]), ["1 cases, not 2"]);
    }

    #[test]
    fn expected_cases_belong_to_a_suite() {
        let text = include_str!("../expected.txt");
        let known: usize = SUITES
            .iter()
            .map(|suite| Expected::of(suite.name, text).0.len())
            .sum();
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(known, lines.count());
        assert_eq!(
            Expected::of("a", "# a x\na b c\nb d\n").0,
            ["b c".to_owned()].into()
        );
    }
}
