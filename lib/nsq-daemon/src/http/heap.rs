//! `/debug/pprof/heap`: what holds the memory, function by function, under Go's path and in Go's format.
//!
//! The [allocator](crate::allocator) remembers one allocation in every 512 KiB with its stack, as Go does, until it is
//! given back.

use std::path::Path;

use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};

use super::{Answer, ApiError, Params};

/// Where the allocator writes before it is read back: memory, and there on a read-only root too.
const SHARED_MEMORY: &str = "/dev/shm";

/// The live heap for `go tool pprof`, with names in it.
///
/// # Errors
/// 501 `NO_HEAP_PROFILE`: built without; 500 if it cannot be written, with the reason in the log.
pub async fn heap_profile(_: Params) -> Result<Answer, ApiError> {
    let Some(control) = PROF_CTL.as_ref() else {
        return Err(ApiError::new(501, "NO_HEAP_PROFILE"));
    };
    // Giving addresses their names takes a while.
    let dumped = tokio::task::spawn_blocking(move || dump(&mut control.blocking_lock())).await;
    dumped.map_err(|_| ApiError::new(500, "INTERNAL_ERROR"))?
}

fn dump(control: &mut JemallocProfCtl) -> Result<Answer, ApiError> {
    if Path::new(SHARED_MEMORY).is_dir() {
        // The second time it is there already.
        let _ = tempfile::env::override_temp_dir(Path::new(SHARED_MEMORY));
    }
    let profile = control.dump_pprof();
    profile.map(Answer::Bytes).map_err(|error| {
        tracing::error!("cannot write the heap profile - {error}");
        ApiError::new(500, "INTERNAL_ERROR")
    })
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
        let Ok(Answer::Bytes(bytes)) = heap_profile(Params::parse("").unwrap()).await else {
            panic!("no profile");
        };
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
