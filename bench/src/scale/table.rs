//! The outcome for people.

use comfy_table::{CellAlignment, Table, presets};

use super::{Figure, Outcome};
use crate::table::figure as shown;

/// As text, or as Markdown for a page of the documentation.
pub fn render(outcome: &Outcome, markdown: bool) -> String {
    let mut table = Table::new();
    table.load_style(match markdown {
        true => presets::ASCII_MARKDOWN,
        false => presets::NOTHING,
    });
    table.set_header(["what", "unit", "Go", "ours", "at most", ""]);
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for figure in &outcome.figures {
        table.add_row(cells(figure));
    }
    let text = match markdown {
        true => table.to_string(),
        false => table.trim_fmt(),
    };
    let notes = outcome.notes.join(" ");
    format!("{text}\n\n{}. {notes}\n", outcome.machine.line())
}

fn cells(figure: &Figure) -> [String; 6] {
    let met = if figure.met() { "" } else { "MISSED" };
    [
        figure.what.clone(),
        figure.unit.to_owned(),
        shown(figure.go),
        shown(figure.ours),
        figure.target.to_string(),
        met.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_said() {
        let mut figure = Figure {
            what: "x".to_owned(),
            unit: "kB",
            target: 2.0,
            ours: 1.234,
            go: 52.06,
        };
        assert_eq!(cells(&figure), ["x", "kB", "52.1", "1.23", "2", ""]);
        figure.ours = 2.5;
        assert_eq!(cells(&figure)[5], "MISSED");
    }
}
