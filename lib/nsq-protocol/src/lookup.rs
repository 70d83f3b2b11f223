//! The protocol V1 between nsqd and nsqlookupd: lines from nsqd, answers with a length in front and
//! no frame type. Every error ends the connection.

use serde::{Deserialize, Serialize};

use crate::parts::shown;
use crate::{ProtocolError, is_valid_name};

/// What nsqd sends first.
pub const MAGIC_V1: &[u8; 4] = b"  V1";

/// The answer to everything but IDENTIFY.
pub const OK: &[u8] = b"OK";

/// Who nsqd is, the body of IDENTIFY; and who nsqlookupd is, its answer. JSON, keys in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerInfo {
    /// The host under which clients reach it.
    pub broadcast_address: String,
    pub hostname: String,
    pub http_port: i32,
    pub tcp_port: i32,
    pub version: String,
    /// Where it is, if it was told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_zone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_region: String,
    /// What its peer calls it, if it is one of a replication pair.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pair_name: String,
}

impl PeerInfo {
    /// Reads the body of an IDENTIFY.
    ///
    /// # Errors
    /// `E_BAD_BODY` if it is not such JSON, or if anything but the hostname is missing.
    pub fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let bad = |text| ProtocolError::fatal("E_BAD_BODY", text);
        // `null` is an empty object, as Go's decoder has it.
        let info: Option<Self> =
            serde_json::from_slice(body).map_err(|_| bad("IDENTIFY failed to decode JSON body"))?;
        let info = info.unwrap_or_default();
        let missing = info.broadcast_address.is_empty()
            || info.version.is_empty()
            || info.tcp_port == 0
            || info.http_port == 0;
        if missing {
            Err(bad("IDENTIFY missing fields"))
        } else {
            Ok(info)
        }
    }
}

/// A line from nsqd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupCommand {
    /// A 4-byte big-endian size and a [`PeerInfo`] follow.
    Identify,
    Ping,
    Register(Registration),
    Unregister(Registration),
}

/// A topic, or a channel of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub topic: String,
    pub channel: Option<String>,
}

impl LookupCommand {
    /// Reads a line, with or without its end. `identified` tells whether an IDENTIFY came before.
    ///
    /// # Errors
    /// `E_INVALID`, `E_BAD_TOPIC` or `E_BAD_CHANNEL`, as nsqlookupd answers them.
    pub fn parse(line: &[u8], identified: bool) -> Result<Self, ProtocolError> {
        let mut words = line.trim_ascii().split(|byte| *byte == b' ');
        match words.next().unwrap_or_default() {
            b"PING" => Ok(Self::Ping),
            b"IDENTIFY" if identified => Err(ProtocolError::invalid("cannot IDENTIFY again")),
            b"IDENTIFY" => Ok(Self::Identify),
            b"REGISTER" | b"UNREGISTER" if !identified => {
                Err(ProtocolError::invalid("client must IDENTIFY"))
            }
            b"REGISTER" => registration("REGISTER", words).map(Self::Register),
            b"UNREGISTER" => registration("UNREGISTER", words).map(Self::Unregister),
            other => Err(ProtocolError::invalid(format!(
                "invalid command {}",
                shown(other)
            ))),
        }
    }

    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Identify => "IDENTIFY\n".to_owned(),
            Self::Ping => "PING\n".to_owned(),
            Self::Register(what) => format!("REGISTER {what}\n"),
            Self::Unregister(what) => format!("UNREGISTER {what}\n"),
        }
    }
}

/// As in a command line.
impl std::fmt::Display for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.channel {
            Some(channel) => write!(f, "{} {channel}", self.topic),
            None => f.write_str(&self.topic),
        }
    }
}

fn registration<'a>(
    verb: &str,
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Result<Registration, ProtocolError> {
    let Some(topic) = words.next() else {
        return Err(ProtocolError::invalid(format!(
            "{verb} insufficient number of params"
        )));
    };
    let topic = name(topic).ok_or_else(|| {
        let text = format!("{verb} topic name '{}' is not valid", shown(topic));
        ProtocolError::fatal("E_BAD_TOPIC", text)
    })?;
    let channel = match words.next() {
        None | Some(b"") => None,
        Some(channel) => Some(name(channel).ok_or_else(|| {
            let text = format!("{verb} channel name '{}' is not valid", shown(channel));
            ProtocolError::fatal("E_BAD_CHANNEL", text)
        })?),
    };
    Ok(Registration { topic, channel })
}

fn name(bytes: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(bytes).ok()?;
    is_valid_name(name).then(|| name.to_owned())
}

/// Appends an answer: its length in four bytes, then itself.
pub fn push_answer(out: &mut Vec<u8>, answer: &[u8]) {
    let length = u32::try_from(answer.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str, identified: bool) -> String {
        LookupCommand::parse(line.as_bytes(), identified)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn lines_are_read_back() {
        let channel = |name: &str| Some(name.to_owned());
        let topic = || "t#ephemeral".to_owned();
        for command in [
            LookupCommand::Ping,
            LookupCommand::Register(Registration {
                topic: topic(),
                channel: None,
            }),
            LookupCommand::Register(Registration {
                topic: topic(),
                channel: channel("c"),
            }),
            LookupCommand::Unregister(Registration {
                topic: topic(),
                channel: channel("c"),
            }),
        ] {
            assert_eq!(
                LookupCommand::parse(command.line().as_bytes(), true),
                Ok(command)
            );
        }
        assert_eq!(
            LookupCommand::parse(b"IDENTIFY\r\n", false),
            Ok(LookupCommand::Identify)
        );
        assert_eq!(
            LookupCommand::parse(b"REGISTER t  x\n", true)
                .unwrap()
                .line(),
            "REGISTER t\n",
            "an empty channel is none"
        );
    }

    #[test]
    fn refusals_are_nsqlookupds() {
        assert_eq!(
            refusal("REGISTER a b\n", false),
            "E_INVALID client must IDENTIFY"
        );
        assert_eq!(
            refusal("IDENTIFY\n", true),
            "E_INVALID cannot IDENTIFY again"
        );
        assert_eq!(
            refusal("REGISTER\n", true),
            "E_INVALID REGISTER insufficient number of params"
        );
        assert_eq!(refusal("FOO\n", true), "E_INVALID invalid command FOO");
        assert_eq!(
            refusal("REGISTER bad! x\n", true),
            "E_BAD_TOPIC REGISTER topic name 'bad!' is not valid"
        );
        assert_eq!(
            refusal("UNREGISTER t bad!\n", true),
            "E_BAD_CHANNEL UNREGISTER channel name 'bad!' is not valid"
        );
    }

    #[test]
    fn peer_info() {
        let text = r#"{"broadcast_address":"127.0.0.1","hostname":"vm","http_port":9251,"tcp_port":9250,"version":"1.3.0"}"#;
        let info = PeerInfo::parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&info).unwrap(), text);
        let refusal = |text: &str| PeerInfo::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            refusal(r#"{"version":"x"}"#),
            "E_BAD_BODY IDENTIFY missing fields"
        );
        assert_eq!(
            refusal("x"),
            "E_BAD_BODY IDENTIFY failed to decode JSON body"
        );
    }
}
