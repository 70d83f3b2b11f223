//! A connection that has been introduced: IDENTIFY, TLS, compression, AUTH.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nsq_codec::{Codec, Compression};
use nsq_protocol::MAGIC_V2;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::Config;
use crate::tls;
use crate::wire::{Frame, Wire};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{address}: {error}")]
    Io { address: String, error: io::Error },
    #[error("{address}: no answer within {patience:?}")]
    Silent { address: String, patience: Duration },
    #[error("{address} answered {told}")]
    Refused { address: String, told: String },
    #[error("{address}: TLS: {why}")]
    Tls { address: String, why: String },
    #[error("{address} demands AUTH, and there is no auth_secret")]
    NoSecret { address: String },
    #[error("{address} is published to from here: what it has is not taken from it again")]
    Loop { address: String },
}

/// A byte stream to an nsqd.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection, ready for commands.
pub(crate) struct Dialled {
    pub wire: Wire,
    /// The largest RDY that is allowed.
    pub most_ready: u32,
}

/// Connects and introduces itself. `admits`: whether that server is to be talked to at all.
pub(crate) async fn dial(
    address: &str,
    config: &Config,
    admits: impl FnOnce(SocketAddr) -> bool,
) -> Result<Dialled, DialError> {
    let silent = |patience| DialError::Silent {
        address: address.to_owned(),
        patience,
    };
    let failed = |error| DialError::Io {
        address: address.to_owned(),
        error,
    };
    let connected = tokio::time::timeout(config.dial_timeout, TcpStream::connect(address)).await;
    let stream = connected
        .map_err(|_| silent(config.dial_timeout))?
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let peer = stream.peer_addr().map_err(failed)?;
    if !admits(peer) {
        return Err(DialError::Loop {
            address: address.to_owned(),
        });
    }
    let introduced =
        tokio::time::timeout(config.read_timeout, introduce(address, stream, config)).await;
    introduced.map_err(|_| silent(config.read_timeout))?
}

async fn introduce(
    address: &str,
    stream: TcpStream,
    config: &Config,
) -> Result<Dialled, DialError> {
    let failed = |error| DialError::Io {
        address: address.to_owned(),
        error,
    };
    let mut wire = Wire::new(Box::new(stream), config.write_timeout);
    wire.send(MAGIC_V2).await.map_err(failed)?;
    let wishes = wishes(config).to_string();
    wire.send(&with_body("IDENTIFY\n", wishes.as_bytes()))
        .await
        .map_err(failed)?;
    let told = answer(address, &mut wire).await?;
    let told: Value = serde_json::from_slice(&told).map_err(|_| DialError::Refused {
        address: address.to_owned(),
        told: String::from_utf8_lossy(&told).into_owned(),
    })?;
    wire = upgrade(address, wire, config, &told).await?;
    if told["auth_required"] == true {
        if config.auth_secret.is_empty() {
            return Err(DialError::NoSecret {
                address: address.to_owned(),
            });
        }
        let auth = with_body("AUTH\n", config.auth_secret.as_bytes());
        wire.send(&auth).await.map_err(failed)?;
        answer(address, &mut wire).await?;
    }
    let most_ready = told["max_rdy_count"].as_u64().unwrap_or(2500);
    Ok(Dialled {
        wire,
        most_ready: u32::try_from(most_ready).unwrap_or(u32::MAX),
    })
}

/// Puts between us and the socket what was agreed.
async fn upgrade(
    address: &str,
    mut wire: Wire,
    config: &Config,
    told: &Value,
) -> Result<Wire, DialError> {
    let refused = |why: &str| DialError::Tls {
        address: address.to_owned(),
        why: why.to_owned(),
    };
    if config.tls_v1 {
        if told["tls_v1"] != true {
            return Err(refused("this nsqd has no certificate"));
        }
        let connector = tls::connector(config).map_err(|why| refused(&why))?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| refused(&error.to_string()))?;
        // Nothing was read ahead: with TLS it is the client who speaks first.
        let (stream, _) = wire.into_parts();
        let connected = connector.connect(name, stream).await;
        let stream = connected.map_err(|error| refused(&error.to_string()))?;
        wire = Wire::new(Box::new(stream), config.write_timeout);
        answer(address, &mut wire).await?;
    }
    let compression = match (told["snappy"] == true, told["deflate"] == true) {
        (true, _) => Some(Compression::Snappy),
        (_, true) => {
            let level = told["deflate_level"].as_u64().unwrap_or(6);
            Some(Compression::Deflate(level.clamp(1, 9) as u32))
        }
        _ => None,
    };
    if let Some(compression) = compression {
        let (stream, read) = wire.into_parts();
        let stream = Compressed {
            stream,
            codec: Codec::new(compression, read),
        };
        wire = Wire::new(Box::new(stream), config.write_timeout);
        answer(address, &mut wire).await?;
    }
    Ok(wire)
}

fn wishes(config: &Config) -> Value {
    let or_host = |text: &str| match text {
        "" => nsq_daemon::identity::hostname(),
        text => text.to_owned(),
    };
    let mut wishes = json!({
        "client_id": or_host(&config.client_id),
        "hostname": or_host(&config.hostname),
        "user_agent": config.user_agent,
        "feature_negotiation": true,
        "tls_v1": config.tls_v1,
        "deflate": config.deflate,
        "deflate_level": config.deflate_level,
        "snappy": config.snappy,
        "sample_rate": config.sample_rate,
        "output_buffer_size": config.output_buffer_size,
        "output_buffer_timeout": config.output_buffer_timeout,
    });
    // What is not said is up to nsqd.
    for (key, time) in [
        ("heartbeat_interval", config.heartbeat_interval),
        ("msg_timeout", config.msg_timeout),
    ] {
        if !time.is_zero() {
            wishes[key] = json!(time.as_millis() as u64);
        }
    }
    wishes
}

async fn answer(address: &str, wire: &mut Wire) -> Result<Vec<u8>, DialError> {
    loop {
        let frame = wire.frame().await.map_err(|error| DialError::Io {
            address: address.to_owned(),
            error,
        })?;
        match frame {
            Frame::Heartbeat => {}
            Frame::Response(data) => return Ok(data),
            Frame::Error(told) => {
                return Err(DialError::Refused {
                    address: address.to_owned(),
                    told,
                });
            }
            Frame::Message(_) => {
                return Err(DialError::Refused {
                    address: address.to_owned(),
                    told: "with a message that nobody asked for".to_owned(),
                });
            }
        }
    }
}

/// A command with a body behind its size.
pub(crate) fn with_body(command: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(command.len() + 4 + body.len());
    bytes.extend_from_slice(command.as_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A stream with a codec before it.
struct Compressed {
    stream: Box<dyn Stream>,
    codec: Codec,
}

impl AsyncRead for Compressed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.codec.poll_read(&mut this.stream, cx, buffer)
    }
}

impl AsyncWrite for Compressed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.codec.poll_write(&mut this.stream, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.codec.poll_flush(&mut this.stream, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
