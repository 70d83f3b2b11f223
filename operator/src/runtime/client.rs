//! The client of the API server: bounded in time, counted, never retrying behind our back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, Uri};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use super::metrics::Metrics;

/// The API server has to begin its answer within this time. Watches go on for longer, but begin at once.
const ANSWER: Duration = Duration::from_secs(15);

/// A client whose requests are counted in `metrics`.
///
/// # Errors
/// The configuration cannot be used: unreadable certificates, for instance.
pub fn client(mut config: Config, metrics: Metrics) -> kube::Result<Client> {
    // The default retries a refused eviction or a timed-out create for minutes, and holds up a lease for as long.
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&Counting { metrics })
        .build())
}

/// Counts and bounds requests.
struct Counting {
    metrics: Metrics,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            metrics: self.metrics.clone(),
        }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

type BoxedAnswer<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl<S, In, Out> Service<Request<In>> for Counted<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<Out>;
    type Error = BoxError;
    type Future = BoxedAnswer<Response<Out>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let call = Call::of(request.method(), request.uri());
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER, answer).await;
            let code = match &answer {
                Ok(Ok(response)) => response.status().as_u16(),
                _ => 0,
            };
            let labels = [
                call.group.as_str(),
                &call.resource,
                call.verb,
                &code.to_string(),
            ];
            metrics.requests.with_label_values(&labels).inc();
            match answer {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(format!("the API server did not answer within {ANSWER:?}").into()),
            }
        })
    }
}

/// A request in the words of RBAC.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    group: String,
    /// With its subresource: `nsqclusters/status`.
    resource: String,
    verb: &'static str,
}

impl Call {
    fn of(method: &Method, uri: &Uri) -> Self {
        let parts: Vec<&str> = uri
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", [].as_slice()),
        };
        let rest = match rest {
            ["namespaces", _, resource, rest @ ..] => (*resource, rest),
            [resource, rest @ ..] => (*resource, rest),
            [] => ("", [].as_slice()),
        };
        let (resource, named, subresource) = match rest {
            (resource, []) => (resource, false, None),
            (resource, [_]) => (resource, true, None),
            (resource, [_, subresource, ..]) => (resource, true, Some(*subresource)),
        };
        let watching = uri.query().is_some_and(|query| {
            query
                .split('&')
                .any(|pair| pair == "watch=true" || pair == "watch=1")
        });
        let verb = match (method.as_str(), named) {
            ("GET", true) => "get",
            ("GET", false) if watching => "watch",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "other",
        };
        Self {
            group: group.to_owned(),
            resource: match subresource {
                Some(subresource) => format!("{resource}/{subresource}"),
                None => resource.to_owned(),
            },
            verb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, uri: &str) -> (String, String, &'static str) {
        let call = Call::of(&method.parse().unwrap(), &uri.parse().unwrap());
        (call.group, call.resource, call.verb)
    }

    #[test]
    fn requests_are_named_as_rbac_names_them() {
        let cases = [
            ("GET", "/api/v1/pods?labelSelector=a", "", "pods", "list"),
            (
                "GET",
                "/api/v1/namespaces/n/pods?watch=true",
                "",
                "pods",
                "watch",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/n/pods/p",
                "",
                "pods",
                "delete",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/n/statefulsets/s?force=true",
                "apps",
                "statefulsets",
                "patch",
            ),
            (
                "PATCH",
                "/apis/nsq.io/v1alpha1/namespaces/n/nsqclusters/c/status",
                "nsq.io",
                "nsqclusters/status",
                "patch",
            ),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
                "coordination.k8s.io",
                "leases",
                "update",
            ),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/n/events",
                "events.k8s.io",
                "events",
                "create",
            ),
        ];
        for (method, uri, group, resource, verb) in cases {
            assert_eq!(
                call(method, uri),
                (group.to_owned(), resource.to_owned(), verb),
                "{uri}"
            );
        }
    }
}
