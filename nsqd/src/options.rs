//! nsqd's options: every one of NSQ 1.3, and ours. What each is called, defaults to and means stands
//! in [`table`]; here they are typed, and checked together.

mod kinds;
mod table;

use std::ffi::OsString;
use std::time::Duration;

use nsq_daemon::Stop;
use nsq_daemon::identity::NODE_IDS;
use nsq_daemon::log::{LogFormat, LogLevel};
use nsq_daemon::options::{Command, Parsed};

pub use kinds::{AuthRequestMethod, Durability, MirrorAck, OnPeerLoss, TlsMinVersion, TlsRequired};

/// What `--enable-experiment` knows.
pub const TOPOLOGY_AWARE: &str = "topology-aware-consumption";
/// `--adopt-after` is not less.
const SHORTEST_ADOPT_AFTER: Duration = Duration::from_secs(1);
/// The host whose options the documentation shows.
pub const DOCUMENTED_HOST: &str = "hostname";

/// Everything nsqd can be told. The fields are in the order of the table, named after the flags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// In `[0,1024)` once checked.
    pub node_id: i64,
    /// `host:port` or the path of a unix socket.
    pub tcp_address: String,
    /// As `tcp_address`; empty for no HTTP.
    pub http_address: String,
    pub https_address: String,
    pub broadcast_address: String,
    /// 0: the listener's own.
    pub broadcast_tcp_port: u16,
    /// 0: the listener's own.
    pub broadcast_http_port: u16,
    pub topology_region: String,
    pub topology_zone: String,
    /// Only [`TOPOLOGY_AWARE`] is known.
    pub enabled_experiments: Vec<String>,
    pub lookupd_tcp_addresses: Vec<String>,
    pub http_client_connect_timeout: Duration,
    pub http_client_request_timeout: Duration,

    /// Empty: the working directory.
    pub data_path: String,
    pub durability: Durability,
    /// Messages a topic or channel keeps in memory before it spills.
    pub mem_queue_size: u64,
    pub max_bytes_per_file: i64,
    pub sync_every: i64,
    pub sync_timeout: Duration,
    pub queue_scan_worker_pool_max: i64,
    pub queue_scan_selection_count: i64,

    /// Empty: the broadcast address.
    pub pair_name: String,
    /// Empty: no peer.
    pub pair_with: String,
    pub mirror_ack: MirrorAck,
    pub on_peer_loss: OnPeerLoss,
    pub peer_loss_timeout: Duration,
    /// 0: never.
    pub adopt_after: Duration,

    pub msg_timeout: Duration,
    pub max_msg_timeout: Duration,
    /// Bytes.
    pub max_msg_size: i64,
    pub max_req_timeout: Duration,
    /// 0: as `max_req_timeout`.
    pub max_defer_timeout: Duration,
    /// Bytes of one command's body: MPUB, IDENTIFY, AUTH.
    pub max_body_size: i64,
    pub max_heartbeat_interval: Duration,
    pub max_rdy_count: u64,
    /// Bytes.
    pub max_output_buffer_size: i64,
    pub max_output_buffer_timeout: Duration,
    pub min_output_buffer_timeout: Duration,
    pub output_buffer_timeout: Duration,
    /// Per channel; 0: no limit.
    pub max_channel_consumers: u64,

    /// Bytes; 0: what the process may have.
    pub memory_limit: u64,
    /// 0: 90 % of the open files.
    pub max_connections: u64,
    /// A second; 0: no limit.
    pub max_accept_rate: u32,
    pub command_timeout: Duration,

    pub auth_http_addresses: Vec<String>,
    pub auth_http_request_method: AuthRequestMethod,
    /// Empty: everybody may use the HTTP API.
    pub http_token_file: String,
    /// Empty: none.
    pub http_read_only_address: String,
    pub tls_cert: String,
    pub tls_key: String,
    pub tls_client_auth_policy: String,
    pub tls_root_ca_file: String,
    pub tls_required: TlsRequired,
    pub tls_min_version: TlsMinVersion,
    pub deflate: bool,
    pub max_deflate_level: i64,
    pub snappy: bool,

    pub log_level: LogLevel,
    pub log_prefix: String,
    pub log_format: LogFormat,
    pub statsd_address: String,
    pub statsd_prefix: String,
    pub statsd_interval: Duration,
    pub statsd_mem_stats: bool,
    pub statsd_udp_packet_size: i64,
    pub statsd_exclude_ephemeral: bool,
    /// In (0, 1], highest first.
    pub e2e_percentiles: Vec<f64>,
    pub e2e_window_time: Duration,
}

impl Options {
    /// The table, for reading a command line and for `/config/:opt`. `hostname` is the default
    /// broadcast address and decides the default node id.
    #[must_use]
    pub fn command(hostname: &str) -> Command<Self> {
        Command::new("nsqd", table::table(hostname))
    }

