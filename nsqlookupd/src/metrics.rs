//! `/metrics`, in Prometheus' text format.

use std::fmt::Write as _;

use nsq_protocol::NSQ_VERSION;

use crate::registry::Counts;

/// The whole page.
pub(crate) fn text(counts: Counts, waiting: usize, refused: u64) -> String {
    let gauges = [
        ("nsqlookupd_topics", "Topics known.", counts.topics),
        ("nsqlookupd_channels", "Channels known.", counts.channels),
        (
            "nsqlookupd_producers",
            "Nsqds that are not inactive.",
            counts.active,
        ),
        (
            "nsqlookupd_producer_connections",
            "Nsqds connected.",
            counts.connected,
        ),
        (
            "nsqlookupd_registry_entries",
            "Topics, channels, and nsqds in either; there is a bound.",
            counts.entries,
        ),
        (
            "nsqlookupd_lookups_waiting",
            "Lookups that wait for a change.",
            waiting,
        ),
    ];
    let mut out = String::new();
    for (name, help, value) in gauges {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"
        );
    }
    let _ = write!(
        out,
        "# HELP nsqlookupd_registrations_refused_total Registrations refused, for the registry was full.\n\
         # TYPE nsqlookupd_registrations_refused_total counter\nnsqlookupd_registrations_refused_total {refused}\n"
    );
    let _ = write!(
        out,
        "# HELP nsqlookupd_build_info The NSQ version this server is compatible with.\n\
         # TYPE nsqlookupd_build_info gauge\nnsqlookupd_build_info{{version=\"{NSQ_VERSION}\"}} 1\n"
    );
    out
}
