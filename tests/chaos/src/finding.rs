//! What came of a run against one server: figures, and promises that were broken.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Finding {
    pub server: String,
    pub figures: Vec<Figure>,
    /// In words; empty is good.
    pub broken: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub unit: &'static str,
}

/// Broken promises kept; one is bad enough.
const BROKEN: usize = 20;

impl Finding {
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            figures: Vec::new(),
            broken: Vec::new(),
        }
    }

    pub fn count(&mut self, name: &'static str, value: u64) {
        self.figure(name, value as f64, "");
    }

    pub fn figure(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.figures.push(Figure { name, value, unit });
    }

    /// A promise: if it was not kept, `what` says how.
    pub fn must(&mut self, kept: bool, what: impl FnOnce() -> String) {
        if !kept && self.broken.len() < BROKEN {
            self.broken.push(what());
        }
    }

    pub fn is_good(&self) -> bool {
        self.broken.is_empty()
    }

    /// All figures in a line.
    pub fn told(&self) -> String {
        let figures = self.figures.iter().map(|figure| {
            let space = if figure.unit.is_empty() { "" } else { " " };
            let value = number(figure.value);
            format!("{} {value}{space}{}", figure.name, figure.unit)
        });
        figures.collect::<Vec<_>>().join(", ")
    }
}

/// Whole numbers with commas, others with two digits.
fn number(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    match value < 0.0 {
        true => format!("-{out}"),
        false => out,
    }
}

/// Median and largest, milliseconds, as figures of their own.
pub fn times(finding: &mut Finding, median: &'static str, worst: &'static str, millis: &[f64]) {
    let mut sorted = millis.to_vec();
    sorted.sort_by(f64::total_cmp);
    if let (Some(middle), Some(last)) = (sorted.get(sorted.len() / 2), sorted.last()) {
        finding.figure(median, middle.round(), "ms");
        finding.figure(worst, last.round(), "ms");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_a_line() {
        let mut finding = Finding::new("s");
        finding.count("acknowledged", 1_234_567);
        finding.figure("rate", 1.5, "MB/s");
        times(&mut finding, "recovery", "worst", &[30.0, 10.0, 1000.0]);
        let wanted = "acknowledged 1,234,567, rate 1.50 MB/s, recovery 30 ms, worst 1,000 ms";
        assert_eq!(finding.told(), wanted);
        assert!(finding.is_good());
        finding.must(true, || "kept".to_owned());
        assert!(finding.is_good());
        finding.must(false, || "broken".to_owned());
        assert_eq!(finding.broken, ["broken"]);
    }
}
