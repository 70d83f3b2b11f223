//! What the operator uses, by what the kernel and it itself say.

use anyhow::{Context, Result};
use http_body_util::BodyExt;

use super::api::Api;

/// Where the operator serves its metrics.
pub const METRICS: u16 = 18_080;
/// Ticks of a process's CPU time in a second, on every Linux of today.
const TICKS: f64 = 100.0;

/// What the operator says of itself.
async fn metrics(api: &Api) -> Result<String> {
    let uri = format!("http://127.0.0.1:{METRICS}/metrics").parse()?;
    let response = api.0.get(uri).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Sum of the values of a metric whose labels say all of this.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.fold(0.0, |sum, value| sum + value) // `sum` of nothing is -0
}

/// What was counted up to a moment.
#[derive(Clone, Copy)]
pub struct Counted {
    /// Of the process, in seconds.
    pub cpu: f64,
    /// To the API server.
    pub requests: f64,
    pub passes: f64,
}

pub async fn counted(api: &Api, process: u32) -> Result<Counted> {
    let said = metrics(api).await?;
    Ok(Counted {
        cpu: cpu(process)?,
        requests: value(&said, "nsq_operator_api_requests_total", &[]),
        passes: value(&said, "nsq_operator_passes_total", &[]),
    })
}

/// Resources of a kind that are Ready; 0 while the operator does not answer.
pub async fn ready(api: &Api, kind: &str) -> f64 {
    let said = metrics(api).await.unwrap_or_default();
    let kind = format!("kind=\"{kind}\"");
    value(&said, "nsq_operator_resources", &[&kind, "ready=\"true\""])
}

fn cpu(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = (ticks(11), ticks(12));
    Ok((user.context("no CPU time")? + system.context("no CPU time")?) / TICKS)
}

/// Resident memory of a process in MB, now and at most.
pub fn memory(process: u32) -> Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kb.map(|kb| kb / 1024.0).context("no memory")
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}
