//! A certificate that is read again when its files change: it is renewed without a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{TlsError, certificates, file_error};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Files that can be told apart by when they were changed, and their sizes.
type Stamp = [Option<(SystemTime, u64)>; 2];

#[derive(Debug)]
pub(super) struct Reloading {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    stamp: Stamp,
    certified: Arc<CertifiedKey>,
}

impl Reloading {
    /// # Errors
    /// [`TlsError`] when a file cannot be read, or the two do not belong together.
    pub(super) fn open(
        cert: &Path,
        key: &Path,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        // Before reading: what changes in between is seen the next time.
        let stamp = stamp(cert, key);
        Ok(Self {
            known: Mutex::new(Known {
                looked: Instant::now(),
                stamp,
                certified: Arc::new(read(cert, key, provider)?),
            }),
            cert: cert.to_owned(),
            key: key.to_owned(),
            provider: Arc::clone(provider),
        })
    }

    fn at(&self, now: Instant) -> Arc<CertifiedKey> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(known.looked) >= LOOK {
            known.looked = now;
            let stamp = stamp(&self.cert, &self.key);
            if stamp != known.stamp {
                match read(&self.cert, &self.key, &self.provider) {
                    Ok(certified) => {
                        (known.stamp, known.certified) = (stamp, Arc::new(certified));
                        tracing::info!("TLS: {} was read anew", self.cert.display());
                    }
                    // The two files change one after the other; until they belong together, and
                    // whatever is wrong with them, the certificate before serves on.
                    Err(error) => tracing::warn!("TLS: the certificate before is kept - {error}"),
                }
            }
        }
        Arc::clone(&known.certified)
    }
}

impl ResolvesServerCert for Reloading {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Instant::now()))
    }
}

fn stamp(cert: &Path, key: &Path) -> Stamp {
    [cert, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(cert: &Path, key: &Path, provider: &Arc<CryptoProvider>) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(file_error(key))?;
    let certified = CertifiedKey::from_der(chain, key, provider)?;
    Ok(certified)
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::crypto::ring::default_provider;

    use super::*;

    #[test]
    fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
        let make = || {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let der = made.cert.der().clone();
            (made.cert.pem(), made.signing_key.serialize_pem(), der)
        };
        let (first, second) = (make(), make());
        fs::write(&cert, &first.0).unwrap();
        fs::write(&key, &first.1).unwrap();
        let provider = Arc::new(default_provider());
        let reloading = Reloading::open(&cert, &key, &provider).unwrap();
        let start = Instant::now();
        let served = |seconds| reloading.at(start + Duration::from_secs(seconds)).cert[0].clone();
        assert_eq!(served(0), first.2);
        // The certificate first: it does not belong to the key yet.
        fs::write(&cert, format!("{}\n", second.0)).unwrap();
        assert_eq!(served(2), first.2);
        fs::write(&key, format!("{}\n", second.1)).unwrap();
        assert_eq!(served(2), first.2, "not looked at again so soon");
        assert_eq!(served(4), second.2);
        fs::remove_file(&key).unwrap();
        assert_eq!(served(6), second.2);
        assert!(Reloading::open(&cert, &key, &provider).is_err());
    }
}
