//! Single bits, flipped at random.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nsq_rig::Server;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::pristine::{BATCH, BLOCK, Pristine};
use crate::finding::Finding;
use crate::rows::{Outcome, Setting};

/// Which files, how often of a hundred, and how many messages of a channel one bit may cost.
const FILES: &[(&str, u32, usize)] = &[
    (".log", 75, BATCH),
    (".spill", 15, BLOCK),
    ("checkpoint-", 8, 0),
    ("identity", 2, 0),
];
/// One of so many hits a journal without checkpoints.
const YOUNG: u32 = 4;
/// Where segments begin, bits: in a young journal's first the names of topics and channels.
const NAMES: std::ops::Range<usize> = 4096 * 8..4400 * 8;
/// One of so many is tried on the real process as well: that it starts, and tells.
const PROCESS_EVERY: usize = 500;

#[derive(Default)]
struct Totals {
    hit: u64,
    reported: u64,
    most: [usize; 4],
}

pub fn run(setting: &Setting, bits: usize) -> Result<Outcome> {
    let (grown, young) = (Pristine::make()?, Pristine::young()?);
    let mut random = StdRng::seed_from_u64(setting.seed);
    let mut finding = Finding::new("ours");
    let mut totals = Totals::default();
    for number in 0..bits {
        if number % 100 == 0 {
            (setting.progress)(&format!("bit {number} of {bits}"));
        }
        let is_young = random.random_ratio(1, YOUNG);
        let pristine = if is_young { &young } else { &grown };
        let (kind, file) = choose(pristine, &mut random)?;
        let len = pristine.read(&file)?.len();
        let bit = match is_young && random.random_bool(0.5) {
            true => random.random_range(NAMES),
            false => random.random_range(0..len * 8),
        };
        try_one(pristine, kind, &file, bit, &mut finding, &mut totals);
        if number % PROCESS_EVERY == 0 {
            let told = process(setting, pristine, &file, bit);
            finding.must(told.is_ok(), || {
                format!("{}, bit {bit}: the process: {told:?}", file.display())
            });
        }
    }
    finding.count("bits", bits as u64);
    finding.count("cost messages", totals.hit);
    finding.count("reported", totals.reported);
    finding.count("most lost by a bit of a segment", totals.most[0] as u64);
    finding.count("of a spill file", totals.most[1] as u64);
    finding.count("of a checkpoint", totals.most[2] as u64);
    finding.count("of the identity", totals.most[3] as u64);
    Ok(Outcome::of(finding, None))
}

fn choose(pristine: &Pristine, random: &mut StdRng) -> Result<(usize, PathBuf)> {
    let mut pick = random.random_range(0..100);
    let mut kind = 0;
    while pick >= FILES[kind].1 {
        pick -= FILES[kind].1;
        kind += 1;
    }
    // A young server has no checkpoints and perhaps no spill files: then it is a segment.
    let files = pristine.files(FILES[kind].0)?;
    if let Some(file) = files.choose(random) {
        return Ok((kind, file.clone()));
    }
    let segments = pristine.files(FILES[0].0)?;
    Ok((0, segments.choose(random).cloned().unwrap_or_default()))
}

fn try_one(
    pristine: &Pristine,
    kind: usize,
    file: &Path,
    bit: usize,
    finding: &mut Finding,
    totals: &mut Totals,
) {
    let named = || format!("{}, bit {bit}", file.display());
    let tried = pristine.try_out(|copy| flip(&copy.join(file), bit));
    let brought = match tried {
        Ok((_, brought)) => brought,
        Err(error) => return finding.must(false, || format!("{}: {error:#}", named())),
    };
    let most = brought.most_missing();
    totals.hit += u64::from(most > 0);
    totals.reported += u64::from(brought.reported);
    totals.most[kind] = totals.most[kind].max(most);
    finding.must(brought.wrong == 0, || {
        format!("{}: {} wrong bodies", named(), brought.wrong)
    });
    let may = FILES[kind].2;
    finding.must(most <= may, || {
        format!("{}: {most} messages lost, {may} may be", named())
    });
    // Of a spill block that is found out when it is read.
    let told = brought.reported || brought.torn || kind == 1;
    finding.must(most == 0 || told, || {
        format!("{}: {most} lost, and nobody was told", named())
    });
}

fn flip(path: &Path, bit: usize) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    Ok(std::fs::write(path, bytes)?)
}

/// The process starts on the damaged copy, and its metrics tell whatever its log does.
fn process(setting: &Setting, pristine: &Pristine, file: &Path, bit: usize) -> Result<()> {
    let copy = pristine.copy()?;
    flip(&copy.path().join(file), bit)?;
    let mut server = Server::start(&setting.ours("write"), copy.path())?;
    server.wait_ready()?;
    let told = server.metric("nsqd_journal_quarantined_ranges")?;
    let logged = server.log().contains("cannot be read and were set aside");
    anyhow::ensure!((told > 0.0) == logged, "metric {told}, log {logged}");
    server.kill()
}
