//! What TLS is served with, read again when its files change: certificates are renewed, and authorities exchanged,
//! without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::{Clients, Oldest, TlsError, certificates, file_error, verifier};
use crate::reread::Reread;

/// Everything that is read.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    /// Of the authorities that sign clients' certificates.
    pub(super) roots: Option<PathBuf>,
    /// Clients need a certificate, whoever signed it.
    pub(super) any_signer: bool,
    pub(super) oldest: Oldest,
}

#[derive(Debug)]
pub(super) struct Reloading {
    files: Files,
    config: Mutex<Reread<Arc<ServerConfig>>>,
}

impl Reloading {
    /// # Errors
    /// [`TlsError`] when a file cannot be read, or certificate and key do not belong together.
    pub(super) fn open(files: Files) -> Result<Self, TlsError> {
        let config = Reread::open(&files.paths(), || files.read())?;
        Ok(Self {
            files,
            config: Mutex::new(config),
        })
    }

    /// For a handshake that begins at `now`. A session of a configuration before cannot be resumed: whoever is no
    /// longer let in has to show a certificate again.
    pub(super) fn at(&self, now: Instant) -> Arc<ServerConfig> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        match config.look(now, &self.files.paths(), || self.files.read()) {
            None => {}
            Some(Ok(())) => tracing::info!("TLS: {} was read anew", self.files.cert.display()),
            // Files change one after the other; until they belong together, and whatever is wrong with them, what
            // was read before serves on.
            Some(Err(error)) => tracing::warn!("TLS: the certificates before are kept - {error}"),
        }
        Arc::clone(config.value())
    }
}

impl Files {
    fn paths(&self) -> Vec<&Path> {
        let all = [&self.cert, &self.key].into_iter().chain(&self.roots);
        all.map(PathBuf::as_path).collect()
    }

    fn clients(&self) -> Clients<'_> {
        match self.roots.as_deref() {
            Some(roots) => Clients::SignedBy(roots),
            None if self.any_signer => Clients::WithCertificate,
            None => Clients::Any,
        }
    }

    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(file_error(&self.key))?;
        let provider = super::provider();
        let verifier = verifier(self.clients(), &provider)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.oldest.versions())?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        Ok(Arc::new(config))
    }
}

impl Clients<'_> {
    /// The file that is read for it.
    pub(super) fn roots(self) -> Option<PathBuf> {
        match self {
            Self::SignedBy(file) => Some(Path::to_owned(file)),
            Self::Any | Self::WithCertificate => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn make() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_renewed_is_served_and_what_is_broken_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let [cert, key, roots] = ["cert", "key", "roots"].map(|name| directory.path().join(name));
        let (first, second) = (make(), make());
        fs::write(&cert, &first.0).unwrap();
        fs::write(&key, &first.1).unwrap();
        fs::write(&roots, &first.0).unwrap();
        let files = || Files {
            cert: cert.clone(),
            key: key.clone(),
            roots: Some(roots.clone()),
            any_signer: false,
            oldest: Oldest::Tls12,
        };
        let reloading = Reloading::open(files()).unwrap();
        let start = Instant::now();
        let served = |seconds| reloading.at(start + Duration::from_secs(seconds));
        let before = served(0);
        // The certificate first: it does not belong to the key yet.
        fs::write(&cert, format!("{}\n", second.0)).unwrap();
        assert!(Arc::ptr_eq(&served(2), &before));
        fs::write(&key, format!("{}\n", second.1)).unwrap();
        assert!(Arc::ptr_eq(&served(2), &before), "not looked at so soon");
        let renewed = served(4);
        assert!(!Arc::ptr_eq(&renewed, &before));
        assert!(Arc::ptr_eq(&served(6), &renewed), "nothing has changed");
        fs::write(&roots, "").unwrap();
        assert!(Arc::ptr_eq(&served(8), &renewed), "nobody could come in");
        fs::write(&roots, format!("{}{}", first.0, second.0)).unwrap();
        let authorities = served(10);
        assert!(!Arc::ptr_eq(&authorities, &renewed));
        fs::remove_file(&key).unwrap();
        assert!(Arc::ptr_eq(&served(12), &authorities));
        assert!(Reloading::open(files()).is_err());
    }
}
