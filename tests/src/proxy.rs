//! A proxy between Muster and the API server that delays, cuts and refuses as it is told.
//!
//! It speaks TLS with the API server's own certificate and passes credentials through, so that a client changes nothing but
//! the port. What it does to a request is said by [`Rule`]s; a request without one passes, and watches are passed on as
//! they come.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use muster_xtask::ControlPlane;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::deployed::level_of;

/// What is done to a request, or to its answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The request is passed on so much later.
    DelayRequest(Duration),
    /// The answer is passed on so much later.
    DelayAnswer(Duration),
    /// The connection is cut; the API server hears nothing of the request.
    CutBefore,
    /// The request is passed on, and the connection cut when its answer is there: a write did happen.
    CutAfter,
    /// The API server hears nothing; the client gets this answer.
    Refuse {
        /// The status code.
        code: u16,
        /// The `Retry-After` of the answer, in seconds.
        retry_after: Option<u32>,
    },
    /// What a watch tells is passed on so much later, in its order.
    HoldEvents(Duration),
    /// The watch ends after so many pieces of what it tells.
    EndWatch(usize),
    /// The watch says that its version is too old, as a 200 with an error in it.
    ExpireWatch,
}

/// Which requests a fault is for.
#[derive(Debug, Clone)]
pub struct Rule {
    method: Option<Method>,
    /// What path and query contain, all of it.
    contains: Vec<String>,
    /// How many more requests it is for.
    left: usize,
    fault: Fault,
}

impl Rule {
    /// For all requests.
    #[must_use]
    pub fn new(fault: Fault) -> Rule {
        Rule {
            method: None,
            contains: Vec::new(),
            left: usize::MAX,
            fault,
        }
    }

    /// Only for requests of this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Rule {
        self.method = Some(method);
        self
    }

    /// Only for requests whose path and query contain this too.
    #[must_use]
    pub fn contains(mut self, part: &str) -> Rule {
        self.contains.push(part.to_owned());
        self
    }

    /// Only for so many requests.
    #[must_use]
    pub fn times(mut self, n_requests: usize) -> Rule {
        self.left = n_requests;
        self
    }

    fn matches(&self, method: &Method, target: &str) -> bool {
        self.left > 0
            && self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.contains.iter().all(|part| target.contains(part))
    }
}

/// Rules for binds: `POST` of a pod's binding.
#[must_use]
pub fn binds(fault: Fault) -> Rule {
    Rule::new(fault).method(Method::POST).contains("/binding")
}

/// A request that came to the proxy.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// What the API server answered, or the proxy in its place; none yet, or a cut connection.
    pub status: Option<StatusCode>,
    /// The priority level at which the API server served it, by its uid; none where it has not.
    pub priority_level: Option<String>,
}

impl Seen {
    /// Its path without the query, which says how long the API server may take.
    #[must_use]
    pub fn path(&self) -> String {
        let (path, _) = self.target.split_once('?').unwrap_or((&self.target, ""));
        path.to_owned()
    }
}

/// The proxy; it ends when it is dropped.
pub struct Proxy {
    port: u16,
    desk: Arc<Desk>,
    _runtime: tokio::runtime::Runtime,
}

struct Desk {
    upstream: kube::Client,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    down: AtomicBool,
    /// Changes when all connections are to be cut.
    cut: watch::Sender<()>,
}

type ProxyBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The connection is cut; hyper does that when a service fails.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

impl Proxy {
    /// Starts to serve on a free port.
    pub fn start(plane: &ControlPlane) -> Result<Proxy> {
        Proxy::start_on(plane, 0)
    }

    /// Likewise, on this port.
    pub fn start_on(plane: &ControlPlane, port: u16) -> Result<Proxy> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("a runtime for the proxy")?;
        // Another one may be installed already, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pki = plane.dir().join("pki");
        let acceptor = acceptor(&pki)?;
        let mut config = kube::Config::new(plane.server_url().parse().context("the API server's address")?);
        let authority = std::fs::read(pki.join("ca.crt")).context("reading the authority")?;
        let authority = CertificateDer::from_pem_slice(&authority).context("reading the authority")?;
        config.root_cert = Some(vec![authority.to_vec()]);
        config.default_retry = false;
        let (client, listener) = runtime.block_on(async {
            let client = kube::Client::try_from(config).context("a client for the API server")?;
            let listener = TcpListener::bind(("127.0.0.1", port))
                .await
                .context("a port for the proxy")?;
            anyhow::Ok((client, listener))
        })?;
        let port = listener.local_addr().context("asking which port it is")?.port();
        let desk = Arc::new(Desk {
            upstream: client,
            rules: Mutex::default(),
            seen: Mutex::default(),
            down: AtomicBool::new(false),
            cut: watch::channel(()).0,
        });
        runtime.spawn(serve(listener, acceptor, Arc::clone(&desk)));
        Ok(Proxy {
            port,
            desk,
            _runtime: runtime,
        })
    }

    /// Writes a copy of a kubeconfig that leads through the proxy.
    pub fn kubeconfig(&self, original: &Path) -> Result<PathBuf> {
        kubeconfig_through(self.port, original)
    }

    /// Adds a rule; the first that matches a request is taken.
    pub fn add(&self, rule: Rule) {
        lock(&self.desk.rules).push(rule);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        lock(&self.desk.rules).clear();
    }

    /// Cuts all connections, watches too. New ones are served.
    pub fn cut_all(&self) {
        self.desk.cut.send_replace(());
    }

    /// Whether nobody is served: connections are cut, and new ones closed as soon as they are there.
    pub fn set_down(&self, down: bool) {
        self.desk.down.store(down, Ordering::SeqCst);
        if down {
            self.cut_all();
        }
    }

    /// The requests so far for which this is true.
    pub fn seen(&self, accept: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        lock(&self.desk.seen)
            .iter()
            .filter(|seen| accept(seen))
            .cloned()
            .collect()
    }
}

