//! What the options mean on the wire.

use std::time::Duration;

use nsq_protocol::{IdentifyLimits, Limits, Topology};
use nsq_queue::Locality;

use crate::options::Options;

/// Silence after which a client that never said otherwise is gone; NSQ has no option for it.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

impl Options {
    pub fn client_timeout(&self) -> Duration {
        CLIENT_TIMEOUT
    }

    pub fn limits(&self) -> Limits {
        Limits {
            max_msg_size: self.max_msg_size,
            max_body_size: self.max_body_size,
            max_rdy_count: self.max_rdy_count,
            max_req_timeout_ms: self.max_req_timeout.as_millis() as u64,
            max_defer_timeout_ms: self.longest_delay().as_millis() as u64,
        }
    }

    /// Of messages that are published with a delay.
    pub fn longest_delay(&self) -> Duration {
        match self.max_defer_timeout.is_zero() {
            true => self.max_req_timeout,
            false => self.max_defer_timeout,
        }
    }

    /// TCP connections; what is left of the open files is for the journal, HTTP and the rest.
    pub fn connection_limit(&self, open_files: u64) -> usize {
        let limit = match self.max_connections {
            0 => open_files.saturating_sub(open_files / 10),
            told => told,
        };
        // No more permits than a semaphore can have.
        usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .clamp(1, 1 << 30)
    }

    /// `None` if this node was not told where it is.
    pub fn topology(&self) -> Option<Topology> {
        let told = !self.topology_region.is_empty() || !self.topology_zone.is_empty();
        (told || self.is_topology_aware()).then(|| Topology {
            region: self.topology_region.clone(),
            zone: self.topology_zone.clone(),
        })
    }

    /// How near a consumer is that says it is there.
    pub fn locality(&self, region: &str, zone: &str) -> Locality {
        let same = |own: &str, other: &str| !own.is_empty() && own == other;
        match self.is_topology_aware() && same(&self.topology_region, region) {
            true if same(&self.topology_zone, zone) => Locality::Zone,
            true => Locality::Region,
            false => Locality::Anywhere,
        }
    }

    /// `tls`: there is a certificate.
    pub fn identify_limits(&self, tls: bool) -> IdentifyLimits {
        let millis = |duration: Duration| duration.as_millis() as i64;
        IdentifyLimits {
            max_rdy_count: self.max_rdy_count,
            msg_timeout_ms: millis(self.msg_timeout),
            max_msg_timeout_ms: millis(self.max_msg_timeout),
            heartbeat_ms: millis(CLIENT_TIMEOUT) / 2,
            max_heartbeat_ms: millis(self.max_heartbeat_interval),
            output_buffer_timeout_ms: millis(self.output_buffer_timeout),
            min_output_buffer_timeout_ms: millis(self.min_output_buffer_timeout),
            max_output_buffer_timeout_ms: millis(self.max_output_buffer_timeout),
            max_output_buffer_size: self.max_output_buffer_size,
            max_deflate_level: self.max_deflate_level,
            tls,
            snappy: self.snappy,
            deflate: self.deflate,
            pair: !self.pair_with.is_empty(),
            topology: self.topology(),
            auth_required: !self.auth_http_addresses.is_empty(),
        }
    }
}
