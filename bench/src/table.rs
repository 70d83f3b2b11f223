//! The report for people: on a terminal, or as Markdown for the README.

use comfy_table::{CellAlignment, Table, presets};

use crate::report::{Against, Line, Report};
use crate::statistics::Spread;

const HEAD: &[&str] = &[
    "what",
    "server",
    "k msg/s",
    "CPU us/msg",
    "user",
    "system",
    "IPI k/s",
    "rate x Go",
    "CPU x Go",
    "target",
];

/// The report as text.
pub fn render(report: &Report, markdown: bool) -> String {
    let mut table = Table::new();
    table.load_style(match markdown {
        true => presets::ASCII_MARKDOWN,
        false => presets::NOTHING,
    });
    table.set_header(HEAD);
    for column in table.column_iter_mut().skip(2).take(7) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut before = "";
    for line in &report.lines {
        let name = if line.name == before { "" } else { line.name };
        before = line.name;
        table.add_row(cells(name, line));
    }
    let text = match markdown {
        true => table.to_string(),
        false => table.trim_fmt(),
    };
    format!("{text}\n\n{}\n", notes(report))
}

fn cells(name: &str, line: &Line) -> Vec<String> {
    let rate = match &line.latency {
        None => figure(line.rate.median / 1000.0),
        Some(latency) => format!(
            "p50 {:.2} ms, p99 {:.2} ms",
            latency.p50_ms.median, latency.p99_ms.median
        ),
    };
    let mut cells = vec![
        name.to_owned(),
        line.server.name.to_owned(),
        rate,
        figure(line.cpu_micros.median),
        figure(line.user_micros),
        figure(line.system_micros),
        figure(line.interrupts_per_second.median / 1000.0),
    ];
    cells.extend(match &line.against {
        None => ["", "", ""].map(str::to_owned),
        Some(against) => ratios(line, against),
    });
    cells
}

fn ratios(line: &Line, against: &Against) -> [String; 3] {
    let shown = |ratio: &Spread| {
        let [median, min, max] = [ratio.median, ratio.min, ratio.max].map(figure);
        format!("{median} ({min}-{max})")
    };
    let rate = match line.latency {
        None => shown(&against.rate),
        Some(_) => String::new(),
    };
    let target = match against.target {
        None => String::new(),
        Some(met) if met.met => met.target.to_owned(),
        Some(met) => format!("MISSED: {}", met.target),
    };
    [rate, shown(&against.cpu), target]
}

fn notes(report: &Report) -> String {
    format!(
        "{}. {}-byte messages; servers and load share the cores. Medians of {} interleaved rounds \
         (ratios: smallest-largest of a round). CPU: of the server. IPI: rescheduling and \
         function-call interrupts of the machine.",
        report.machine.line(),
        report.message_bytes,
        report.rounds,
    )
}

/// Three digits that matter, as far as there are so many.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0..0.995 => format!("{value:.3}"),
        0.995..9.95 => format!("{value:.2}"),
        9.95..99.5 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_show_what_matters() {
        let shown = [0.0041, 0.25, 1.0, 12.34, 99.96, 4241.4].map(figure);
        assert_eq!(shown, ["0.004", "0.250", "1.00", "12.3", "100", "4241"]);
    }
}
