//! A small HTTP server for tests: it answers as it is told, and remembers what it was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Answers a body, by its path. May block.
type Answer = dyn Fn(&str, &[u8]) -> Vec<u8> + Send + Sync;

/// What was sent: path and body, in the order in which it came.
type Received = Arc<Mutex<Vec<(String, Bytes)>>>;

/// The server; it ends when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    received: Received,
    _runtime: tokio::runtime::Runtime,
}

impl HttpServer {
    /// Starts to serve on a free port.
    pub fn start(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> Result<HttpServer> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("a runtime for an HTTP server")?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .context("a port for an HTTP server")?;
        let address = listener.local_addr().context("asking which port it is")?;
        let received = Received::default();
        runtime.spawn(serve(listener, Arc::new(answer), Arc::clone(&received)));
        Ok(HttpServer {
            address,
            received,
            _runtime: runtime,
        })
    }

    /// Its address, as a configuration names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies that were sent to this path.
    pub fn received(&self, path: &str) -> Vec<Bytes> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let on_path = received.iter().filter(|(to, _)| to == path);
        on_path.map(|(_, body)| body.clone()).collect()
    }
}

async fn serve(listener: TcpListener, answer: Arc<Answer>, received: Received) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, received) = (Arc::clone(&answer), Arc::clone(&received));
        let service = service_fn(move |request| reply(request, Arc::clone(&answer), Arc::clone(&received)));
        // A connection that breaks is Muster's affair.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<Answer>,
    received: Received,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    received
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((path.clone(), body.clone()));
    let answered = tokio::task::spawn_blocking(move || answer(&path, &body)).await;
    let mut response = Response::new(Full::default());
    match answered {
        Ok(answer) => *response.body_mut() = answer.into(),
        Err(_) => *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR,
    }
    Ok(response)
}
