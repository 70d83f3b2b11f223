//! A table of routes with NSQ's manners around it.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};

use super::{ApiError, RemoteAddress};
use crate::go_duration;

/// Routes of a daemon. `S` is what its handlers get as state.
pub struct Api<S> {
    /// Path (axum's syntax, `/config/{option}`) to its methods, sorted as `Allow` lists them.
    paths: BTreeMap<&'static str, Path<S>>,
}

struct Path<S> {
    methods: Vec<&'static str>,
    router: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Default for Api<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    /// No routes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            paths: BTreeMap::new(),
        }
    }

    /// GET and, unlike axum's own, not HEAD.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(MethodFilter::GET, "GET", path, handler)
    }

    /// POST.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(MethodFilter::POST, "POST", path, handler)
    }

    /// PUT.
    #[must_use]
    pub fn put<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(MethodFilter::PUT, "PUT", path, handler)
    }

    fn on<H: Handler<T, S>, T: 'static>(
        mut self,
        filter: MethodFilter,
        method: &'static str,
        path: &'static str,
        handler: H,
    ) -> Self {
        let entry = self.paths.entry(path).or_insert_with(|| Path {
            methods: vec!["OPTIONS"],
            router: MethodRouter::new(),
        });
        entry.methods.push(method);
        entry.methods.sort_unstable();
        entry.router = std::mem::take(&mut entry.router).on(filter, handler);
        self
    }

    /// The service for [`serve`](super::serve).
    pub fn into_router(self, state: S) -> Router {
        let known: Vec<Known> = self
            .paths
            .iter()
            .map(|(path, entry)| (*path, entry.methods.clone()))
            .collect();
        let mut router = Router::new();
        for (path, entry) in self.paths {
            let allow = HeaderValue::from_str(&entry.methods.join(", "))
                .unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"));
            let options = [(ALLOW, allow.clone())];
            let refused = ([(ALLOW, allow)], ApiError::new(405, "METHOD_NOT_ALLOWED"));
            // HEAD has to be refused by name, or axum answers it from GET.
            let methods = entry
                .router
                .on(MethodFilter::OPTIONS, async move || options)
                .on(MethodFilter::HEAD, {
                    let refused = refused.clone();
                    async move || refused
                })
                .fallback(async move || refused);
            router = router.route(path, methods);
        }
        router
            .fallback(async move |method: Method, uri: Uri| unknown_path(&known, &method, &uri))
            .layer(middleware::from_fn(log_request))
            .with_state(state)
    }
}

/// A path and its methods.
type Known = (&'static str, Vec<&'static str>);

/// A path with one slash too many leads to the right one, if that has the method; anything else is 404.
fn unknown_path(known: &[Known], method: &Method, uri: &Uri) -> Response {
    let shorter = uri.path().strip_suffix('/').unwrap_or_default();
    let leads = |(route, methods): &Known| {
        let handled = *method != Method::OPTIONS && methods.contains(&method.as_str());
        handled && matches(route, shorter)
    };
    if !known.iter().any(leads) {
        return ApiError::not_found("NOT_FOUND").into_response();
    }
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let Ok(location) = HeaderValue::from_str(&format!("{shorter}{query}")) else {
        return ApiError::not_found("NOT_FOUND").into_response();
    };
    if *method == Method::GET {
        let page = format!("<a href=\"{shorter}\">Moved Permanently</a>.\n\n");
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        (
            StatusCode::MOVED_PERMANENTLY,
            [(LOCATION, location), (CONTENT_TYPE, html)],
            page,
        )
            .into_response()
    } else {
        (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
    }
}

fn matches(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(expected), Some(segment))
                if expected == segment || (expected.starts_with('{') && !segment.is_empty()) => {}
            _ => return false,
        }
    }
}

/// `200 GET /ping (127.0.0.1:40684) 1.972µs`, NSQ's request line.
async fn log_request(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::INFO) {
        return next.run(request).await;
    }
    let started = std::time::Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let remote = request
        .extensions()
        .get::<RemoteAddress>()
        .cloned()
        .unwrap_or_default();
    let response = next.run(request).await;
    tracing::info!(
        "{} {method} {uri} ({}) {}",
        response.status().as_u16(),
        remote.0,
        go_duration::format_duration(started.elapsed())
    );
    response
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn routes_match_by_segment() {
        assert!(matches("/ping", "/ping"));
        assert!(matches("/config/{option}", "/config/log_level"));
        for (route, path) in [
            ("/ping", ""),
            ("/ping", "/ping/x"),
            ("/config/{option}", "/config/"),
            ("/a/b", "/a"),
        ] {
            assert!(!matches(route, path), "{route} {path}");
        }
    }
}
