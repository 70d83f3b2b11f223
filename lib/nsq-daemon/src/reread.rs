//! What was read from files, and is read again when they change: certificates are renewed, tokens and addresses
//! exchanged, without a restart.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Files are told apart by which they are, when they were changed, and their sizes in bytes.
type Stamp = Vec<Option<(u64, SystemTime, u64)>>;

/// A value that comes from files. Whoever holds it looks whenever the value is used; the files are looked at once a
/// second at most.
#[derive(Debug)]
pub struct Reread<T> {
    looked: Instant,
    /// Of the files that `value` comes from; none while the last try to read them failed.
    stamp: Option<Stamp>,
    value: T,
}

impl<T> Reread<T> {
    /// Reads for the first time.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn open<E>(files: &[&Path], read: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        // Before reading: what changes in between is seen the next time.
        let stamp = Some(stamp(files));
        Ok(Self {
            looked: Instant::now(),
            stamp,
            value: read()?,
        })
    }

    /// Reads again at `now` if the files have changed, or could not be read the last time; says how that went, if it
    /// had to. A failure leaves the value as it is.
    pub fn look<E>(
        &mut self,
        now: Instant,
        files: &[&Path],
        read: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<(), E>> {
        if now.saturating_duration_since(self.looked) < LOOK {
            return None;
        }
        self.looked = now;
        let stamp = Some(stamp(files));
        if stamp == self.stamp {
            return None;
        }
        Some(match read() {
            Ok(value) => {
                (self.stamp, self.value) = (stamp, value);
                Ok(())
            }
            Err(error) => {
                self.stamp = None;
                Err(error)
            }
        })
    }

    /// What was read last, or [`set`](Self::set) since.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Puts something else in its place, until the files are read again.
    pub fn set(&mut self, value: T) {
        self.value = value;
    }
}

fn stamp(files: &[&Path]) -> Stamp {
    let one = |path: &&Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_when_they_change_or_could_not_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let files = [file.as_path()];
        let read = || fs::read_to_string(&file).map_err(|error| error.kind());
        assert!(Reread::open(&files, read).is_err());
        fs::write(&file, "one").unwrap();
        let mut reread = Reread::open(&files, read).unwrap();
        let start = reread.looked;
        let mut look = |seconds, read: &dyn Fn() -> Result<String, std::io::ErrorKind>| {
            let went = reread.look(start + Duration::from_secs(seconds), &files, read);
            (went, reread.value().clone())
        };
        assert_eq!(
            look(2, &read),
            (None, "one".to_owned()),
            "nothing has changed"
        );
        fs::write(&file, "three").unwrap();
        assert_eq!(look(2, &read), (None, "one".to_owned()), "not so soon");
        let refused = Err(std::io::ErrorKind::InvalidData);
        assert_eq!(
            look(3, &|| refused.clone()),
            (Some(Err(std::io::ErrorKind::InvalidData)), "one".to_owned())
        );
        assert_eq!(
            look(4, &read),
            (Some(Ok(())), "three".to_owned()),
            "tried again"
        );
        assert_eq!(look(5, &read), (None, "three".to_owned()));
    }
}
