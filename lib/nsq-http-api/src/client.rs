//! One request: bounded in time and size, its failure told with address and code.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use crate::{Error, ErrorBody, ErrorKind, Nsqd, Nsqlookupd, TlsClient};

/// Idle connections kept per server; one is enough for a poller, more only help bursts.
const MAX_IDLE_PER_HOST: usize = 2;
/// A poller asks every second or two.
const IDLE: Duration = Duration::from_secs(3);

/// Bounds of every request. The defaults are NSQ's `http-client-*` defaults.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// For the TCP connection alone.
    pub connect_timeout: Duration,
    /// For the whole request, connecting included.
    pub request_timeout: Duration,
    /// An idle connection is closed after this time, or twice that. It holds some 40 kB: those to thousands of nodes
    /// that are asked every few minutes would be most of the memory of who asks them.
    pub idle_timeout: Duration,
    /// Largest answer accepted.
    pub max_response_bytes: usize,
    /// For addresses that begin with `https://`; without it they are refused.
    pub tls: Option<TlsClient>,
    /// File with the token that is sent along (`Authorization: Bearer`). It is read anew for each
    /// request: whoever changes the token needs to restart nobody.
    pub token_file: Option<PathBuf>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            idle_timeout: IDLE,
            max_response_bytes: 64 * 1024 * 1024,
            tls: None,
            token_file: None,
        }
    }
}

/// Asks nsqd and nsqlookupd over HTTP. Cheap to clone; clones share idle connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    options: ClientOptions,
}

#[derive(Debug, Clone)]
enum Http {
    Plain(PooledClient<HttpConnector, Full<Bytes>>),
    Tls(PooledClient<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Default for Client {
    fn default() -> Self {
        Self::new(ClientOptions::default())
    }
}

impl Client {
    /// A client with these bounds. Must be used within a Tokio runtime.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_nodelay(true);
        let mut builder = PooledClient::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(MAX_IDLE_PER_HOST);
        builder.pool_idle_timeout(options.idle_timeout);
        // Without a timer nothing is closed until the same server is asked again.
        builder.pool_timer(TokioTimer::new());
        let http = match &options.tls {
            None => Http::Plain(builder.build(connector)),
            Some(tls) => {
                connector.enforce_http(false);
                let connector = HttpsConnectorBuilder::new()
                    .with_tls_config(tls.0.clone())
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(connector);
                Http::Tls(builder.build(connector))
            }
        };
        Self { http, options }
    }

    /// The API of the nsqd at `address` (`host:port` of its HTTP listener, or `https://host:port`).
    #[must_use]
    pub fn nsqd<'a>(&'a self, address: &'a str) -> Nsqd<'a> {
        Nsqd {
            server: Server {
                client: self,
                address,
            },
        }
    }

    /// The API of the nsqlookupd at `address` (`host:port` of its HTTP listener).
    #[must_use]
    pub fn nsqlookupd<'a>(&'a self, address: &'a str) -> Nsqlookupd<'a> {
        Nsqlookupd {
            server: Server {
                client: self,
                address,
            },
        }
    }
}

impl Client {
    async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<hyper::body::Incoming>, ErrorKind> {
        let answer = match &self.http {
            Http::Plain(http) => http.request(request).await,
            Http::Tls(http) => http.request(request).await,
        };
        answer.map_err(|err| transport(&err))
    }
}

/// A client and whom it asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server<'a> {
    pub(crate) client: &'a Client,
    pub(crate) address: &'a str,
}

/// What is sent along.
pub(crate) struct Body {
    pub bytes: Bytes,
    pub content_type: Option<&'static str>,
}

impl Body {
    pub(crate) fn none() -> Self {
        Self::plain(Bytes::new())
    }

    fn plain(bytes: Bytes) -> Self {
        Self {
            bytes,
            content_type: None,
        }
    }
}

impl Server<'_> {
    /// GET, with a JSON answer.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let target = target(path, query);
        let body = self.send(Method::GET, &target, Body::none()).await?;
        self.json(&Method::GET, &target, &body)
    }

    /// An answer's body as what it should be.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        method: &Method,
        told: &str,
        body: &[u8],
    ) -> Result<T, Error> {
        serde_json::from_slice(body)
            .map_err(|err| self.error(method, told, ErrorKind::Body(err.to_string())))
    }

    /// GET, with whatever body as the answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.send(Method::GET, path, Body::none()).await
    }

    /// POST; NSQ answers nothing or `OK`, so only failure tells something.
    pub(crate) async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(), Error> {
        self.send(Method::POST, &target(path, query), Body::plain(body))
            .await
            .map(drop)
    }

    async fn send(&self, method: Method, target: &str, body: Body) -> Result<Bytes, Error> {
        self.send_as(&method, target, target, body).await
    }

    /// As [`Server::send`], with `told` as the target that an error tells of.
    pub(crate) async fn send_as(
        &self,
        method: &Method,
        told: &str,
        target: &str,
        body: Body,
    ) -> Result<Bytes, Error> {
        let limit = self.client.options.request_timeout;
        let answer = match tokio::time::timeout(limit, self.exchange(method, target, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ErrorKind::TimedOut(limit)),
        };
        answer.map_err(|kind| self.error(method, told, kind))
    }

    async fn exchange(
        &self,
        method: &Method,
        target: &str,
        body: Body,
    ) -> Result<Bytes, ErrorKind> {
        let options = &self.client.options;
        let url = match self.address.contains("://") {
            true => format!("{}{target}", self.address),
            false => format!("http://{}{target}", self.address),
        };
        let uri: Uri = url
            .parse()
            .map_err(|err| ErrorKind::Address(format!("{err}")))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("Accept", "application/vnd.nsq; version=1.0");
        if let Some(content_type) = body.content_type {
            request = request.header("Content-Type", content_type);
        }
        if let Some(file) = &options.token_file {
            let token = tokio::fs::read_to_string(file).await;
            let token =
                token.map_err(|err| ErrorKind::Token(format!("{}: {err}", file.display())))?;
            request = request.header("Authorization", format!("Bearer {}", token.trim()));
        }
        let request = request
            .body(Full::new(body.bytes))
            .map_err(|err| ErrorKind::Address(err.to_string()))?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let max = options.max_response_bytes;
        let body = match Limited::new(answer.into_body(), max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(err) if err.is::<LengthLimitError>() => return Err(ErrorKind::TooLarge(max)),
            Err(err) => return Err(transport(err.as_ref())),
        };
        if status == StatusCode::OK {
            Ok(body)
        } else {
            Err(refusal(status, &body))
        }
    }

    fn error(&self, method: &Method, target: &str, kind: ErrorKind) -> Error {
        Error {
            address: self.address.to_owned(),
            request: format!("{method} {target}"),
            kind,
        }
    }
}

fn target(path: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{path}?{query}")
}

fn refusal(status: StatusCode, body: &[u8]) -> ErrorKind {
    // nsqd's /ping is the one that refuses in plain text: "NOK - <why>".
    let code = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.message,
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(256)])
            .trim()
            .to_owned(),
    };
    ErrorKind::Status {
        status: status.as_u16(),
        code,
    }
}

/// hyper says "client error (Connect)"; the sentence people need is further down the chain.
fn transport(err: &(dyn StdError + 'static)) -> ErrorKind {
    let mut text = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    ErrorKind::Transport(text)
}
