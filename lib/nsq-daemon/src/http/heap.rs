//! `/debug/pprof/heap`: what holds the memory, function by function, under Go's path and in Go's format.

use nsq_heap::HeapError;

use super::{Answer, ApiError, Params};

/// The live heap for `go tool pprof`, with names in it.
///
/// # Errors
/// 501 `NO_HEAP_PROFILE`: built without; 500 if it cannot be written, with the reason in the log.
pub async fn heap_profile(_: Params) -> Result<Answer, ApiError> {
    match nsq_heap::profile().await {
        Ok(profile) => Ok(Answer::Bytes(profile)),
        Err(HeapError::NotBuilt) => Err(ApiError::new(501, "NO_HEAP_PROFILE")),
        Err(error) => {
            tracing::error!("{error}");
            Err(ApiError::new(500, "INTERNAL_ERROR"))
        }
    }
}
