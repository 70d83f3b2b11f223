//! What a server asks an auth server, and what that answers.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Body, Server};
use crate::{Client, ClientOptions, Error, TlsOptions, TlsSetupError};

/// Largest answer of an auth server, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// How the question is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMethod {
    /// In the query: what NSQ 1.3 does.
    #[default]
    Get,
    /// As a form in the body, so that secrets stay out of access logs.
    Post,
}

/// Who wants to be authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthQuestion {
    /// Without the port; empty on a unix socket.
    pub remote_ip: String,
    /// The connection is encrypted.
    pub tls: bool,
    /// What the client gave with AUTH.
    pub secret: String,
    /// Of the client's certificate; empty without one.
    pub common_name: String,
}

/// What an auth server answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthAnswer {
    /// Seconds for which this holds; above 0.
    pub ttl: i64,
    pub identity: String,
    pub identity_url: String,
    #[serde(deserialize_with = "crate::null_as_default")]
    pub authorizations: Vec<Authorization>,
}

/// One permission: on all topics and channels that these regular expressions find something in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorization {
    pub topic: String,
    #[serde(deserialize_with = "crate::null_as_default")]
    pub channels: Vec<String>,
    /// `subscribe`, `publish`.
    #[serde(deserialize_with = "crate::null_as_default")]
    pub permissions: Vec<String>,
}

/// Asks auth servers. Follows no redirect: a secret goes to whom it was meant for.
#[derive(Debug, Clone)]
pub struct AuthClient {
    client: Client,
    method: AuthMethod,
}

impl AuthClient {
    /// `addresses`: those that will be asked; one of them may begin with `https://`, then the
    /// machine's certificate authorities are read.
    ///
    /// # Errors
    /// The machine's certificate authorities are needed and cannot be had.
    pub fn new(
        addresses: &[String],
        method: AuthMethod,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, TlsSetupError> {
        let tls = addresses.iter().any(|url| url.starts_with("https://"));
        let tls = tls.then(|| TlsOptions::default().build()).transpose()?;
        let client = Client::new(ClientOptions {
            connect_timeout,
            request_timeout,
            max_response_bytes: MAX_ANSWER_BYTES,
            tls,
            ..ClientOptions::default()
        });
        Ok(Self { client, method })
    }

    /// Asks the server at `address`: `host:port`, which means its `/auth`, or a whole URL.
    ///
    /// # Errors
    /// No answer, a status other than 200, or a body that is not an answer. The secret does not
    /// stand in it.
    pub async fn ask(&self, address: &str, question: &AuthQuestion) -> Result<AuthAnswer, Error> {
        let form = form(question);
        // The secret does not belong into an error: the target is told without its query.
        let (address, path) = match address.contains("://") {
            true => (address, ""),
            false => (address, "/auth"),
        };
        let server = Server {
            client: &self.client,
            address,
        };
        let body = match self.method {
            AuthMethod::Get => {
                let target = format!("{path}?{form}");
                let empty = Body::none();
                server.send_as(&Method::GET, path, &target, empty).await?
            }
            AuthMethod::Post => {
                let form = Body {
                    bytes: Bytes::from(form),
                    content_type: Some("application/x-www-form-urlencoded"),
                };
                server.send_as(&Method::POST, path, path, form).await?
            }
        };
        server.json(&Method::GET, path, &body)
    }
}

/// In NSQ's order.
fn form(question: &AuthQuestion) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("common_name", &question.common_name)
        .append_pair("remote_ip", &question.remote_ip)
        .append_pair("secret", &question.secret)
        .append_pair("tls", if question.tls { "true" } else { "false" })
        .finish()
}
