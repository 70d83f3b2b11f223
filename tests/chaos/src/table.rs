//! Outcomes for people.

use comfy_table::{CellAlignment, Table, presets};

use crate::trial::Trial;

const HEAD: &[&str] = &[
    "row",
    "server",
    "kills",
    "acknowledged",
    "lost",
    "lost in flight",
    "repeated (allowed)",
    "of these finished",
    "wrong",
    "recovery ms (worst)",
];

/// One line for each trial, and what was wrong with it.
pub fn render(trials: &[(&str, &Trial)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEAD);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut wrong = String::new();
    for (row, trial) in trials {
        let (median, worst) = trial.recovery();
        table.add_row([
            (*row).to_owned(),
            trial.server.clone(),
            trial.cycles.to_string(),
            trial.acknowledged.to_string(),
            trial.lost.to_string(),
            trial.lost_in_flight.to_string(),
            format!("{} ({})", trial.repeated, trial.may_be_repeated),
            trial.forgotten_finishes.to_string(),
            trial.wrong.to_string(),
            format!("{median:.0} ({worst:.0})"),
        ]);
        for complaint in trial.complaints.iter().take(3) {
            wrong.push_str(&format!("\n  {}: {complaint:.300}", trial.server));
        }
    }
    format!("{}\n{wrong}", table.trim_fmt())
}
