//! A connection to an nsqd that becomes a link: IDENTIFY, TLS and AUTH as for everyone, then PAIR or RELOCATE.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nsq_daemon::options::Opt;
use nsq_protocol::{FRAME_ERROR, FRAME_RESPONSE, HEARTBEAT, MAGIC_V2, PairRole};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Bound of connecting and of each answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer to IDENTIFY or AUTH.
const ANSWER_MAX: u32 = 64 << 10;

/// How to get in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// Empty: no AUTH.
    pub auth_secret: String,
    /// Speak TLS with all nsqds.
    pub tls: bool,
    /// File with the authorities that sign their certificates.
    pub tls_root_ca_file: String,
    /// Own certificate, for nsqds that ask for one.
    pub tls_cert: String,
    pub tls_key: String,
}

/// Options of a mode that connects to nsqds.
pub trait NeedsAccess {
    /// Where they are.
    fn access(&mut self) -> &mut Access;
}

impl Access {
    /// Its flags.
    #[rustfmt::skip] // a table: one option, two lines
    pub fn table<O: NeedsAccess + 'static>() -> Vec<Opt<O>> {
        let text = str::to_owned;
        vec![
            Opt::value("auth-secret", |o: &mut O| &mut o.access().auth_secret, text(""),
                "secret for nsqds that require AUTH"),
            Opt::value("tls", |o: &mut O| &mut o.access().tls, false,
                "speak TLS with the nsqds"),
            Opt::value("tls-root-ca-file", |o: &mut O| &mut o.access().tls_root_ca_file, text(""),
                "file with the authorities that sign the nsqds' certificates"),
            Opt::value("tls-cert", |o: &mut O| &mut o.access().tls_cert, text(""),
                "file with the own certificate, for nsqds that ask for one"),
            Opt::value("tls-key", |o: &mut O| &mut o.access().tls_key, text(""),
                "file with its key"),
        ]
    }

    /// What cannot be.
    pub fn wrong(&self) -> Option<&'static str> {
        match () {
            () if self.tls && self.tls_root_ca_file.is_empty() => {
                Some("--tls needs --tls-root-ca-file")
            }
            () if self.tls_cert.is_empty() != self.tls_key.is_empty() => {
                Some("--tls-cert and --tls-key must be given together")
            }
            () => None,
        }
    }
}

/// What the link is for, and what nsqd says if it can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Pair,
    Relocate,
}

impl Feature {
    fn key(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Relocate => "relocate",
        }
    }
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{address}: {error}")]
    Io { address: String, error: io::Error },
    #[error("nsqd answered {0}")]
    Refused(String),
    #[error("this nsqd has no peer: it was started without --pair-with")]
    NoPair,
    #[error("{0} is no nsqd that can move messages to others")]
    NoRelocation(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("no answer within {PATIENCE:?}")]
    Silent,
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// A byte stream to an nsqd.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How to speak TLS.
pub struct Tls(TlsConnector);

/// From the options; `None` without TLS.
pub fn tls(options: &Access) -> Result<Option<Tls>, ConnectError> {
    if !options.tls {
        return Ok(None);
    }
    let failed =
        |what: &str, error: &dyn std::fmt::Display| ConnectError::Tls(format!("{what}: {error}"));
    let read = |path: &str| fs::read(path).map_err(|error| failed(path, &error));
    let mut roots = RootCertStore::empty();
    let pem = read(&options.tls_root_ca_file)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(&options.tls_root_ca_file, &error))?;
        roots
            .add(certificate)
            .map_err(|error| failed(&options.tls_root_ca_file, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("versions", &error))?
        .with_root_certificates(roots);
    let config = match options.tls_cert.is_empty() {
        true => config.with_no_client_auth(),
        false => {
            let (cert, key) = (read(&options.tls_cert)?, read(&options.tls_key)?);
            let chain = CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|error| failed(&options.tls_cert, &error))?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|error| failed(&options.tls_key, &error))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|error| failed("certificate", &error))?
        }
    };
    Ok(Some(Tls(TlsConnector::from(Arc::new(config)))))
}

