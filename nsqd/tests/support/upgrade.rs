//! Clients that negotiate TLS, snappy and deflate.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::{Node, identify};

/// A certificate that signs itself, and its files.
pub struct Cert {
    directory: TempDir,
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Cert {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("cert"), made.cert.pem()).unwrap();
        let key = made.signing_key;
        std::fs::write(directory.path().join("key"), key.serialize_pem()).unwrap();
        Self {
            directory,
            der: made.cert.der().clone(),
            key: key.serialize_der(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn flags(&self) -> [String; 3] {
        [
            format!("--tls-cert={}", self.path("cert").display()),
            format!("--tls-key={}", self.path("key").display()),
            "--https-address=127.0.0.1:0".to_owned(),
        ]
    }

    /// A client that trusts this certificate, and shows its own if it has one.
    pub fn client(&self, own: Option<&Cert>) -> Arc<ClientConfig> {
        self.client_speaking(&[&TLS12, &TLS13], own)
    }

    /// As [`Cert::client`], and speaks these versions of TLS.
    pub fn client_speaking(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Cert>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::Pkcs8(own.key.clone().into());
                config
                    .with_client_auth_cert(vec![own.der.clone()], key)
                    .unwrap()
            }
        })
    }
}

pub async fn node(cert: &Cert, more: &[&str]) -> Node {
    let flags = cert.flags();
    let flags: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    Node::start(&flags).await
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compression {
    None,
    Snappy,
    Deflate,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A client that decodes all it ever received anew whenever more comes: slow, and simple.
pub struct Client {
    pub stream: Box<dyn Stream>,
    compression: Compression,
    encoder: Encoder,
    received: Vec<u8>,
    read: usize,
}

pub enum Encoder {
    None,
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
    Deflate(flate2::Compress),
}

impl Client {
    pub fn plain(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            compression: Compression::None,
            encoder: Encoder::None,
            received: Vec::new(),
            read: 0,
        }
    }

    pub fn compress(&mut self, compression: Compression) {
        self.received.drain(..self.read);
        self.read = 0;
        self.compression = compression;
        self.encoder = match compression {
            Compression::None => Encoder::None,
            Compression::Snappy => {
                Encoder::Snappy(Box::new(snap::write::FrameEncoder::new(Vec::new())))
            }
            Compression::Deflate => {
                Encoder::Deflate(flate2::Compress::new(flate2::Compression::fast(), false))
            }
        };
    }

    pub fn encode(&mut self, bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        match &mut self.encoder {
            Encoder::None => bytes.to_vec(),
            Encoder::Snappy(encoder) => {
                encoder.write_all(bytes).unwrap();
                encoder.flush().unwrap();
                std::mem::take(encoder.get_mut())
            }
            Encoder::Deflate(encoder) => {
                let mut out = Vec::with_capacity(bytes.len() * 2 + 1024); // all of it fits
                let flush = flate2::FlushCompress::Sync;
                encoder.compress_vec(bytes, &mut out, flush).unwrap();
                assert!(out.len() < out.capacity());
                out
            }
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        let bytes = self.encode(bytes);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub fn decoded(&self) -> Vec<u8> {
        let mut decoder: Box<dyn Read> = match self.compression {
            Compression::None => Box::new(self.received.as_slice()),
            Compression::Snappy => Box::new(snap::read::FrameDecoder::new(&self.received[..])),
            Compression::Deflate => Box::new(flate2::read::DeflateDecoder::new(&self.received[..])),
        };
        let (mut all, mut part) = (Vec::new(), [0; 64 * 1024]);
        while let Ok(size @ 1..) = decoder.read(&mut part) {
            all.extend_from_slice(&part[..size]);
        }
        all
    }

    /// Type and data of the next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let decoded = self.decoded();
            let rest = &decoded[self.read..];
            if let Some(size) = rest.first_chunk::<4>() {
                let end = 4 + u32::from_be_bytes(*size) as usize;
                if rest.len() >= end {
                    self.read += end;
                    return Some((rest[7], rest[8..end].to_vec()));
                }
            }
            let mut more = vec![0; 64 * 1024];
            let size = self.stream.read(&mut more).await.unwrap_or(0);
            if size == 0 {
                return None;
            }
            self.received.extend_from_slice(&more[..size]);
        }
    }

    pub async fn expect(&mut self, kind: u8, text: &str) {
        let (got, data) = self.frame().await.unwrap();
        assert_eq!((got, String::from_utf8_lossy(&data).as_ref()), (kind, text));
    }
}

pub fn wishes(tls: bool, compression: Compression) -> Vec<u8> {
    identify(&format!(
        r#"{{"client_id":"c","feature_negotiation":true,"tls_v1":{tls},"snappy":{},"deflate":{},"deflate_level":3}}"#,
        compression == Compression::Snappy,
        compression == Compression::Deflate,
    ))
}

/// A connection whose socket holds no more than `buffer` bytes either way.
pub fn attach(node: &Node, buffer: usize) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(buffer);
    let serve = nsqd::engine::serve(Arc::clone(&node.nsqd), theirs, "127.0.0.1:1".to_owned());
    tokio::spawn(serve);
    ours
}

/// Reads one frame and not a byte more.
pub async fn one_frame(stream: &mut DuplexStream) -> serde_json::Value {
    let size = stream.read_u32().await.unwrap() as usize;
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame).await.unwrap();
    serde_json::from_slice(&frame[4..]).unwrap_or_else(|_| panic!("{frame:?}"))
}

pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

pub async fn upgraded(
    node: &Node,
    config: Arc<ClientConfig>,
    tls: bool,
    compression: Compression,
    buffer: usize,
) -> Client {
    let mut stream = attach(node, buffer);
    stream.write_all(b"  V2").await.unwrap();
    stream.write_all(&wishes(tls, compression)).await.unwrap();
    let agreed = one_frame(&mut stream).await;
    assert_eq!(agreed["tls_v1"], tls);
    assert_eq!(agreed["snappy"], compression == Compression::Snappy);
    assert_eq!(agreed["deflate"], compression == Compression::Deflate);
    let mut client = match tls {
        false => Client::plain(Box::new(stream)),
        true => {
            let stream = TlsConnector::from(config)
                .connect(localhost(), stream)
                .await;
            let mut client = Client::plain(Box::new(stream.unwrap()));
            client.expect(0, "OK").await;
            client
        }
    };
    if compression != Compression::None {
        client.compress(compression);
        client.expect(0, "OK").await;
    }
    client
}
