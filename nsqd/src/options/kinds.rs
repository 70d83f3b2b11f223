//! Options that are a choice.

use nsq_daemon::value::FlagValue;
use nsq_http_api::AuthMethod;
use serde_json::Value as Json;

/// When a publisher gets its OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// In memory: survives a clean stop.
    Memory,
    /// Written to the kernel: survives the death of the process.
    #[default]
    Write,
    /// On disk: survives a power cut.
    Fsync,
}

impl Durability {
    /// As it stands on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Write => "write",
            Self::Fsync => "fsync",
        }
    }
}

impl FlagValue for Durability {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "write" => Ok(Self::Write),
            "fsync" => Ok(Self::Fsync),
            _ => Err("expected memory, write or fsync".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.name().to_owned())
    }

    fn json(&self) -> Json {
        self.name().into()
    }
}

/// How auth servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthRequestMethod {
    #[default]
    Get,
    Post,
}

impl From<AuthRequestMethod> for AuthMethod {
    fn from(method: AuthRequestMethod) -> Self {
        match method {
            AuthRequestMethod::Get => Self::Get,
            AuthRequestMethod::Post => Self::Post,
        }
    }
}

impl FlagValue for AuthRequestMethod {
    const TYPE_NAME: &'static str = "string";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "get" => Ok(Self::Get),
            "post" => Ok(Self::Post),
            _ => Err("expected get or post".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        self.json().as_str().map(|name| format!("{name:?}"))
    }

    fn json(&self) -> Json {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
        .into()
    }
}

/// Which connections must be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsRequired {
    #[default]
    No,
    /// TCP and HTTP.
    Yes,
    /// TCP; plain HTTP stays open.
    TcpHttps,
}

/// A switch with a third position: `-tls-required`, `-tls-required=false`, `-tls-required=tcp-https`.
impl FlagValue for TlsRequired {
    const TYPE_NAME: &'static str = "";
    const IS_SWITCH: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("tcp-https") {
            return Ok(Self::TcpHttps);
        }
        match bool::parse(text) {
            Ok(true) => Ok(Self::Yes),
            Ok(false) => Ok(Self::No),
            Err(_) => Err("expected true, false or tcp-https".to_owned()),
        }
    }

    fn from_config(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Boolean(true) => Ok(Self::Yes),
            toml::Value::Boolean(false) => Ok(Self::No),
            toml::Value::String(text) => Self::parse(text),
            other => Err(format!(
                "expected true, false or \"tcp-https\", not {}",
                other.type_str()
            )),
        }
    }

    fn shown(&self) -> Option<String> {
        None
    }

    /// NSQ answers its own numbers.
    fn json(&self) -> Json {
        match self {
            Self::No => 0,
            Self::Yes => 1,
            Self::TcpHttps => 2,
        }
        .into()
    }
}

/// The oldest TLS version a client may speak; the numbers are TLS's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u16)]
pub enum TlsMinVersion {
    #[default]
    Tls10 = 0x0301,
    Tls11 = 0x0302,
    Tls12 = 0x0303,
    Tls13 = 0x0304,
}

impl FlagValue for TlsMinVersion {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tls1.0" => Ok(Self::Tls10),
            "tls1.1" => Ok(Self::Tls11),
            "tls1.2" => Ok(Self::Tls12),
            "tls1.3" => Ok(Self::Tls13),
            _ => Err("expected tls1.0, tls1.1, tls1.2 or tls1.3".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        let name = match self {
            Self::Tls10 => "tls1.0",
            Self::Tls11 => "tls1.1",
            Self::Tls12 => "tls1.2",
            Self::Tls13 => "tls1.3",
        };
        Some(name.to_owned())
    }

    fn json(&self) -> Json {
        (*self as u16).into()
    }
}
