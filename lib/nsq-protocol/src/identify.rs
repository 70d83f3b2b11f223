use serde::{Deserialize, Serialize};

use crate::{NSQ_VERSION, ProtocolError};

/// The JSON a client introduces itself with. Absent keys and `null` mean "default", unknown
/// keys are ignored, a wrong type is refused as a whole.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IdentifyRequest {
    pub client_id: Option<String>,
    pub hostname: Option<String>,
    pub user_agent: Option<String>,
    pub feature_negotiation: Option<bool>,
    pub heartbeat_interval: Option<i64>,
    pub output_buffer_size: Option<i64>,
    pub output_buffer_timeout: Option<i64>,
    pub tls_v1: Option<bool>,
    pub snappy: Option<bool>,
    pub deflate: Option<bool>,
    pub deflate_level: Option<i64>,
    pub sample_rate: Option<i64>,
    pub msg_timeout: Option<i64>,
    /// It may become a link of a pair.
    pub pair: Option<bool>,
    /// It may become a link of a relocation.
    pub relocate: Option<bool>,
    pub topology_region: Option<String>,
    pub topology_zone: Option<String>,
}

/// What the server allows (its options), in milliseconds and bytes.
#[derive(Debug, Clone)]
pub struct IdentifyLimits {
    pub max_rdy_count: u64,
    pub msg_timeout_ms: i64,
    pub max_msg_timeout_ms: i64,
    pub heartbeat_ms: i64,
    pub max_heartbeat_ms: i64,
    pub output_buffer_timeout_ms: i64,
    pub min_output_buffer_timeout_ms: i64,
    pub max_output_buffer_timeout_ms: i64,
    pub max_output_buffer_size: i64,
    pub max_deflate_level: i64,
    pub tls: bool,
    pub snappy: bool,
    pub deflate: bool,
    pub auth_required: bool,
    /// This node has a peer.
    pub pair: bool,
    /// Where the server is; `None`: it does not say, as NSQ 1.3.
    pub topology: Option<Topology>,
}

/// A region, and a zone of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Topology {
    #[serde(rename = "topology_region")]
    pub region: String,
    #[serde(rename = "topology_zone")]
    pub zone: String,
}

/// What was agreed; also the answer's JSON, in NSQ's order of keys.
#[derive(Debug, Clone, Serialize)]
pub struct Negotiated {
    pub max_rdy_count: u64,
    pub version: &'static str,
    pub max_msg_timeout: i64,
    pub msg_timeout: i64,
    pub tls_v1: bool,
    pub deflate: bool,
    pub deflate_level: i64,
    pub max_deflate_level: i64,
    pub snappy: bool,
    pub sample_rate: i64,
    pub auth_required: bool,
    pub output_buffer_size: i64,
    pub output_buffer_timeout: i64,
    /// Told to those only who asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pair: bool,
    /// As `pair`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub relocate: bool,
    #[serde(flatten)]
    pub topology: Option<Topology>,
    /// 0 = no heartbeats (and then no SUB either).
    #[serde(skip)]
    pub heartbeat_ms: i64,
}

/// NSQ's output buffer of a client that asks for none in particular.
const DEFAULT_OUTPUT_BUFFER_SIZE: i64 = 16 * 1024;

impl IdentifyRequest {
    pub fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        // `null` is no setting, as Go's decoder has it.
        let request: Result<Option<Self>, _> = serde_json::from_slice(body);
        request
            .map(Option::unwrap_or_default)
            .map_err(|_| bad_body("failed to decode JSON body".into()))
    }

    /// Applies NSQ's ranges. The first value out of range, in NSQ's order, is the error.
    pub fn negotiate(&self, limits: &IdentifyLimits) -> Result<Negotiated, ProtocolError> {
        let heartbeat_ms = ranged(
            self.heartbeat_interval,
            limits.heartbeat_ms,
            Some(0),
            1000..=limits.max_heartbeat_ms,
            "heartbeat interval",
        )?;
        let output_buffer_size = ranged(
            self.output_buffer_size,
            DEFAULT_OUTPUT_BUFFER_SIZE,
            Some(1),
            64..=limits.max_output_buffer_size,
            "output buffer size",
        )?;
        let mut output_buffer_timeout = ranged(
            self.output_buffer_timeout,
            limits.output_buffer_timeout_ms,
            Some(0),
            limits.min_output_buffer_timeout_ms..=limits.max_output_buffer_timeout_ms,
            "output buffer timeout",
        )?;
        if output_buffer_size == 1 {
            output_buffer_timeout = 0;
        }
        let sample_rate = self.sample_rate.unwrap_or(0);
        if !(0..=99).contains(&sample_rate) {
            return Err(bad_body(format!("sample rate ({sample_rate}) is invalid")));
        }
        let msg_timeout = ranged(
            self.msg_timeout,
            limits.msg_timeout_ms,
            None,
            1000..=limits.max_msg_timeout_ms,
            "msg timeout",
        )?;
        let asks = |wish: Option<bool>| wish.unwrap_or(false);
        let (snappy, deflate) = (
            limits.snappy && asks(self.snappy),
            limits.deflate && asks(self.deflate),
        );
        if asks(self.feature_negotiation) && snappy && deflate {
            return Err(ProtocolError::fatal(
                "E_IDENTIFY_FAILED",
                "cannot enable both deflate and snappy compression",
            ));
        }
        Ok(Negotiated {
            max_rdy_count: limits.max_rdy_count,
            version: NSQ_VERSION,
            max_msg_timeout: limits.max_msg_timeout_ms,
            msg_timeout,
            tls_v1: limits.tls && asks(self.tls_v1),
            deflate,
            deflate_level: match self.deflate_level {
                Some(level) if deflate && level > 0 => level.min(limits.max_deflate_level),
                _ => 6.min(limits.max_deflate_level),
            },
            max_deflate_level: limits.max_deflate_level,
            snappy,
            sample_rate,
            auth_required: limits.auth_required,
            output_buffer_size,
            output_buffer_timeout,
            pair: limits.pair && asks(self.pair),
            relocate: asks(self.relocate),
            topology: limits.topology.clone(),
            heartbeat_ms,
        })
    }
}