    /// Reads a command line, without the program's name, and the config file it names.
    ///
    /// # Errors
    /// A reason to end instead of starting: help or version was asked for, a flag or the config file
    /// is wrong, or values that cannot be.
    pub fn from_args<A: Into<OsString>>(
        hostname: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Parsed<Self>, Stop> {
        let mut parsed = Self::command(hostname).parse(args)?;
        parsed
            .options
            .check()
            .map_err(|reason| Stop::Fatal(format!("failed to instantiate nsqd - {reason}")))?;
        Ok(parsed)
    }

    /// The node id as it goes into message ids.
    #[must_use]
    pub fn node(&self) -> u16 {
        u16::try_from(self.node_id).unwrap_or(0)
    }

    /// What the peer calls this node.
    #[must_use]
    pub fn pair_name(&self) -> &str {
        match self.pair_name.as_str() {
            "" => &self.broadcast_address,
            name => name,
        }
    }

    fn check_pair(&self) -> Result<(), String> {
        if self.pair_with.is_empty() {
            return match self.mirror_ack {
                MirrorAck::None if self.adopt_after.is_zero() => Ok(()),
                MirrorAck::None => Err("--adopt-after needs --pair-with".to_owned()),
                MirrorAck::Peer => Err("--mirror-ack=peer needs --pair-with".to_owned()),
            };
        }
        if !self.adopt_after.is_zero() {
            if self.adopt_after < SHORTEST_ADOPT_AFTER {
                return Err(format!(
                    "--adopt-after must be 0 or at least {SHORTEST_ADOPT_AFTER:?}: a link comes back within that"
                ));
            }
            if self.lookupd_tcp_addresses.is_empty() {
                return Err("--adopt-after needs --lookupd-tcp-address: nsqlookupds are asked whether the peer is gone".to_owned());
            }
        }
        if self.pair_with == self.pair_name() {
            return Err("--pair-with must name another node than --pair-name".to_owned());
        }
        if self.durability == Durability::Memory {
            return Err("--pair-with needs --durability=write or fsync: what is in memory only cannot be mirrored".to_owned());
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        self.check_pair()?;
        if !(0..i64::from(NODE_IDS)).contains(&self.node_id) {
            return Err("--node-id must be [0,1024)".to_owned());
        }
        if !(1..=9).contains(&self.max_deflate_level) {
            return Err("--max-deflate-level must be [1,9]".to_owned());
        }
        // Sizes are signed 32-bit numbers on the wire.
        for (flag, size) in [
            ("--max-msg-size", self.max_msg_size),
            ("--max-body-size", self.max_body_size),
        ] {
            if !(1..=i64::from(i32::MAX)).contains(&size) {
                return Err(format!("{flag} must be [1,{}]", i32::MAX));
            }
        }
        if self.max_output_buffer_size < 64 {
            return Err("--max-output-buffer-size must be at least 64".to_owned());
        }
        if let Some(bad) = self
            .e2e_percentiles
            .iter()
            .find(|p| !(**p > 0.0 && **p <= 1.0))
        {
            return Err(format!("invalid E2E processing latency percentile: {bad}"));
        }
        if let Some(unknown) = self
            .enabled_experiments
            .iter()
            .find(|name| *name != TOPOLOGY_AWARE)
        {
            return Err(format!(
                "--enable-experiment knows {TOPOLOGY_AWARE}, not {unknown:?}"
            ));
        }
        if self.max_bytes_per_file < 1 {
            return Err("--max-bytes-per-file must be at least 1".to_owned());
        }
        if !self.statsd_address.is_empty() {
            if self.statsd_interval.is_zero() {
                return Err("--statsd-interval must be above 0".to_owned());
            }
            if self.statsd_udp_packet_size < 1 {
                return Err("--statsd-udp-packet-size must be at least 1".to_owned());
            }
        }
        self.check_tls()
    }

    /// Whether consumers that are nearer get messages first.
    #[must_use]
    pub fn is_topology_aware(&self) -> bool {
        self.enabled_experiments
            .iter()
            .any(|name| name == TOPOLOGY_AWARE)
    }

    fn check_tls(&mut self) -> Result<(), String> {
        match self.tls_client_auth_policy.as_str() {
            "" => {}
            // Asking clients for certificates makes sense only with TLS.
            "require" | "require-verify" => {
                if self.tls_required == TlsRequired::No {
                    self.tls_required = TlsRequired::Yes;
                }
            }
            other => {
                return Err(format!(
                    "--tls-client-auth-policy must be require or require-verify, not {other:?}"
                ));
            }
        }
        if self.tls_cert.is_empty() != self.tls_key.is_empty() {
            return Err("--tls-cert and --tls-key must be given together".to_owned());
        }
        if self.tls_client_auth_policy == "require-verify" && self.tls_root_ca_file.is_empty() {
            return Err(
                "--tls-client-auth-policy=require-verify needs --tls-root-ca-file".to_owned(),
            );
        }
        if self.tls_required != TlsRequired::No && self.tls_cert.is_empty() {
            return Err(
                "cannot require TLS client connections without TLS key and cert".to_owned(),
            );
        }
        Ok(())
    }
}
