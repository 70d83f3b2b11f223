//! The last segment, cut at every byte of its last records.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Context, Result};

use super::node::SEGMENT_BYTES;
use super::pristine::{BATCH, Pristine};
use crate::finding::Finding;
use crate::rows::{Outcome, Setting};

/// Every `STEP`th byte is cut at, for `records` records at the end.
pub fn run(setting: &Setting, records: usize) -> Result<Outcome> {
    let pristine = Pristine::make()?;
    let mut finding = Finding::new("ours");
    let file = pristine.files(".log")?.pop().context("no segment")?;
    let ends = record_ends(&pristine.read(&file)?);
    let cuts = ends[ends.len().saturating_sub(records + 1)]..=ends[ends.len() - 1];
    let total = cuts.clone().count();
    let (mut before, mut at_boundary) = (usize::MAX, 0u64);
    for cut in cuts {
        (setting.progress)(&format!("cut at {cut}, {total} in all"));
        at_boundary += u64::from(ends.contains(&cut));
        let tried = pristine.try_out(|copy| truncate(&copy.join(&file), cut));
        let (copy, brought) = match tried {
            Ok(tried) => tried,
            Err(error) => {
                finding.must(false, || format!("cut at {cut}: {error:#}"));
                continue;
            }
        };
        let missing = &brought.missing[&("new", "two")];
        let waiting = &pristine.waiting[&("new", "two")];
        finding.must(waiting.ends_with(missing), || {
            format!("cut at {cut}: {missing:?} are missing, which are not the last")
        });
        // The longer the file, the less is missing; at most the records cut at are.
        finding.must(
            missing.len() <= before && missing.len() <= records * BATCH,
            || format!("cut at {cut}: {} missing, {before} before", missing.len()),
        );
        before = missing.len();
        finding.must(brought.wrong == 0, || format!("cut at {cut}: wrong bodies"));
        finding.must(!brought.reported, || {
            format!("cut at {cut}: a torn tail is no damage")
        });
        drop(copy);
    }
    finding.must(before == 0, || {
        "the whole file, and yet messages are missing".to_owned()
    });
    finding.count("records", records as u64);
    finding.count("cuts", total as u64);
    finding.count("at ends of records", at_boundary);
    Ok(Outcome::of(finding, None))
}

fn truncate(path: &Path, len: usize) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(len as u64)?;
    // Preallocated, as segments are: what was never written reads as zeros.
    Ok(file.set_len(SEGMENT_BYTES)?)
}

/// Offsets in the file at which records end, from their lengths: see `docs/journal.md`.
fn record_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![4096];
    let mut at = 4096;
    while let Some(header) = bytes.get(at..at + 16) {
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if header[4] == 0 || at + 16 + len > bytes.len() {
            break;
        }
        at += (16 + len).next_multiple_of(8);
        ends.push(at);
    }
    ends
}
