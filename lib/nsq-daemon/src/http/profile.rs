//! `/debug/pprof/profile`: where the processor time goes, function by function, under Go's path and in Go's format.
//!
//! Stacks are taken by a signal that comes for processor time used, in whatever thread uses it; they are unwound from
//! the tables that are in the program anyway, and given names once the time is over. Nothing of it runs, and nothing is
//! in memory, while nobody asks.

use std::fmt::Write as _;
use std::time::Duration;

use pprof::protos::Message as _;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::{Answer, ApiError, Params};

/// As long as Go's, if the request says nothing, and at most, in seconds.
const SECONDS: u64 = 30;
const SECONDS_MAX: u64 = 300;
/// Samples a second of processor time: Go's as well.
const HERTZ: i32 = 100;

/// `?seconds=30`: a profile for `go tool pprof`; with `debug=1` as text, a stack with its count in each line, which
/// flame graphs are made of.
///
/// # Errors
/// `INVALID_ARG_SECONDS`; 409 `PROFILE_RUNNING`, for there can be one at a time.
pub async fn cpu_profile(params: Params) -> Result<Answer, ApiError> {
    let seconds = match params.get("seconds") {
        None => SECONDS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
            .ok_or(ApiError::bad_request("INVALID_ARG_SECONDS"))?,
    };
    let text = params.get("debug").is_some_and(|debug| debug != "0");
    let guard = ProfilerGuardBuilder::default().frequency(HERTZ).build();
    let guard = guard.map_err(failed)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let told = tokio::task::spawn_blocking(move || tell(&guard, text)).await;
    told.map_err(|_| ApiError::new(500, "INTERNAL_ERROR"))?
}

/// Gives addresses their names: that takes a while.
fn tell(guard: &ProfilerGuard<'_>, text: bool) -> Result<Answer, ApiError> {
    let report = guard.report().build().map_err(failed)?;
    if !text {
        let profile = report.pprof().map_err(failed)?;
        return Ok(Answer::Bytes(profile.encode_to_vec()));
    }
    let mut lines = String::new();
    for (stack, count) in &report.data {
        lines.push_str(&stack.thread_name);
        // The innermost comes first, among calls and among what was inlined into one.
        for symbol in stack
            .frames
            .iter()
            .rev()
            .flat_map(|frame| frame.iter().rev())
        {
            let _ = write!(lines, ";{}", symbol.name()); // into a String: cannot fail
        }
        let _ = writeln!(lines, " {count}");
    }
    Ok(Answer::Plain(lines))
}

fn failed(error: pprof::Error) -> ApiError {
    match error {
        pprof::Error::Running => ApiError::new(409, "PROFILE_RUNNING"),
        error => {
            tracing::error!("cannot profile - {error}");
            ApiError::new(500, "INTERNAL_ERROR")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Is seen by its name.
    #[inline(never)]
    fn spin_for_the_profile(stop: &AtomicBool) -> u64 {
        let mut sum = 1u64;
        while !stop.load(Ordering::Relaxed) {
            sum = std::hint::black_box(sum.wrapping_mul(3));
        }
        sum
    }

    fn asked(query: &str) -> Params {
        Params::parse(query).unwrap()
    }

    #[tokio::test]
    async fn what_takes_the_time_is_named() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let busy = std::thread::Builder::new().name("busy".to_owned());
        let busy = busy.spawn(move || spin_for_the_profile(&stopped)).unwrap();
        let (profile, second) = tokio::join!(
            cpu_profile(asked("seconds=1")),
            cpu_profile(asked("seconds=1"))
        );
        assert_eq!(second.unwrap_err().code, "PROFILE_RUNNING");
        let Ok(Answer::Bytes(bytes)) = profile else {
            panic!("{profile:?}");
        };
        let profile = pprof::protos::Profile::decode(&bytes[..]).unwrap();
        assert!(!profile.sample.is_empty());
        let named = |text: &str| text.contains("spin_for_the_profile");
        assert!(profile.string_table.iter().any(|text| named(text)));
        let Ok(Answer::Plain(text)) = cpu_profile(asked("seconds=1&debug=1")).await else {
            panic!("no text");
        };
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        let line = text.lines().find(|line| named(line)).unwrap();
        assert!(line.starts_with("busy;"), "{line}");
        let (_, count) = line.rsplit_once(' ').unwrap();
        assert!(count.parse::<u32>().unwrap() > 0, "{line}");
    }

    #[tokio::test]
    async fn the_time_is_bounded() {
        for bad in ["0", "301", "-1", "x", ""] {
            let refused = cpu_profile(asked(&format!("seconds={bad}"))).await;
            assert_eq!(refused.unwrap_err().code, "INVALID_ARG_SECONDS", "{bad}");
        }
    }
}
