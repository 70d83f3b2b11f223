//! TLS towards clients: a certificate, its key and the authorities of clients, from PEM files.

mod any_client;
mod reloading;

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::Accept;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error as RustlsError, RootCertStore, SupportedProtocolVersion, crypto};

use any_client::AnyClient;
use reloading::{Files, Reloading};

/// Why a certificate cannot be used, in NSQ's words.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("failed to build TLS config - {path}: {source}")]
    File { path: String, source: PemError },
    #[error("failed to build TLS config - {0}")]
    Config(#[from] RustlsError),
    #[error("failed to build TLS config - {path}: {source}")]
    Roots {
        path: String,
        source: VerifierBuilderError,
    },
}

/// The oldest version spoken; the library knows none before 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oldest {
    Tls12,
    Tls13,
}

/// What is asked of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients<'a> {
    /// No certificate.
    Any,
    /// One, whoever signed it.
    WithCertificate,
    /// One that an authority in this file signed.
    SignedBy(&'a Path),
}

impl Oldest {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        const ALL: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
        match self {
            Self::Tls12 => ALL,
            Self::Tls13 => &ALL[1..],
        }
    }
}

impl<'a> Clients<'a> {
    /// What the options `--tls-client-auth-policy` (`require`, `require-verify` or empty) and `--tls-root-ca-file` say.
    pub fn of_policy(policy: &str, root_ca_file: &'a str) -> Self {
        match policy {
            "" => Self::Any,
            "require" => Self::WithCertificate,
            _ => Self::SignedBy(Path::new(root_ca_file)),
        }
    }
}

/// Makes TLS servers' ends of streams.
#[derive(Debug, Clone)]
pub struct TlsAcceptor(Arc<Reloading>);

impl TlsAcceptor {
    /// The server's side of a handshake, with the files as they are now or were a second ago.
    pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Accept<S> {
        tokio_rustls::TlsAcceptor::from(self.0.at(Instant::now().into_std())).accept(stream)
    }
}

/// Serves with this certificate (and the chain after it in the file) and key. They and the authorities of clients are
/// read again when they change.
///
/// # Errors
/// [`TlsError`] when a file cannot be read, or certificate and key do not belong together.
pub fn acceptor(
    cert: &Path,
    key: &Path,
    oldest: Oldest,
    clients: Clients<'_>,
) -> Result<TlsAcceptor, TlsError> {
    let files = Files {
        cert: cert.to_owned(),
        key: key.to_owned(),
        roots: clients.roots(),
        any_signer: clients == Clients::WithCertificate,
        oldest,
    };
    Ok(TlsAcceptor(Arc::new(Reloading::open(files)?)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::ring::default_provider())
}

fn verifier(
    clients: Clients<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let file = match clients {
        Clients::Any => return Ok(Arc::new(NoClientAuth)),
        Clients::WithCertificate => return Ok(Arc::new(AnyClient(Arc::clone(provider)))),
        Clients::SignedBy(file) => file,
    };
    let mut roots = RootCertStore::empty();
    for root in certificates(file)? {
        roots.add(root)?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let path = || file.display().to_string();
    let built = builder.build().map_err(|source| TlsError::Roots {
        path: path(),
        source,
    })?;
    Ok(built)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(file_error(file))
}

fn file_error(file: &Path) -> impl FnOnce(PemError) -> TlsError {
    let path = file.display().to_string();
    move |source| TlsError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        let error = acceptor(&missing, &missing, Oldest::Tls12, Clients::Any).map(drop);
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("failed to build TLS config - "), "{text}");
        assert!(text.contains("missing.pem: "), "{text}");
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let error = acceptor(&empty, &empty, Oldest::Tls12, Clients::Any).map(drop);
        assert!(error.unwrap_err().to_string().contains("empty.pem: "));
    }
}
