//! The allocator of every program that has this library in it, daemons, tools and operator, and what it knows of who
//! holds the memory.
//!
//! jemalloc remembers one allocation in every 512 KiB with its stack, as Go does, until it is given back. It is told to in
//! `.cargo/config.toml`, when it is built, and what is free goes back to the kernel within a second.

use std::path::Path;

use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};
use thiserror::Error;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Where the allocator writes before it is read back: memory, and there on a read-only root too.
const SHARED_MEMORY: &str = "/dev/shm";

/// Why there is no profile.
#[derive(Debug, Error)]
pub enum HeapError {
    #[error("built without heap profiles")]
    NotBuilt,
    #[error("cannot write the heap profile - {0}")]
    NotWritten(String),
}

/// The live heap, function by function, for `go tool pprof`: compressed, with names in it.
///
/// # Errors
/// [`HeapError`].
pub async fn profile() -> Result<Vec<u8>, HeapError> {
    let control = PROF_CTL.as_ref().ok_or(HeapError::NotBuilt)?;
    // Giving addresses their names takes a while.
    let dumped = tokio::task::spawn_blocking(move || dump(&mut control.blocking_lock())).await;
    dumped.map_err(|error| HeapError::NotWritten(error.to_string()))?
}

fn dump(control: &mut JemallocProfCtl) -> Result<Vec<u8>, HeapError> {
    if Path::new(SHARED_MEMORY).is_dir() {
        // The second time it is there already.
        let _ = tempfile::env::override_temp_dir(Path::new(SHARED_MEMORY));
    }
    let profile = control.dump_pprof();
    profile.map_err(|error| HeapError::NotWritten(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use pprof::protos::Message as _;

    use super::*;

    /// Is seen by its name.
    #[inline(never)]
    fn hoard_for_the_profile() -> Vec<Vec<u8>> {
        (0..64).map(|n| vec![n; 1 << 20]).collect()
    }

    #[tokio::test]
    async fn what_holds_the_memory_is_named() {
        let hoard = std::hint::black_box(hoard_for_the_profile());
        let bytes = profile().await.unwrap();
        drop(hoard);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .unwrap();
        let profile = pprof::protos::Profile::decode(&plain[..]).unwrap();
        let name = |index: i64| profile.string_table[index as usize].as_str();
        assert!(
            profile
                .string_table
                .iter()
                .any(|text| text.contains("hoard_for_the_profile"))
        );
        let bytes = profile
            .sample_type
            .iter()
            .position(|kind| name(kind.unit) == "bytes")
            .unwrap();
        let sum: i64 = profile
            .sample
            .iter()
            .map(|sample| sample.value[bytes])
            .sum();
        assert!(sum > 48 << 20, "{sum}");
    }
}