/// Writes a copy of a kubeconfig that leads through a proxy on this port, which need not be there yet.
pub fn kubeconfig_through(port: u16, original: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(original).context("reading the kubeconfig")?;
    let mut config: Value = serde_json::from_str(&text).context("a kubeconfig in JSON")?;
    config["clusters"][0]["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
    let path = original.with_extension(format!("proxy-{port}"));
    std::fs::write(&path, config.to_string()).context("writing the kubeconfig")?;
    Ok(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn acceptor(pki: &Path) -> Result<TlsAcceptor> {
    let certificate = std::fs::read(pki.join("apiserver.crt")).context("reading the API server's certificate")?;
    let key = std::fs::read(pki.join("apiserver.key")).context("reading the API server's key")?;
    let certificates = vec![CertificateDer::from_pem_slice(&certificate).context("the API server's certificate")?];
    let key = PrivateKeyDer::from_pem_slice(&key).context("the API server's key")?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .context("a TLS server")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        if !desk.down.load(Ordering::SeqCst) {
            tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&desk)));
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, desk: Arc<Desk>) {
    let mut cut = desk.cut.subscribe();
    // A client that does not get as far as a request has gone: its affair.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| answer(Arc::clone(&desk), request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // It fails where it was cut on purpose, and where the client went.
        _ = serving => {}
        _ = cut.changed() => {}
    }
}

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<ProxyBody>, Cut> {
    let target = request.uri().path_and_query().map_or("/", |t| t.as_str()).to_owned();
    let fault = desk.fault(request.method(), &target);
    let number = desk.note(request.method().clone(), target);
    match fault {
        Some(Fault::CutBefore) => return Err(Cut),
        Some(Fault::DelayRequest(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Refuse { code, retry_after }) => {
            let response = refusal(code, retry_after);
            desk.answered(number, &response);
            return Ok(response);
        }
        Some(Fault::ExpireWatch) => {
            let response = expired();
            desk.answered(number, &response);
            return Ok(response);
        }
        _ => {}
    }
    let response = desk.forward(request).await?;
    desk.answered(number, &response);
    match fault {
        Some(Fault::CutAfter) => Err(Cut),
        Some(Fault::DelayAnswer(delay)) => {
            tokio::time::sleep(delay).await;
            Ok(response)
        }
        Some(Fault::HoldEvents(delay)) => Ok(response.map(|body| held(body, delay))),
        Some(Fault::EndWatch(after)) => Ok(response.map(|body| ended(body, after))),
        _ => Ok(response),
    }
}

impl Desk {
    /// The fault for a request, which is one of those that its rule is for.
    fn fault(&self, method: &Method, target: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|rule| rule.matches(method, target))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    fn note(&self, method: Method, target: String) -> usize {
        let mut seen = lock(&self.seen);
        seen.push(Seen {
            method,
            target,
            status: None,
            priority_level: None,
        });
        seen.len() - 1
    }

    fn answered(&self, number: usize, response: &Response<ProxyBody>) {
        if let Some(seen) = lock(&self.seen).get_mut(number) {
            seen.status = Some(response.status());
            seen.priority_level = level_of(response);
        }
    }

    /// Has the API server answer. When it does not, the client's connection is cut too: it learns no more from us.
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<ProxyBody>, Cut> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        // Of this connection alone, and of the address that it leads to.
        head.headers.remove(header::CONNECTION);
        head.headers.remove(header::HOST);
        let request = Request::from_parts(head, Body::from(body.to_vec()));
        let response = self.upstream.send(request).await.map_err(|_| Cut)?;
        let (mut head, body) = response.into_parts();
        head.headers.remove(header::CONNECTION);
        head.headers.remove(header::TRANSFER_ENCODING);
        Ok(Response::from_parts(
            head,
            body.map_err(std::io::Error::other).boxed_unsync(),
        ))
    }
}

fn full(text: String) -> ProxyBody {
    Full::new(Bytes::from(text))
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn status_object(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by the fault proxy", "reason": reason, "code": code,
    })
}

fn refusal(code: u16, retry_after: Option<u32>) -> Response<ProxyBody> {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let mut response = json_response(full(status_object(code, reason).to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn expired() -> Response<ProxyBody> {
    let event = json!({ "type": "ERROR", "object": status_object(410, "Expired") });
    json_response(full(format!("{event}\n")))
}

fn json_response(body: ProxyBody) -> Response<ProxyBody> {
    let mut response = Response::new(body);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Every piece so much later than it came.
fn held(body: ProxyBody, delay: Duration) -> ProxyBody {
    let pieces = futures::stream::unfold(body, move |mut body| async move {
        let piece = body.frame().await?;
        tokio::time::sleep(delay).await;
        Some((piece, body))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn ended(body: ProxyBody, after: usize) -> ProxyBody {
    let pieces = futures::stream::unfold((body, after), |(mut body, left)| async move {
        let left = left.checked_sub(1)?;
        let piece: Result<Frame<Bytes>, std::io::Error> = body.frame().await?;
        Some((piece, (body, left)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// Fails if a request of this sort was sent more often than that.
pub fn at_most(proxy: &Proxy, n_requests: usize, what: &str, accept: impl Fn(&Seen) -> bool) -> Result<()> {
    let seen = proxy.seen(accept);
    if seen.len() > n_requests {
        bail!("{} {what}, and {n_requests} would have been many", seen.len());
    }
    Ok(())
}
