//! What handlers answer.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nsq_http_api::ErrorBody;
use serde::Serialize;

const X_NSQ_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-nsq-content-type");
const VERSION_1: HeaderValue = HeaderValue::from_static("nsq; version=1.0");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A good answer; status 200.
#[derive(Debug)]
pub enum Answer {
    /// Done, and nothing to say.
    Empty,
    /// Text of the API: `OK`, `/stats`.
    Text(String),
    /// JSON of the API.
    Json(String),
    /// Text outside the versioned API, without its header: `/ping`, `/metrics`.
    Plain(String),
    /// What programs read.
    Bytes(Vec<u8>),
}

impl Answer {
    /// JSON of a value.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` for a value that JSON cannot express.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, ApiError> {
        match serde_json::to_string(value) {
            Ok(text) => Ok(Self::Json(text)),
            Err(err) => {
                tracing::error!("cannot write an answer as JSON - {err}");
                Err(ApiError::new(500, "INTERNAL_ERROR"))
            }
        }
    }

    /// What publishing answers.
    #[must_use]
    pub fn ok() -> Self {
        Self::Text("OK".to_owned())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Empty => [(X_NSQ_CONTENT_TYPE, VERSION_1)].into_response(),
            Self::Text(text) => (
                [(CONTENT_TYPE, TEXT), (X_NSQ_CONTENT_TYPE, VERSION_1)],
                text,
            )
                .into_response(),
            Self::Json(text) => (
                [(CONTENT_TYPE, JSON), (X_NSQ_CONTENT_TYPE, VERSION_1)],
                text,
            )
                .into_response(),
            Self::Plain(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
            Self::Bytes(bytes) => ([(CONTENT_TYPE, BYTES)], bytes).into_response(),
        }
    }
}

/// A refusal: `{"message":"TOPIC_NOT_FOUND"}` with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
}

impl ApiError {
    /// A status (an unknown number is taken as 500) and NSQ's code.
    #[must_use]
    pub fn new(status: u16, code: &'static str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code }
    }

    /// 400, the status of everything that is wrong with a request.
    #[must_use]
    pub fn bad_request(code: &'static str) -> Self {
        Self::new(400, code)
    }

    /// 404.
    #[must_use]
    pub fn not_found(code: &'static str) -> Self {
        Self::new(404, code)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            message: self.code.to_owned(),
        };
        match serde_json::to_string(&body) {
            Ok(text) => (self.status, Answer::Json(text)).into_response(),
            Err(_) => self.status.into_response(),
        }
    }
}
