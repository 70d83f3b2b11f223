use serde::Serialize;

/// Findings that are told one by one at most; what comes after is counted only.
const TOLD_MAX: u64 = 100;

/// What an import did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub topics: u64,
    /// Messages that wait now.
    pub messages: u64,
    /// Of those, how many kept their ids, for a consumer may have seen them.
    pub with_id: u64,
    /// Copies for further channels, which are one message here.
    pub copies: u64,
    /// Messages whose length was wrong.
    pub mended: u64,
    /// Bytes that are no messages.
    pub lost_bytes: u64,
    /// Damaged files and places.
    pub damage: u64,
    /// Files that the Go nsqd had given up on.
    pub bad_files: u64,
    /// Where Go's files are now.
    pub aside: String,
}

impl Report {
    /// Something is not as it should be.
    pub(super) fn damage(&mut self, file: &str, what: String) {
        self.damage += 1;
        match self.damage {
            ..=TOLD_MAX => tracing::error!("GO: {file}: {what}"),
            _ => tracing::debug!("GO: {file}: {what}"),
        }
    }

    pub(super) fn tell(&self) {
        tracing::info!(
            "GO: imported {} messages of {} topics ({} with their ids, {} copies for further channels); the files are in {}",
            self.messages,
            self.topics,
            self.with_id,
            self.copies,
            self.aside
        );
        if self.damage > 0 {
            tracing::error!(
                "GO: {} places were damaged: {} messages were mended, {} bytes are no messages",
                self.damage,
                self.mended,
                self.lost_bytes
            );
        }
        if self.bad_files > 0 {
            tracing::warn!(
                "GO: {} files that the Go nsqd had renamed to .bad were not imported: it had read most of such files to the end",
                self.bad_files
            );
        }
    }
}
