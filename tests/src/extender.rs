//! An extender for tests: a real HTTP server that answers as it is told, and remembers what it was asked.

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
use serde_json::Value;
use tokio::net::TcpListener;

/// Answers a question, by its path. May block.
type Answer = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// The server; it ends when it is dropped.
pub struct Extender {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Extender {
    /// Starts to serve on a free port.
    pub fn start(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Result<Extender> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("a runtime for the extender")?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .context("a port for the extender")?;
        let address = listener.local_addr().context("asking which port it is")?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        runtime.spawn(serve(listener, Arc::new(answer), Arc::clone(&asked)));
        Ok(Extender {
            address,
            asked,
            _runtime: runtime,
        })
    }

    /// Its address, as a configuration names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked on this path.
    pub fn asked(&self, path: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let on_path = asked.iter().filter(|(asked, _)| asked == path);
        on_path.map(|(_, question)| question.clone()).collect()
    }
}

async fn serve(listener: TcpListener, answer: Arc<Answer>, asked: Arc<Mutex<Vec<(String, Value)>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
        let service = service_fn(move |request| reply(request, Arc::clone(&answer), Arc::clone(&asked)));
        // A connection that breaks is Muster's affair.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<Answer>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((path.clone(), question.clone()));
    let answered = tokio::task::spawn_blocking(move || answer(&path, &question)).await;
    let mut response = Response::new(Full::default());
    match answered {
        Ok(answer) => *response.body_mut() = answer.to_string().into_bytes().into(),
        Err(_) => *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR,
    }
    Ok(response)
}
