//! What the operator tells Prometheus about itself.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// All metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Passes by controller and outcome: `changed`, `steady`, `failed`.
    pub passes: IntCounterVec,
    /// Duration of passes in seconds by controller.
    pub seconds: HistogramVec,
    /// Requests to the API server by group, resource, verb and status code (0: no answer).
    pub requests: IntCounterVec,
    /// 1 while leading.
    pub leading: IntGauge,
    /// Resources by kind and whether they are ready.
    pub resources: IntGaugeVec,
    /// Messages that wait for bridges, by namespace and name.
    bridges: IntGaugeVec,
}

impl Metrics {
    /// A pass of a controller has ended: did it change anything, and how long did it take?
    pub fn passed<T, E>(&self, controller: &str, done: &Result<(bool, T), E>, took: Duration) {
        let outcome = match done {
            Ok((true, _)) => "changed",
            Ok((false, _)) => "steady",
            Err(_) => "failed",
        };
        self.passes.with_label_values(&[controller, outcome]).inc();
        self.seconds
            .with_label_values(&[controller])
            .observe(took.as_secs_f64());
    }

    /// How far a bridge is behind, if that is known.
    pub fn bridge(&self, namespace: &str, name: &str, backlog: Option<i64>) {
        match backlog {
            Some(backlog) => self
                .bridges
                .with_label_values(&[namespace, name])
                .set(backlog),
            None => drop(self.bridges.remove_label_values(&[namespace, name])),
        }
    }

    /// # Errors
    /// Two metrics of one name; the tests rule that out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let passes = IntCounterVec::new(
            Opts::new(
                "nsq_operator_passes_total",
                "Passes over a resource, by outcome.",
            ),
            &["controller", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("nsq_operator_pass_seconds", "Duration of one pass.")
                .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
            &["controller"],
        )?;
        let requests = IntCounterVec::new(
            Opts::new(
                "nsq_operator_api_requests_total",
                "Requests to the API server.",
            ),
            &["group", "resource", "verb", "code"],
        )?;
        let leading = IntGauge::new("nsq_operator_leading", "1 while this operator leads.")?;
        let resources = IntGaugeVec::new(
            Opts::new("nsq_operator_resources", "Resources that are kept."),
            &["kind", "ready"],
        )?;
        let bridges = IntGaugeVec::new(
            Opts::new(
                "nsq_operator_bridge_backlog_messages",
                "Messages that wait in the channel of a bridge at its source.",
            ),
            &["namespace", "bridge"],
        )?;
        let started = Gauge::new(
            "nsq_operator_start_time_seconds",
            "When this operator started, in seconds since the Unix epoch.",
        )?;
        started.set(jiff::Timestamp::now().as_duration().as_secs_f64());
        let registry = Registry::new();
        registry.register(Box::new(passes.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(leading.clone()))?;
        registry.register(Box::new(resources.clone()))?;
        registry.register(Box::new(bridges.clone()))?;
        registry.register(Box::new(started))?;
        Ok(Self {
            registry,
            passes,
            seconds,
            requests,
            leading,
            resources,
            bridges,
        })
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails only for broken metric families, which `new` rules out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new().unwrap();
        metrics
            .requests
            .with_label_values(&["apps", "statefulsets", "patch", "200"])
            .inc();
        assert!(metrics.render().contains(
            r#"nsq_operator_api_requests_total{code="200",group="apps",resource="statefulsets",verb="patch"} 1"#
        ));
    }
}