/// `0` or nothing asks for the default, `-1` switches off where that has a meaning.
fn ranged(
    asked: Option<i64>,
    default: i64,
    off: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
    what: &str,
) -> Result<i64, ProtocolError> {
    match (asked.unwrap_or(0), off) {
        (0, _) => Ok(default),
        (-1, Some(off)) => Ok(off),
        (value, _) if range.contains(&value) => Ok(value),
        (value, _) => Err(bad_body(format!("{what} ({value}) is invalid"))),
    }
}

fn bad_body(text: String) -> ProtocolError {
    ProtocolError::fatal("E_BAD_BODY", format!("IDENTIFY {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> IdentifyLimits {
        IdentifyLimits {
            max_rdy_count: 2500,
            msg_timeout_ms: 60_000,
            max_msg_timeout_ms: 900_000,
            heartbeat_ms: 30_000,
            max_heartbeat_ms: 60_000,
            output_buffer_timeout_ms: 250,
            min_output_buffer_timeout_ms: 25,
            max_output_buffer_timeout_ms: 30_000,
            max_output_buffer_size: 65_536,
            max_deflate_level: 6,
            tls: false,
            snappy: true,
            deflate: true,
            auth_required: false,
            pair: false,
            topology: None,
        }
    }

    fn negotiate(json: &str) -> Result<Negotiated, String> {
        IdentifyRequest::parse(json.as_bytes())
            .and_then(|request| request.negotiate(&limits()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_in_the_order_of_nsq() {
        let agreed = negotiate(r#"{"feature_negotiation":true,"tls_v1":true}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&agreed).unwrap(),
            concat!(
                r#"{"max_rdy_count":2500,"version":"1.3.0","max_msg_timeout":900000,"#,
                r#""msg_timeout":60000,"tls_v1":false,"deflate":false,"deflate_level":6,"#,
                r#""max_deflate_level":6,"snappy":false,"sample_rate":0,"auth_required":false,"#,
                r#""output_buffer_size":16384,"output_buffer_timeout":250}"#
            )
        );
        assert_eq!(agreed.heartbeat_ms, 30_000);
    }

    #[test]
    fn switched_off() {
        let agreed = negotiate(r#"{"heartbeat_interval":-1,"output_buffer_size":-1}"#).unwrap();
        assert_eq!(agreed.heartbeat_ms, 0);
        assert_eq!(
            (agreed.output_buffer_size, agreed.output_buffer_timeout),
            (1, 0)
        );
    }

    #[test]
    fn refused() {
        for (json, text) in [
            (
                r#"{"heartbeat_interval":500}"#,
                "heartbeat interval (500) is invalid",
            ),
            (
                r#"{"output_buffer_size":65537}"#,
                "output buffer size (65537) is invalid",
            ),
            (
                r#"{"output_buffer_timeout":10}"#,
                "output buffer timeout (10) is invalid",
            ),
            (r#"{"sample_rate":100}"#, "sample rate (100) is invalid"),
            (
                r#"{"msg_timeout":900001}"#,
                "msg timeout (900001) is invalid",
            ),
            (
                r#"{"heartbeat_interval":"x"}"#,
                "failed to decode JSON body",
            ),
        ] {
            assert_eq!(
                negotiate(json).unwrap_err(),
                format!("E_BAD_BODY IDENTIFY {text}")
            );
        }
        let both = r#"{"feature_negotiation":true,"snappy":true,"deflate":true}"#;
        assert!(
            negotiate(both)
                .unwrap_err()
                .starts_with("E_IDENTIFY_FAILED cannot enable both")
        );
    }

    #[test]
    fn deflate_level_is_clamped() {
        let level = |json| negotiate(json).unwrap().deflate_level;
        assert_eq!(level(r#"{"deflate":true,"deflate_level":9}"#), 6);
        assert_eq!(level(r#"{"deflate":true,"deflate_level":3}"#), 3);
        assert_eq!(level(r#"{"deflate":true,"deflate_level":0}"#), 6);
    }
}
