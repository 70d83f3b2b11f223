//! The query of a request, read as strictly as NSQ reads it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::ApiError;

/// Query parameters; of a repeated one the first counts.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a raw query. `None` if it has a semicolon or a bad escape, which Go refuses as well.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let good = !query.contains(';') && escapes_are_good(query.as_bytes());
        good.then(|| {
            Self(
                form_urlencoded::parse(query.as_bytes())
                    .into_owned()
                    .collect(),
            )
        })
    }

    /// The value, `Some("")` when it is there and empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The value, or `missing` as a 400.
    ///
    /// # Errors
    /// When the parameter is not there at all.
    pub fn required(&self, key: &str, missing: &'static str) -> Result<&str, ApiError> {
        self.get(key).ok_or(ApiError::bad_request(missing))
    }
}

fn escapes_are_good(query: &[u8]) -> bool {
    query
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| {
            query
                .get(at + 1..at + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        })
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Self::parse(query).ok_or(ApiError::bad_request("INVALID_REQUEST"))
    }
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn reads_queries_as_go_does() {
        let params = Params::parse("topic=a%23b&x&topic=c&y=1+2").unwrap();
        assert_eq!(params.get("topic"), Some("a#b"));
        assert_eq!((params.get("x"), params.get("y")), (Some(""), Some("1 2")));
        assert_eq!(params.get("z"), None);
        for bad in ["topic=t;1", "topic=%zz", "a=%", "a=%4", "%g0=1"] {
            assert!(Params::parse(bad).is_none(), "{bad}");
        }
    }
}
