//! The API server, and the pods that its controllers make.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::body::Bytes;
use axum::http::{Method, Request};
use futures::stream::{self, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::nodes::address;

/// Where `kubectl proxy` listens.
pub const PROXY: u16 = 18_001;
/// Requests to the API server at one time.
const AT_ONCE: usize = 16;
/// All that is made is in namespaces that begin so.
pub const PREFIX: &str = "crowd-";

/// The API server, through `kubectl proxy`.
#[derive(Clone)]
pub struct Api(pub Client<HttpConnector, Full<Bytes>>);

impl Api {
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Whether the API server is reached.
    pub async fn answers(&self) -> bool {
        let uri = format!("http://127.0.0.1:{PROXY}/readyz").parse();
        let Ok(uri) = uri else { return false };
        let answer = self.0.get(uri).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{PROXY}{path}"))
            .header("content-type", kind)
            .body(Full::new(body))?;
        let response = self.0.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        ensure!(
            status.is_success() || status.as_u16() == 409,
            "{path}: {status}: {text}"
        );
        Ok(serde_json::from_slice(&body)?)
    }

    async fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.call(Method::POST, path, "application/json", object)
            .await
            .map(drop)
    }

    pub async fn create_all(&self, objects: Vec<(String, Value)>) -> Result<()> {
        let made = stream::iter(objects.iter())
            .map(|(path, object)| self.create(path, object))
            .buffer_unordered(AT_ONCE);
        made.collect::<Vec<_>>().await.into_iter().collect()
    }
}

/// For ever: pods that nobody starts run, are ready and have an address.
pub async fn start_pods(api: Api) {
    let next = AtomicU32::new(1);
    loop {
        let pending = "/api/v1/pods?fieldSelector=status.phase%3DPending&limit=500";
        let found = api
            .call(Method::GET, pending, "application/json", &Value::Null)
            .await;
        let pods = found
            .ok()
            .and_then(|found| found["items"].as_array().cloned());
        let ours = |pod: &Value| {
            let namespace = pod["metadata"]["namespace"].as_str();
            namespace.is_some_and(|namespace| namespace.starts_with(PREFIX))
        };
        let pods = pods.into_iter().flatten().filter(ours);
        let started = stream::iter(pods).map(|pod| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let api = api.clone();
            async move { api.start_pod(&pod, number).await }
        });
        let started: Vec<_> = started.buffer_unordered(AT_ONCE).collect().await;
        if started.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for failed in started.into_iter().filter_map(Result::err) {
            println!("cannot start a pod: {failed:#}");
        }
    }
}

impl Api {
    async fn start_pod(&self, pod: &Value, number: u32) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (
            text(&pod["metadata"]["name"]),
            text(&pod["metadata"]["namespace"]),
        );
        let ip = address(number);
        let now = text(&pod["metadata"]["creationTimestamp"]);
        let container = text(&pod["spec"]["containers"][0]["name"]);
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
            "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
            "containerStatuses": [{"name": container, "ready": true, "started": true, "restartCount": 0, "image": "nsq:dev",
                "imageID": "", "state": {"running": {"startedAt": now}}}],
        }});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        let kind = "application/strategic-merge-patch+json";
        self.call(Method::PATCH, &path, kind, &status)
            .await
            .map(drop)
    }
}
