//! One request and its whole answer, within a time.

use crate::error_text::error_text;
use crate::observer::{Notice, Observer};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What the server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// How long the server wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// No answer came, or not all of it: whether the request was carried out is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lost(pub(crate) String);

/// Sends a request and reads the whole answer.
pub(crate) async fn exchange(
    client: &Client,
    observer: &dyn Observer,
    request: Request<Body>,
    within: Duration,
) -> Result<Answer, Lost> {
    let deadline = Instant::now() + within;
    let response = head(client, observer, request, within).await?;
    let (parts, body) = response.into_parts();
    let rest = deadline.saturating_duration_since(Instant::now());
    let body = timeout(rest, body.collect_bytes())
        .await
        .map_err(|_| Lost(format!("the answer did not end within {}s", within.as_secs_f32())))?
        .map_err(|error| Lost(format!("the answer broke off: {}", error_text(&error))))?;
    Ok(Answer {
        status: parts.status,
        retry_after: retry_after(&parts.headers),
        body,
    })
}

/// Sends a request and reads the head of the answer.
pub(crate) async fn head(
    client: &Client,
    observer: &dyn Observer,
    request: Request<Body>,
    within: Duration,
) -> Result<Response<Body>, Lost> {
    let method = method_name(request.method());
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let answer = match timeout(within, client.send(request)).await {
        Ok(answer) => answer.map_err(|error| Lost(error_text(&error))),
        Err(_) => Err(Lost(format!("no answer within {}s", within.as_secs_f32()))),
    };
    let status = answer.as_ref().ok().map(|response| response.status().as_u16());
    observer.notice(Notice::Request {
        method,
        status,
        took: begun.elapsed(),
    });
    // klog's `-v=6`: that it was asked, and never what with.
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::trace!(verb = method, path, status, milliseconds, "Response");
    answer
}

/// The method as a label: from a closed list.
fn method_name(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::PATCH => "PATCH",
        http::Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

/// Only the form in seconds: the API server uses no other.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}
