//! Whole segments: deleted, blank, swapped, somebody else's.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::pristine::Pristine;
use crate::finding::Finding;
use crate::rows::{Outcome, Setting};

/// What is done to the segment, with another one at hand.
type Damage = fn(&Path, &Path, &Path) -> Result<()>;

const DAMAGES: &[(&str, Damage)] = &[
    ("deleted", |segment, _, _| {
        Ok(std::fs::remove_file(segment)?)
    }),
    ("zeroed", |segment, _, _| {
        let len = std::fs::metadata(segment)?.len() as usize;
        Ok(std::fs::write(segment, vec![0; len])?)
    }),
    ("truncated to nothing", |segment, _, _| {
        Ok(std::fs::write(segment, [])?)
    }),
    ("swapped", |segment, other, _| {
        let aside = segment.with_extension("aside");
        std::fs::rename(segment, &aside)?;
        std::fs::rename(other, segment)?;
        Ok(std::fs::rename(aside, other)?)
    }),
    ("copied over another", |segment, other, _| {
        std::fs::copy(segment, other)?;
        Ok(())
    }),
    ("from another node", |segment, _, foreign| {
        std::fs::copy(foreign, segment)?;
        Ok(())
    }),
];

pub fn run(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let mut finding = Finding::new("ours");
    let (mut tried, mut empty, mut hurt) = (0u64, 0u64, 0u64);
    for round in 0..rounds {
        let (pristine, stranger) = (Pristine::make()?, Pristine::make()?);
        let foreign = stranger.copy()?;
        let segments = pristine.files(".log")?;
        for (index, segment) in segments.iter().enumerate() {
            let away = 1 + round % (segments.len() - 1);
            let other = &segments[(index + away) % segments.len()];
            for (name, damage) in DAMAGES {
                let foreign = &foreign.path().join(stranger.files(".log")?.swap_remove(0));
                (setting.progress)(&format!("{name}, segment {index}"));
                tried += 1;
                let named = || format!("{}, {name}", segment.display());
                let at = |copy: &Path, file: &PathBuf| copy.join(file);
                let outcome =
                    pristine.try_out(|copy| damage(&at(copy, segment), &at(copy, other), foreign));
                let brought = match outcome {
                    Ok((_, brought)) => brought,
                    Err(error) => {
                        finding.must(false, || format!("{}: {error:#}", named()));
                        continue;
                    }
                };
                let missing: usize = brought.missing.values().map(Vec::len).sum();
                let waiting: usize = pristine.waiting.values().map(Vec::len).sum();
                hurt += u64::from(missing > 0);
                empty += u64::from(missing == waiting);
                finding.must(brought.wrong == 0, || format!("{}: wrong bodies", named()));
                // A blank or missing last segment is what a power cut leaves of one just begun: of that
                // nobody can tell.
                let is_last = index + 1 == segments.len();
                finding.must(missing == 0 || brought.reported || is_last, || {
                    format!("{}: {missing} lost, and nobody was told", named())
                });
                finding.must(missing < waiting, || {
                    format!("{}: everything is lost", named())
                });
                finding.must(*name != "swapped" || missing == 0, || {
                    format!("{}: {missing} lost, though everything is there", named())
                });
            }
        }
    }
    finding.count("tried", tried);
    finding.count("cost messages", hurt);
    finding.count("came up empty", empty);
    Ok(Outcome::of(finding, None))
}
