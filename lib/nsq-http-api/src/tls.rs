//! TLS of the client: whom it trusts, and what it shows of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
};

/// NSQ's `http-client-tls-*` options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the certificate authorities that are trusted; `None`: the machine's.
    pub root_ca_file: Option<PathBuf>,
    /// PEM files of the own certificate and its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Trusts any server.
    pub insecure_skip_verify: bool,
}

/// TLS for [`ClientOptions`](crate::ClientOptions), ready to use.
#[derive(Debug, Clone)]
pub struct TlsClient(pub(crate) ClientConfig);

/// Why TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsSetupError {
    /// A file cannot be read, or holds no certificate or key.
    #[error("{path}: {source}")]
    File {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        source: PemError,
    },
    /// The machine has no certificate authorities.
    #[error("no certificate authorities on this machine{0}: name a file of them")]
    NoRoots(String),
    /// Certificate and key do not belong together.
    #[error("TLS: {0}")]
    Config(#[from] RustlsError),
}

impl TlsOptions {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsSetupError`].
    pub fn build(&self) -> Result<TlsClient, TlsSetupError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match self.insecure_skip_verify {
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer::new(provider))),
            false => builder.with_root_certificates(self.roots()?),
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(file_error(key))?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        Ok(TlsClient(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsSetupError> {
        let mut roots = RootCertStore::empty();
        match &self.root_ca_file {
            Some(file) => {
                for root in certificates(file)? {
                    roots.add(root)?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let why = found.errors.first();
                    let why = why.map_or(String::new(), |error| format!(" ({error})"));
                    return Err(TlsSetupError::NoRoots(why));
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(file_error(file))
}

fn file_error(file: &Path) -> impl FnOnce(PemError) -> TlsSetupError {
    let path = file.display().to_string();
    move |source| TlsSetupError::File { path, source }
}

/// Any server will do: what was asked for with `insecure_skip_verify`.
#[derive(Debug)]
pub struct AnyServer(Arc<CryptoProvider>);

impl AnyServer {
    /// Signatures are still checked, with what `provider` knows: whoever answers has the key to its certificate.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
