//! TLS towards clients: a certificate and its key, from PEM files.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error as RustlsError, ServerConfig, crypto};

pub use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used, in NSQ's words.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("failed to build TLS config - {path}: {source}")]
    File { path: String, source: PemError },
    #[error("failed to build TLS config - {0}")]
    Config(#[from] RustlsError),
}

/// The oldest version spoken; the library knows none before 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oldest {
    Tls12,
    Tls13,
}

/// Serves with this certificate (and the chain after it in the file) and key.
///
/// # Errors
/// [`TlsError`] when a file cannot be read, or the two do not belong together.
pub fn acceptor(cert: &Path, key: &Path, oldest: Oldest) -> Result<TlsAcceptor, TlsError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| TlsError::File { path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(failed(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
    let versions: &[_] = match oldest {
        Oldest::Tls12 => &[&TLS12, &TLS13],
        Oldest::Tls13 => &[&TLS13],
    };
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        let error = acceptor(&missing, &missing, Oldest::Tls12).map(drop);
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("failed to build TLS config - "), "{text}");
        assert!(text.contains("missing.pem: "), "{text}");
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let error = acceptor(&empty, &empty, Oldest::Tls12).map(drop);
        assert!(error.unwrap_err().to_string().contains("empty.pem: "));
    }
}
