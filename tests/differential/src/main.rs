//! The same bytes to the Go servers and to ours: the same frames, codes and endings, but for what
//! docs/differences.md lists with its reason.

mod differences;
mod forward;
mod http;
mod lookupd;
mod nsqd;
mod talk;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use differences::{DIFFERENCES, Differences};
use nsq_rig::{Program, Server};
use talk::{Framing, Step, talk};

/// Scripts whose answers differ are all counted, and so many shown.
const SHOWN: usize = 400;

#[derive(Parser)]
#[command(about = "the same bytes to the Go servers and to ours")]
struct Options {
    /// where our nsqd and nsqlookupd are
    #[arg(long)]
    ours: PathBuf,
    /// where the Go ones are
    #[arg(long)]
    theirs: PathBuf,
    /// scripts whose names contain this only
    #[arg(long)]
    only: Option<String>,
}

/// Something to be said to both.
#[derive(Debug, Clone)]
pub struct Script {
    pub name: String,
    pub steps: Vec<Step>,
    /// The server gets time to read each step before the next.
    pub pauses: bool,
}

impl Script {
    pub fn new(name: String, steps: Vec<Step>) -> Self {
        Self {
            name,
            steps,
            pauses: false,
        }
    }

    /// With a topic of its own. Names have the same length everywhere: sizes depend on them.
    fn with_topic(&self, number: usize) -> Vec<Step> {
        let topic = format!("{number:05}");
        let text = |text: &str| text.replace("TOPIC", &topic);
        let step = |step: &Step| match step {
            Step::Say(bytes) => Step::Say(replaced(bytes, b"TOPIC", topic.as_bytes())),
            Step::Line(line) => Step::Line(text(line)),
            Step::Frames(count) => Step::Frames(*count),
        };
        self.steps.iter().map(step).collect()
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// Both servers of a kind.
struct Pair {
    _servers: [Server; 2],
    tcp: [SocketAddr; 2],
    http: [SocketAddr; 2],
    _data: [tempfile::TempDir; 2],
}

impl Pair {
    fn start(options: &Options, program: &str, flags: &[&str]) -> Result<Self> {
        let start = |directory: &Path| -> Result<_> {
            let data = tempfile::tempdir()?;
            let program = Program {
                path: directory.join(program),
                flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            };
            let mut server = match program.path.ends_with("nsqd") {
                true => Server::start(&program, data.path())?,
                false => Server::start_stateless(&program)?,
            };
            let (tcp, _) = server.wait_ready()?;
            let http = server.http_address()?;
            Ok((server, tcp, http, data))
        };
        let (theirs, ours) = (start(&options.theirs)?, start(&options.ours)?);
        Ok(Self {
            _servers: [theirs.0, ours.0],
            tcp: [theirs.1, ours.1],
            http: [theirs.2, ours.2],
            _data: [theirs.3, ours.3],
        })
    }

    fn talks(
        &self,
        kind: &str,
        framing: Framing,
        scripts: &[Script],
        found: &mut Found,
    ) -> Result<()> {
        for (number, script) in scripts.iter().enumerate() {
            let steps = script.with_topic(number);
            let heard = |at: usize| -> Result<Vec<String>> {
                let mut steps = steps.clone();
                if script.pauses {
                    // A question and its answer elsewhere give the server time to read what it was sent.
                    return self.talk_slowly(at, framing, &mut steps);
                }
                Ok(talk(self.tcp[at], framing, &steps)?)
            };
            let name = format!("{kind}: {}", script.name);
            if found.wants(&name) {
                let [theirs, ours] =
                    [heard(0), heard(1)].map(|heard| heard.map(|heard| heard.join("\n")));
                found.compare(name, theirs?, ours?);
            }
        }
        Ok(())
    }

    fn talk_slowly(
        &self,
        at: usize,
        framing: Framing,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<String>> {
        let Some(Step::Say(first)) = steps.first().cloned() else {
            bail!("a split script says something first");
        };
        steps.remove(0);
        let http = self.http[at];
        let asked = move || drop(talk::request(http, "GET", "/ping", b""));
        Ok(talk::talk_after(
            self.tcp[at],
            framing,
            &first,
            asked,
            steps,
        )?)
    }

    fn requests(&self, kind: &str, requests: &[http::Request], found: &mut Found) -> Result<()> {
        for (method, path, body) in requests {
            // Whatever the last one did, TOPIC exists with its channel, and NEW does not.
            let path = path.replace("TOPIC", "known").replace("NEW", "new");
            let name = format!(
                "{kind}: {method} {path} {:?}",
                talk::shown(&body[..body.len().min(20)])
            );
            if !found.wants(&name) {
                continue;
            }
            let ask = |at: usize| -> Result<String> {
                let prepare = |path: &str| talk::request(self.http[at], "POST", path, b"");
                for path in [
                    "/topic/create?topic=known",
                    "/channel/create?topic=known&channel=c",
                    "/topic/delete?topic=new",
                    "/topic/empty?topic=known",
                ] {
                    prepare(path).context("preparing")?;
                }
                Ok(talk::request(self.http[at], method, &path, body)?)
            };
            found.compare(name, ask(0)?, ask(1)?);
        }
        Ok(())
    }
}

/// Without what differs by its nature: ports, and the order of lists, which is random in Go.
fn settled(answer: &str) -> String {
    let mut text = answer.to_owned();
    for key in ["\"http_port\":", "\"tcp_port\":"] {
        if let Some((before, after)) = text.split_once(key) {
            let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
            text = format!("{before}{key}PORT{after}");
        }
    }
    for key in ["\"channels\":[", "\"topics\":["] {
        let Some((before, after)) = text.split_once(key) else {
            continue;
        };
        if let Some((list, rest)) = after.split_once(']') {
            let mut names: Vec<&str> = list.split(',').collect();
            names.sort_unstable();
            text = format!("{before}{key}{}]{rest}", names.join(","));
        }
    }
    text
}

/// What has been compared.
struct Found<'a> {
    only: Option<&'a str>,
    compared: usize,
    differences: Differences,
    unexpected: Vec<String>,
}

impl Found<'_> {
    fn wants(&self, name: &str) -> bool {
        self.only.is_none_or(|only| name.contains(only))
    }

    fn compare(&mut self, name: String, theirs: String, ours: String) {
        self.compared += 1;
        let [theirs, ours] = [theirs, ours].map(|answer| settled(&answer));
        if theirs != ours && !self.differences.covers(&name, &theirs, &ours) {
            self.unexpected.push(format!(
                "{name}\n  theirs: {}\n  ours:   {}",
                theirs.replace('\n', "\n          "),
                ours.replace('\n', "\n          ")
            ));
        }
    }
}

/// `nsq_to_nsq`, between nsqds of ours.
fn forwards(options: &Options, found: &mut Found) -> Result<()> {
    let nsqd = options.ours.join("nsqd");
    let [theirs, ours] = [&options.theirs, &options.ours].map(|path| path.join("nsq_to_nsq"));
    for flags in forward::CASES {
        let name = format!("nsq_to_nsq: {}", flags.join(" "));
        if found.wants(&name) {
            let outcome = |program| forward::outcome(&nsqd, program, flags);
            let theirs = outcome(&theirs).with_context(|| format!("theirs: {name}"))?;
            let ours = outcome(&ours).with_context(|| format!("ours: {name}"))?;
            found.compare(name, theirs, ours);
        }
    }
    for flags in forward::REFUSED {
        let name = format!("nsq_to_nsq refuses: {}", flags.join(" "));
        if found.wants(&name) {
            let refusal = |program| forward::refusal(program, flags);
            found.compare(name, refusal(&theirs)?, refusal(&ours)?);
        }
    }
    Ok(())
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mut found = Found {
        only: options.only.as_deref(),
        compared: 0,
        differences: Differences::default(),
        unexpected: Vec::new(),
    };
    let nsqds = Pair::start(&options, "nsqd", nsqd::FLAGS)?;
    nsqds.talks("nsqd", Framing::Nsqd, &nsqd::scripts(), &mut found)?;
    nsqds.requests("nsqd", &http::nsqd(), &mut found)?;
    drop(nsqds);
    let lookupds = Pair::start(&options, "nsqlookupd", &[])?;
    lookupds.talks(
        "nsqlookupd",
        Framing::Lookupd,
        &lookupd::scripts(),
        &mut found,
    )?;
    lookupds.requests("nsqlookupd", &http::lookupd(), &mut found)?;
    forwards(&options, &mut found)?;
    for one in found.unexpected.iter().take(SHOWN) {
        println!("{one}");
    }
    let stale = match options.only {
        None => found.differences.stale(),
        Some(_) => Vec::new(),
    };
    for key in &stale {
        println!("{key}: is listed as a difference, and is none any more");
    }
    println!(
        "{} scripts and requests: {} answered alike, {} differ as listed ({} entries), {} otherwise",
        found.compared,
        found.compared - found.differences.count() - found.unexpected.len(),
        found.differences.count(),
        DIFFERENCES.len(),
        found.unexpected.len()
    );
    Ok(match found.unexpected.is_empty() && stale.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
