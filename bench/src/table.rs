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
];

/// The report as text.
pub fn render(report: &Report, markdown: bool) -> String {
    let mut table = Table::new();
    table.load_style(match markdown {
        true => presets::ASCII_MARKDOWN,
        false => presets::NOTHING,
    });
    let judged = report.judged;
    let more = [
        format!("rate of {judged}"),
        format!("CPU of {judged}"),
        "target".to_owned(),
    ];
    table.set_header(HEAD.iter().map(|&head| head.to_owned()).chain(more));
    for column in table.column_iter_mut().skip(2).take(7) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut before = "";
    for line in &report.lines {
        let name = match line.row == before {
            true => String::new(),
            false => title(line),
        };
        before = line.row;
        table.add_row(cells(name, line));
    }
    let text = match markdown {
        true => table.to_string(),
        false => table.trim_fmt(),
    };
    format!("{text}\n\n{}\n", notes(report))
}

fn title(line: &Line) -> String {
    match line.connections {
        1 if line.latency.is_some() => line.name.to_owned(),
        1 => format!("{}, 1 connection", line.name),
        count => format!("{}, {count} connections", line.name),
    }
}

fn cells(name: String, line: &Line) -> Vec<String> {
    let rate = figure(line.rate.median / 1000.0);
    let rate = match (&line.latency, &line.received) {
        (Some(latency), _) => format!(
            "p50 {:.2} ms, p99 {:.2} ms",
            latency.p50_ms.median, latency.p99_ms.median
        ),
        (None, Some(received)) => format!("{rate}, {:.0} % received", 100.0 * received.median),
        (None, None) => rate,
    };
    let mut cells = vec![
        name,
        line.server.name.to_owned(),
        rate,
        figure(line.cpu_micros.median),
        figure(line.user_micros),
        figure(line.system_micros),
        figure(line.interrupts_per_second.median / 1000.0),
    ];
    cells.extend(match &line.judged {
        None => ["", "", ""].map(str::to_owned),
        Some(against) => ratios(line, against),
    });
    cells
}

fn ratios(line: &Line, against: &Against) -> [String; 3] {
    let shown = |ratio: &Spread| {
        let [median, min, max] = [ratio.median, ratio.min, ratio.max].map(figure);
        format!("{median}x ({min}-{max})")
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
         (smallest-largest of a round). CPU: of the server. IPI: rescheduling and function-call \
         interrupts of the machine. Memory is touched before each measurement, so that the machine has it. The last columns: what {} \
         does, as a multiple of the line's server.",
        report.machine.line(),
        report.message_bytes,
        report.rounds,
        report.judged,
    )
}

/// Three digits that matter, as far as there are so many.
pub fn figure(value: f64) -> String {
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
