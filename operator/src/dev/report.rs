//! Telling: a table that stays in place on a terminal, one line per change elsewhere, or JSON.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::view::{Change, ClusterRow, View};

/// How to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A table on a terminal, lines elsewhere.
    Auto,
    Table,
    Lines,
    /// One JSON object per change.
    Json,
}

/// Tells on standard output.
pub struct Reporter {
    output: Output,
    shown: View,
    /// Lines of the table now on the terminal, to be overwritten.
    drawn: usize,
    hinted: bool,
}

#[derive(Serialize)]
struct Stamped<'a> {
    time: Timestamp,
    #[serde(flatten)]
    change: &'a Change,
}

impl Reporter {
    pub fn new(output: Output) -> Self {
        let output = match output {
            Output::Auto if io::stdout().is_terminal() => Output::Table,
            Output::Auto => Output::Lines,
            chosen => chosen,
        };
        Self {
            output,
            shown: View::default(),
            drawn: 0,
            hinted: false,
        }
    }

    /// A sentence of its own.
    pub fn note(&mut self, sentence: &str) {
        self.print(&[Change {
            kind: "note",
            message: sentence.to_owned(),
            ..Change::default()
        }]);
        self.draw();
    }

    /// What is to be seen now.
    pub fn show(&mut self, view: View) {
        let changes = view.changes_since(&self.shown);
        if view == self.shown {
            return;
        }
        self.shown = view;
        // The table says the same in place; only what it has no column for is worth a line.
        if self.output != Output::Table {
            self.print(&changes);
        }
        if !self.hinted
            && !self.shown.clusters.is_empty()
            && self.shown.clusters.iter().all(|row| row.ready)
        {
            self.hinted = true;
            self.hint();
        }
        self.draw();
    }

    fn hint(&mut self) {
        let hints: Vec<String> = self.shown.clusters.iter().flat_map(hints).collect();
        for hint in hints {
            self.note(&hint);
        }
    }

    fn print(&mut self, changes: &[Change]) {
        let mut text = self.erase();
        for change in changes {
            text.push_str(&match self.output {
                Output::Json => json(change),
                _ => line(change),
            });
            text.push('\n');
        }
        write(&text);
    }

    /// The escape sequence that goes back over the table.
    fn erase(&mut self) -> String {
        let lines = std::mem::take(&mut self.drawn);
        match lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[0J"),
        }
    }

    fn draw(&mut self) {
        if self.output != Output::Table {
            return;
        }
        let mut text = self.erase();
        let table = cut(&table(&self.shown), width());
        self.drawn = table.lines().count();
        text.push_str(&table);
        write(&text);
    }
}

/// Nobody reading any more is no reason to stop the cluster.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Columns of the terminal.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { usize::MAX } else { columns }
}

/// A line that wraps would be two, and going back over the table would miss one.
fn cut(text: &str, width: usize) -> String {
    text.lines()
        .map(|line| line.chars().take(width).chain(['\n']).collect::<String>())
        .collect()
}

fn json(change: &Change) -> String {
    let stamped = Stamped {
        time: Timestamp::now(),
        change,
    };
    // Plain strings and numbers; JSON takes them all.
    serde_json::to_string(&stamped).unwrap_or_default()
}

fn line(change: &Change) -> String {
    let time = Zoned::now().strftime("%H:%M:%S").to_string();
    let mut parts = vec![time];
    if change.kind != "note" {
        parts.push(format!("{} {}", change.kind, change.name));
        parts.push(change.state.clone());
    }
    parts.extend(change.tcp.as_ref().map(|tcp| format!("tcp {tcp}")));
    parts.extend(change.http.as_ref().map(|http| format!("http {http}")));
    parts.extend(change.pid.map(|pid| format!("pid {pid}")));
    if !change.message.is_empty() {
        parts.push(change.message.clone());
    }
    parts.join("  ")
}

fn hints(cluster: &ClusterRow) -> Vec<String> {
    let Some((tcp, http, lookup)) = &cluster.first else {
        return Vec::new();
    };
    vec![
        format!("cluster {} is ready", cluster.name),
        format!("  publish:  curl -d hello 'http://{http}/pub?topic=t'    (clients: {tcp})"),
        format!("  consume:  any NSQ client with --lookupd-http-address={lookup}"),
        format!("  look:     curl 'http://{http}/stats'"),
    ]
}

fn table(view: &View) -> String {
    let mut text = String::new();
    for cluster in &view.clusters {
        text.push_str(&format!(
            "\nNsqCluster {}: {}\n",
            cluster.name, cluster.message
        ));
    }
    text.push_str(&nodes(view));
    text.push('\n');
    if !view.topics.is_empty() {
        text.push_str(&topics(view));
        text.push('\n');
    }
    text
}

fn nodes(view: &View) -> String {
    let mut table = empty(&[
        "NODE",
        "STATE",
        "TCP",
        "HTTP",
        "PID",
        "RESTARTS",
        "TOPICS",
        "WAITING",
        "IN FLIGHT",
        "",
    ]);
    for row in &view.nodes {
        let load = |part: fn(&(usize, i64, i64)) -> String| {
            row.load.as_ref().map_or_else(String::new, part)
        };
        table.add_row([
            row.name.clone(),
            row.state.to_owned(),
            row.tcp.clone(),
            row.http.clone(),
            row.pid.map_or_else(String::new, |pid| pid.to_string()),
            row.restarts.to_string(),
            load(|load| load.0.to_string()),
            load(|load| load.1.to_string()),
            load(|load| load.2.to_string()),
            row.problem.clone(),
        ]);
    }
    table.trim_fmt()
}

fn topics(view: &View) -> String {
    let mut table = empty(&["TOPIC", "CLUSTER", "CHANNELS", "NODES", "STATE"]);
    for row in &view.topics {
        table.add_row([
            &row.topic,
            &row.cluster,
            &row.channels,
            &row.nodes,
            &row.state,
        ]);
    }
    table.trim_fmt()
}

fn empty(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}
