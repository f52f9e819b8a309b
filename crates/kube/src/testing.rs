//! A scripted API server for tests: a real HTTP server on loopback, so that connections can break as real ones do.

use crate::connect::Clients;
use crate::extender::Extenders;
use crate::leader::Credentials;
use crate::observer::{BindRequest, Notice, Observer};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use muster_engine::{Census, Input, Object, Observation, Outcome, Stats};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

/// How the server answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// With this status and body.
    Say(u16, String),
    /// With 429 and this `Retry-After`.
    Busy(&'static str),
    /// With 200 and a body in pieces, each sent on its own.
    Stream(Vec<String>, End),
    /// Not at all; the connection stays open.
    Silence,
    /// Not at all; the connection is closed.
    HangUp,
}

/// How a stream ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// In order.
    Close,
    /// With the connection.
    Break,
    /// It does not.
    Stay,
}

type Script = Box<dyn FnMut(&Asked) -> Reply + Send>;

/// The server. It runs for as long as the test's runtime.
pub(crate) struct FakeServer {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeServer {
    pub(crate) async fn start(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> FakeServer {
        FakeServer::start_with(None, script).await
    }

    /// Clients of this server for every purpose.
    pub(crate) fn clients(&self) -> Clients {
        Clients {
            watches: self.client.clone(),
            writes: self.client.clone(),
            lease: self.client.clone(),
            credentials: Credentials::of(&kube::Config::new(self.uri())).unwrap(),
            server: String::new(),
            credentials_from: "the test".to_owned(),
            own_namespace: None,
            extenders: Extenders::default(),
        }
    }

    fn uri(&self) -> http::Uri {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// Speaks TLS, if it is told how; its client does not.
    pub(crate) async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> FakeServer {
        // The kube client makes a TLS connector even for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let uri = format!("http://{address}").parse().unwrap();
        let mut config = kube::Config::new(uri);
        config.default_retry = false;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        tokio::spawn(serve(listener, tls, script, Arc::clone(&asked)));
        FakeServer {
            client: Client::try_from(config).unwrap(),
            address,
            asked,
        }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // So that each piece of a stream leaves at once.
        stream.set_nodelay(true).unwrap();
        let (tls, script, asked) = (tls.clone(), Arc::clone(&script), Arc::clone(&asked));
        let service = service_fn(move |request| answer(request, Arc::clone(&script), Arc::clone(&asked)));
        tokio::spawn(async move {
            // Connections break on purpose, and handshakes fail.
            let http = http1::Builder::new();
            match tls {
                None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                }
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
) -> io::Result<Response<Pieces>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let question = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    asked.lock().unwrap().push(question.clone());
    let reply = (script.lock().unwrap())(&question);
    let mut response = Response::builder();
    let (pieces, end) = match reply {
        Reply::Say(status, body) => {
            response = response.status(status);
            (vec![body], End::Close)
        }
        Reply::Busy(retry_after) => {
            response = response.status(429).header("Retry-After", retry_after);
            (vec![status(429, "too many requests", "null")], End::Close)
        }
        Reply::Stream(pieces, end) => (pieces, end),
        Reply::Silence => std::future::pending().await,
        Reply::HangUp => return Err(io::Error::other("as the script says")),
    };
    Ok(response.body(Pieces::send(pieces, end)).unwrap())
}

/// A body in pieces.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Pieces {
    fn send(pieces: Vec<String>, end: End) -> Pieces {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for piece in pieces {
                if sender.send(Ok(piece.into())).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            match end {
                End::Close => {}
                End::Break => drop(sender.send(Err(io::Error::other("as the script says"))).await),
                End::Stay => sender.closed().await,
            }
        });
        Pieces(receiver)
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A `Status`, as the API server says no.
pub(crate) fn status(code: u16, message: &str, details: &str) -> String {
    format!(r#"{{"kind":"Status","apiVersion":"v1","code":{code},"message":"{message}","details":{details}}}"#)
}

/// A namespace in JSON: the smallest object there is.
pub(crate) fn namespace(name: &str, version: u64) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#)
}

/// A page of a list.
pub(crate) fn page(version: u64, token: &str, items: &[String]) -> Reply {
    let items = items.join(",");
    let metadata = format!(r#"{{"resourceVersion":"{version}","continue":"{token}"}}"#);
    Reply::Say(
        200,
        format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{metadata},"items":[{items}]}}"#),
    )
}

/// A watch event, with its line end.
pub(crate) fn event(event_type: &str, object: &str) -> String {
    format!("{{\"type\":\"{event_type}\",\"object\":{object}}}\n")
}

/// Remembers what happens between Muster and the server.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Vec<Notice>>, Mutex<Vec<String>>);

impl Notes {
    /// What became of requests to bind, in words.
    pub(crate) fn bind_requests(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, wanted: Notice) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|notice| **notice == wanted)
            .count()
    }
}

impl Observer for Notes {
    fn observation(&self, _: &Observation, _: Duration) {}

    fn stats(&self, _: &Stats) {}

    fn census(&self, _: &Census) {}

    fn input(&self, _: &Input) {}

    fn notice(&self, notice: Notice) {
        self.0.lock().unwrap().push(notice);
    }

    fn bind_request(&self, request: &BindRequest<'_>) {
        let said = format!("{} {:?} after {} retries", request.pod, request.status, request.retries);
        self.1.lock().unwrap().push(said);
    }
}

/// An input in a few words.
pub(crate) fn words(input: &Input) -> String {
    match input {
        Input::Applied(Object::Namespace(n)) => format!("applied {}@{}", n.name, n.resource_version),
        Input::Applied(object) => format!("applied a {}", object.kind().name()),
        Input::Deleted(key) => format!("deleted {}@{}", key.name, key.resource_version),
        Input::Undecodable { key, error } => format!("undecodable {}: {error}", key.name),
        Input::ListBegun(kind) => format!("list of {} begun", kind.name()),
        Input::ListDone(kind) => format!("list of {} done", kind.name()),
        Input::KindNotServed(kind) => format!("{} not served", kind.name()),
        Input::Leadership { leads } => format!("leads: {leads}"),
        Input::EffectDone {
            id,
            outcome: Outcome::Bind(outcome),
        } => format!("effect {}: {outcome:?}", id.0),
        Input::EffectDone { id, outcome } => format!("effect {}: {outcome:?}", id.0),
    }
}

/// The next inputs, in words, until this many.
pub(crate) async fn next_words(inputs: &mut mpsc::Receiver<Input>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        match tokio::time::timeout(PATIENCE, inputs.recv()).await {
            Ok(Some(input)) => told.push(words(&input)),
            _ => panic!("only {told:?} came, not {count} inputs"),
        }
    }
    told
}
