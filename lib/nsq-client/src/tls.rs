//! TLS to an nsqd, from the options.

use std::sync::Arc;

use nsq_http_api::AnyServer;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use crate::config::Config;

/// # Errors
/// A sentence: which file is missing or holds what it should not.
pub(crate) fn connector(config: &Config) -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match config.tls_min_version.as_str() {
        "tls1.3" => &[&version::TLS13],
        _ => &[&version::TLS13, &version::TLS12],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match config.tls_insecure_skip_verify {
        true => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer::new(provider))),
        false => builder.with_root_certificates(roots(&config.tls_root_ca_file)?),
    };
    let built = match config.tls_cert.is_empty() {
        true => builder.with_no_client_auth(),
        false => {
            let (cert, key) = (&config.tls_cert, &config.tls_key);
            let chain = certificates(cert)?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("{cert}: {error}"))?
        }
    };
    Ok(TlsConnector::from(Arc::new(built)))
}

fn roots(file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if file.is_empty() {
        let native = rustls_native_certs::load_native_certs();
        let (_, _) = roots.add_parsable_certificates(native.certs);
    } else {
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .map_err(|error| format!("{file}: {error}"))?;
        }
    }
    match roots.is_empty() {
        true => Err("no authority to trust: give tls_root_ca_file".to_owned()),
        false => Ok(roots),
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| format!("{file}: {error}"))?;
    match found.is_empty() {
        true => Err(format!("{file}: no certificate in it")),
        false => Ok(found),
    }
}
