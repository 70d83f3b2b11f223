//! Where nsqlookupd listens, and who is let in.

use std::path::Path;
use std::sync::Arc;

use axum::{Extension, Router};
use nsq_daemon::http::{self, TokenError, Tokens};
use nsq_daemon::listen::{BindError, Listener};
use nsq_daemon::tls::{self, Clients, Oldest, TlsAcceptor, TlsError};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::external::{External, ExternalError};
use crate::options::Options;
use crate::{Shared, api};

/// Why nsqlookupd could not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    External(#[from] ExternalError),
}

pub(crate) struct Listeners {
    pub tcp: Listener,
    pub http: Option<Listener>,
    pub https: Option<(Listener, TlsAcceptor)>,
    pub read_only: Option<Listener>,
    /// For clients outside.
    pub external: Option<(Listener, Arc<External>)>,
    pub tls: Option<TlsAcceptor>,
    pub tokens: Option<Arc<Tokens>>,
}

impl Listeners {
    pub(crate) async fn open(options: &Options) -> Result<Self, StartError> {
        let tls = acceptor(options)?;
        let https = match (
            Listener::bind_unless_empty(&options.https_address).await?,
            tls.clone(),
        ) {
            (Some(listener), Some(tls)) => Some((listener, tls)),
            _ => None,
        };
        let external = match Listener::bind_unless_empty(&options.external_http_address).await? {
            Some(listener) => {
                let addresses = External::open(Path::new(&options.external_addresses))?;
                Some((listener, addresses))
            }
            None => None,
        };
        let tokens = match options.http_token_file.as_str() {
            "" => None,
            file => Some(Tokens::open(Path::new(file))?),
        };
        Ok(Self {
            tcp: Listener::bind(&options.tcp_address).await?,
            http: Listener::bind_unless_empty(&options.http_address).await?,
            https,
            read_only: Listener::bind_unless_empty(&options.http_read_only_address).await?,
            external,
            tls,
            tokens,
        })
    }

    /// Serves everything but TCP, for which there is the listener that is left.
    pub(crate) fn serve_http(
        self,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
        shared: &Arc<Shared>,
    ) -> Listener {
        let tokens = self.tokens.as_ref();
        if let Some((listener, addresses)) = self.external {
            let router = api::read_only_routes().into_router(shared.clone());
            let router = guarded(router.layer(Extension(addresses)), tokens);
            match self.tls {
                Some(tls) => tasks.spawn(http::serve_tls(listener, tls, router, stop.clone())),
                None => {
                    let served = http::serve_as("HTTP, outside", listener, router, stop.clone());
                    tasks.spawn(served)
                }
            };
        }
        if let Some(listener) = self.read_only {
            let router = api::read_only_routes().into_router(shared.clone());
            let served = http::serve_as("HTTP, read only", listener, router, stop.clone());
            tasks.spawn(served);
        }
        let router = guarded(api::routes().into_router(shared.clone()), tokens);
        if let Some(listener) = self.http {
            tasks.spawn(http::serve(listener, router.clone(), stop.clone()));
        }
        if let Some((listener, tls)) = self.https {
            tasks.spawn(http::serve_tls(listener, tls, router, stop.clone()));
        }
        self.tcp
    }
}

/// Lets in only who brings a token, if there are any.
fn guarded(router: Router, tokens: Option<&Arc<Tokens>>) -> Router {
    match tokens {
        Some(tokens) => tokens.clone().guard(router),
        None => router,
    }
}

fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>, TlsError> {
    if options.tls_cert.is_empty() {
        return Ok(None);
    }
    let clients = Clients::of_policy(&options.tls_client_auth_policy, &options.tls_root_ca_file);
    let (cert, key) = (Path::new(&options.tls_cert), Path::new(&options.tls_key));
    tls::acceptor(cert, key, Oldest::Tls12, clients).map(Some)
}
