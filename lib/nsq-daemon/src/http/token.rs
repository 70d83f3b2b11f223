//! Bearer tokens: who has one of those in a file may use the API.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::ApiError;
use crate::reread::Reread;

/// Largest file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Why tokens cannot be had.
#[derive(Debug, Error)]
#[error("token file {path}: {why}")]
pub struct TokenError {
    path: String,
    why: String,
}

/// The tokens in a file, one a line, without what is blank around them. It is read again when it
/// changes; while it cannot be read, nobody is let in.
#[derive(Debug)]
pub struct Tokens {
    file: PathBuf,
    /// Of equal length, whatever the tokens are: comparing tells nothing about them.
    digests: Mutex<Reread<Vec<[u8; 32]>>>,
}

impl Tokens {
    /// # Errors
    /// The file cannot be read, or has no token.
    pub fn open(file: &Path) -> Result<Arc<Self>, TokenError> {
        let digests = Reread::open(&[file], || read(file))?;
        Ok(Arc::new(Self {
            file: file.to_owned(),
            digests: Mutex::new(digests),
        }))
    }

    /// Lets into `router` only who brings a token.
    pub fn guard(self: Arc<Self>, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, require))
    }

    fn allows(&self, headers: &HeaderMap, now: Instant) -> bool {
        let presented = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let presented = presented.and_then(|text| text.split_once(' '));
        let Some((_, token)) =
            presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        else {
            return false;
        };
        let digest = digest(token.trim());
        let mut known = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        match known.look(now, &[&self.file], || read(&self.file)) {
            None => {}
            Some(Ok(())) => tracing::info!("HTTP: tokens were read anew"),
            Some(Err(error)) => {
                known.set(Vec::new());
                tracing::error!("HTTP: nobody is let in - {error}");
            }
        }
        // All of them, whichever it is.
        let found = known.value().iter().map(|known| known.ct_eq(&digest));
        found.fold(0u8, |any, equal| any | equal.unwrap_u8()) == 1
    }
}

async fn require(State(tokens): State<Arc<Tokens>>, request: Request, next: Next) -> Response {
    if tokens.allows(request.headers(), Instant::now()) {
        return next.run(request).await;
    }
    let bearer = [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
    (bearer, ApiError::new(401, "UNAUTHORIZED")).into_response()
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn read(file: &Path) -> Result<Vec<[u8; 32]>, TokenError> {
    let failed = |why: String| TokenError {
        path: file.display().to_string(),
        why,
    };
    let metadata = fs::metadata(file).map_err(|error| failed(error.to_string()))?;
    if metadata.len() > MAX_FILE {
        return Err(failed(format!("larger than {MAX_FILE} bytes")));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let digests: Vec<_> = tokens.map(digest).collect();
    match digests.is_empty() {
        true => Err(failed("has no token".to_owned())),
        false => Ok(digests),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_change_with_their_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        assert!(Tokens::open(&file).is_err());
        fs::write(&file, "\n \n").unwrap();
        assert!(Tokens::open(&file).is_err());
        fs::write(&file, " one \ntwo\n").unwrap();
        let tokens = Tokens::open(&file).unwrap();
        let start = Instant::now();
        let allows = |header: &str, seconds: u64| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().unwrap());
            tokens.allows(&headers, start + Duration::from_secs(seconds))
        };
        assert!(allows("Bearer one", 0) && allows("bearer  two", 0));
        for other in ["Bearer on", "Bearer ", "Bearer one two", "Basic one", "one"] {
            assert!(!allows(other, 0), "{other}");
        }
        fs::write(&file, "three, longer").unwrap();
        assert!(allows("Bearer three, longer", 2));
        assert!(!allows("Bearer one", 2));
        fs::remove_file(&file).unwrap();
        assert!(!allows("Bearer three, longer", 4), "closed, not open");
        fs::write(&file, "four").unwrap();
        assert!(allows("Bearer four", 6));
    }
}
