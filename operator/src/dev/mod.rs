//! `nsq-operator dev`: the same plan, executed as processes on this machine.

mod leftovers;
pub mod local;
pub mod manifest;
pub mod ports;
pub mod process;
mod report;
mod session;
mod topics;
mod view;

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use local::Places;
use manifest::{MAX_BYTES, Manifest, Problem};
pub use report::Output;
use report::Reporter;
use session::Session;

/// Time between two passes.
const TICK: Duration = Duration::from_millis(500);
/// Ends of processes waiting to be told; there is at most one per process.
const EXITS: usize = 64;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    pub manifest: PathBuf,
    /// Directory of nsqd and nsqlookupd; next to this program if left out.
    pub binaries: Option<PathBuf>,
    pub data: PathBuf,
    pub output: Output,
}

/// Runs the manifest until it is told to stop.
///
/// # Errors
/// A bad manifest, missing binaries, a data directory that is in use: nothing has been started then.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let text = read(&options.manifest)?;
    let manifest =
        manifest::parse(&text, None).map_err(|problems| told(&options.manifest, &problems))?;
    let binaries = binaries(options.binaries)?;
    std::fs::create_dir_all(&options.data)
        .with_context(|| format!("cannot make {}", options.data.display()))?;
    let data = options.data.canonicalize()?;
    let lock = lock(&data)?;

    let mut reporter = Reporter::new(options.output);
    reporter.note(&format!("data and logs are in {}", data.display()));
    for sentence in leftovers::end_all(&data, &binaries).await? {
        reporter.note(&sentence);
    }
    let (exits, exited) = mpsc::channel(EXITS);
    let session = Session::new(manifest, Places { binaries, data }, exits, reporter);
    let watched = Watched::new(&options.manifest);
    serve(session, watched, exited).await?;
    drop(lock);
    Ok(())
}

async fn serve(
    mut session: Session,
    mut watched: Watched,
    mut exited: mpsc::Receiver<process::Exited>,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?; // the terminal is closed
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            () = any_of(&mut interrupt, &mut terminate, &mut hang_up) => {
                if stopping { break; }
                stopping = true;
                session.stop();
            }
            Some(end) = exited.recv() => session.on_exit(&end),
            _ = tick.tick(), if !stopping => {
                if let Some(edit) = watched.edited(session.manifest()) {
                    session.edit(edit);
                }
                session.pass().await;
            }
        }
        if stopping && session.is_stopped() {
            break;
        }
    }
    session.end();
    Ok(())
}

async fn any_of(first: &mut Signal, second: &mut Signal, third: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
        _ = third.recv() => {}
    }
}

/// A manifest file that somebody may edit.
struct Watched {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            seen: stamp(path),
        }
    }

    /// The manifest, if the file has changed since the last look, or what is wrong with it.
    fn edited(&mut self, old: &Manifest) -> Option<Result<Manifest, String>> {
        let now = stamp(&self.path);
        if now == self.seen || now.is_none() {
            return None; // unchanged, or in the middle of being replaced
        }
        self.seen = now;
        let parsed = read(&self.path).and_then(|text| {
            manifest::parse(&text, Some(old)).map_err(|problems| told(&self.path, &problems))
        });
        Some(parsed.map_err(|err| err.to_string()))
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata: Metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = file
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if u64::try_from(length).unwrap_or(u64::MAX) > MAX_BYTES {
        bail!("{} is larger than {MAX_BYTES} bytes", path.display());
    }
    Ok(text)
}

fn told(path: &Path, problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {problem}", path.display()))
        .collect();
    anyhow::anyhow!(lines.join("\n"))
}

/// Directory of nsqd, nsqlookupd and `nsq_to_nsq`, which are there.
pub(crate) fn binaries(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let directory = match given {
        Some(directory) => directory,
        None => beside_this_program()?,
    };
    check_binaries(&directory)?;
    Ok(directory)
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own directory")?;
    let directory = program.parent().map(Path::to_owned);
    directory.context("this program is in no directory")
}

fn check_binaries(directory: &Path) -> anyhow::Result<()> {
    for name in ["nsqd", "nsqlookupd", "nsq_to_nsq"] {
        let path = directory.join(name);
        if !path.is_file() {
            bail!(
                "{} is not there: build it with `cargo build`, or say with --bin-dir where nsqd, nsqlookupd and nsq_to_nsq are",
                path.display()
            );
        }
    }
    Ok(())
}

/// Two of us in one directory would start every node twice.
fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => bail!(
            "{} is in use by another `nsq-operator dev`; stop it or give another --data-dir",
            data.display()
        ),
    }
}