/// Introduces itself on a connection without TLS, as whoever carries a journal.
///
/// # Errors
/// What nsqd said against it.
pub async fn introduce<S: Stream>(mut stream: S) -> Result<S, ConnectError> {
    stream.write_all(MAGIC_V2).await?;
    identify(&mut stream, false, Feature::Pair).await?;
    Ok(stream)
}

/// Connects; with TLS also negotiates that.
pub async fn connect(
    address: &str,
    tls: Option<&Tls>,
    feature: Feature,
) -> Result<Box<dyn Stream>, ConnectError> {
    let failed = |error: io::Error| ConnectError::Io {
        address: address.to_owned(),
        error,
    };
    let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
    let mut stream = connected
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let Some(tls) = tls else {
        stream.write_all(MAGIC_V2).await.map_err(failed)?;
        identify(&mut stream, false, feature).await?;
        return Ok(Box::new(stream));
    };
    stream.write_all(MAGIC_V2).await.map_err(failed)?;
    identify(&mut stream, true, feature).await?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host)
        .map_err(|error| ConnectError::Tls(format!("{address}: {error}")))?;
    let mut stream = tls.0.connect(name, stream).await.map_err(failed)?;
    answer(&mut stream).await?; // an OK inside
    Ok(Box::new(stream))
}

async fn identify(
    stream: &mut (impl Stream + ?Sized),
    tls: bool,
    feature: Feature,
) -> Result<(), ConnectError> {
    let wishes = serde_json::json!({
        "user_agent": concat!("nsq_to_nsq/", env!("CARGO_PKG_VERSION")),
        "feature_negotiation": true,
        feature.key(): true,
        "tls_v1": tls,
    });
    let told = ask(stream, "IDENTIFY", wishes.to_string().as_bytes()).await?;
    let told: serde_json::Value = serde_json::from_slice(&told)
        .map_err(|_| ConnectError::Refused(String::from_utf8_lossy(&told).into_owned()))?;
    if told[feature.key()] != true {
        return Err(match feature {
            Feature::Pair => ConnectError::NoPair,
            Feature::Relocate => ConnectError::NoRelocation(told["version"].to_string()),
        });
    }
    if told["tls_v1"] != tls {
        return Err(ConnectError::Tls("nsqd has no certificate".to_owned()));
    }
    Ok(())
}

/// Makes an identified connection a link. An empty `secret`: no AUTH.
///
/// # Errors
/// What nsqd said against it.
pub async fn link<S: Stream>(
    mut stream: S,
    role: PairRole,
    secret: &str,
) -> Result<S, ConnectError> {
    if !secret.is_empty() {
        ask(&mut stream, "AUTH", secret.as_bytes()).await?;
    }
    let command = format!("{} {}\n", role.verb(), role.name());
    stream.write_all(command.as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

/// A command with a body, and its answer.
async fn ask(
    stream: &mut (impl Stream + ?Sized),
    verb: &str,
    body: &[u8],
) -> Result<Vec<u8>, ConnectError> {
    let mut bytes = format!("{verb}\n").into_bytes();
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    answer(stream).await
}

async fn answer(stream: &mut (impl Stream + ?Sized)) -> Result<Vec<u8>, ConnectError> {
    let answered = tokio::time::timeout(PATIENCE, read_answer(stream)).await;
    answered.map_err(|_| ConnectError::Silent)?
}

async fn read_answer(stream: &mut (impl Stream + ?Sized)) -> Result<Vec<u8>, ConnectError> {
    loop {
        let size = stream.read_u32().await?;
        let kind = stream.read_u32().await?;
        if !(4..=ANSWER_MAX).contains(&size) {
            return Err(ConnectError::Refused(format!("a frame of {size} bytes")));
        }
        let mut data = vec![0; size as usize - 4];
        stream.read_exact(&mut data).await?;
        match kind {
            FRAME_RESPONSE if data == HEARTBEAT => {}
            FRAME_RESPONSE => return Ok(data),
            FRAME_ERROR => {
                let text = String::from_utf8_lossy(&data).into_owned();
                return Err(ConnectError::Refused(text));
            }
            other => return Err(ConnectError::Refused(format!("a frame of type {other}"))),
        }
    }
}
