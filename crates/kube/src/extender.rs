//! Extenders: other processes that are asked over HTTP where a pod may go, how good that is, and to bind it.
//!
//! One client for each, with its own connections and its own idea of TLS. A question is one POST; only an answer with
//! status 200 counts, redirects are not followed, and nothing is sent twice. How long an answer may be depends on what
//! was asked, so that no extender can fill the memory.
//!
//! Source: `pkg/scheduler/extender.go` (`HTTPExtender`). What is said stands in [`contract`].

mod contract;
mod pieces;
#[cfg(test)]
mod tests;

use crate::connector::connector;
use crate::error_text::error_text;
use crate::whole_nodes::WholeNodes;
use bytes::Bytes;
use contract::{Binding, Nodes};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::ByteString;
use kube::Config;
use kube::config::AuthInfo;
use muster_config::{ExtenderSpec, ExtenderTls, Pem};
use muster_engine::{BindOutcome, ExtenderAnswer, ExtenderVerb, PodRef};
use muster_framework::Text;
use pieces::Pieces;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

pub(crate) use contract::without_managed_fields;

/// What an answer may be long in any case, and for each node that was asked about: a name and a reason.
const ANSWER_BYTES: usize = 1 << 20;
const ANSWER_BYTES_PER_NODE: usize = 4 << 10;

/// Why there is no client for an extender.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a client for the extender {extender}: {problem}")]
pub struct ExtenderError {
    /// Its URL.
    pub extender: String,
    /// What is wrong.
    pub problem: String,
}

/// Clients for all extenders, in the order in which the engine counts them.
#[derive(Clone, Default)]
pub struct Extenders {
    clients: Arc<[Extender]>,
    whole_nodes: Option<Arc<WholeNodes>>,
}

impl Extenders {
    /// Makes the clients; reads certificates and keys. Sends nothing yet.
    pub fn new(specs: &[ExtenderSpec]) -> Result<Extenders, ExtenderError> {
        let client = |spec: &ExtenderSpec| {
            Extender::new(spec).map_err(|problem| ExtenderError {
                extender: spec.url_prefix.clone(),
                problem,
            })
        };
        let clients: Arc<[Extender]> = specs.iter().map(client).collect::<Result<_, _>>()?;
        let whole_nodes = clients.iter().any(Extender::wants_whole_nodes).then(Arc::default);
        Ok(Extenders { clients, whole_nodes })
    }

    /// Where nodes are kept as whole objects, if somebody wants them so. The informer of nodes fills it.
    pub(crate) fn whole_nodes(&self) -> Option<&Arc<WholeNodes>> {
        self.whole_nodes.as_ref()
    }

    /// Asks the extender that the engine has under this number about nodes, for a pod in JSON.
    pub(crate) async fn ask(&self, number: u32, verb: ExtenderVerb, pod: &[u8], nodes: &[Text]) -> ExtenderAnswer {
        let Some(extender) = self.clients.get(number as usize) else {
            let message = Text::from("there is no such extender");
            return ExtenderAnswer::Failed { message };
        };
        let nodes = match &self.whole_nodes {
            Some(kept) if extender.wants_whole_nodes() => Nodes::Whole(kept.get(nodes)),
            _ => Nodes::Names(nodes),
        };
        extender.ask(verb, pod, nodes).await
    }

    /// Has a pod bound by the extender of this number. None: it could not, and it may be done without.
    pub(crate) async fn bind(&self, number: u32, pod: &PodRef, node: &str) -> Option<BindOutcome> {
        let Some(extender) = self.clients.get(number as usize) else {
            let message = Text::from("there is no such extender");
            return Some(BindOutcome::Refused { message });
        };
        match extender.bind(pod, node).await {
            BindOutcome::Bound => Some(BindOutcome::Bound),
            _ if extender.ignorable => None,
            other => Some(other),
        }
    }
}

/// A client for one extender.
pub(crate) struct Extender {
    /// As upstream names it: its URL.
    name: String,
    filter: Option<Uri>,
    prioritize: Option<Uri>,
    bind: Option<Uri>,
    client: Client<HttpsConnector<HttpConnector>, Pieces>,
    timeout: Duration,
    node_cache_capable: bool,
    ignorable: bool,
    /// It failed the last time.
    failing: AtomicBool,
}

impl Extender {
    fn new(spec: &ExtenderSpec) -> Result<Extender, String> {
        let base = spec.url_prefix.trim_end_matches('/');
        let uri = |verb: &Option<String>| {
            let uri = |verb: &String| format!("{base}/{verb}").parse::<Uri>();
            verb.as_ref()
                .map(uri)
                .transpose()
                .map_err(|error| format!("this is no URL: {error}"))
        };
        Ok(Extender {
            name: spec.url_prefix.clone(),
            filter: uri(&spec.filter_verb)?,
            prioritize: uri(&spec.prioritize_verb)?,
            bind: uri(&spec.bind_verb)?,
            client: client(spec)?,
            timeout: spec.timeout,
            node_cache_capable: spec.node_cache_capable,
            ignorable: spec.ignorable,
            failing: AtomicBool::new(false),
        })
    }

    /// Whether it is told whole nodes, not names.
    fn wants_whole_nodes(&self) -> bool {
        !self.node_cache_capable && (self.filter.is_some() || self.prioritize.is_some())
    }

    /// Asks about nodes for a pod in JSON.
    async fn ask(&self, verb: ExtenderVerb, pod: &[u8], nodes: Nodes<'_>) -> ExtenderAnswer {
        let uri = match verb {
            ExtenderVerb::Filter => &self.filter,
            ExtenderVerb::Prioritize => &self.prioritize,
        };
        let (count, whole) = match &nodes {
            Nodes::Names(names) => (names.len(), false),
            Nodes::Whole(nodes) => (nodes.len(), true),
        };
        let question = Pieces::from(contract::question(pod, nodes));
        let mut longest = ANSWER_BYTES + count * ANSWER_BYTES_PER_NODE;
        if whole {
            // It may send the nodes back, written less densely.
            longest += 2 * usize::try_from(question.bytes()).unwrap_or(usize::MAX / 4);
        }
        let answer = self.send(uri.as_ref(), question, longest).await;
        let answer = answer.and_then(|body| match verb {
            ExtenderVerb::Filter => contract::filtered(&body, self.node_cache_capable),
            ExtenderVerb::Prioritize => contract::prioritized(&body),
        });
        self.note(answer.as_ref().err());
        // The engine names the extender in what it says of it.
        answer.unwrap_or_else(|message| ExtenderAnswer::Failed {
            message: message.into(),
        })
    }

    /// Has a pod bound to a node. What was not answered, or not as it should be, may have been done: the pod itself
    /// tells.
    async fn bind(&self, pod: &PodRef, node: &str) -> BindOutcome {
        let request = Pieces::from(vec![contract::binding(pod, node)]);
        let answer = self.send(self.bind.as_ref(), request, ANSWER_BYTES).await;
        let answer = answer.and_then(|body| contract::bound(&body));
        self.note(answer.as_ref().err());
        let message = |said: String| Text::from(format!("extender {}: {said}", self.name));
        match answer {
            Ok(Binding::Done) => BindOutcome::Bound,
            Ok(Binding::Refused(said)) => BindOutcome::Refused { message: message(said) },
            Err(problem) => BindOutcome::Unknown {
                message: message(problem),
            },
        }
    }

    /// Sends a request, and reads an answer that is not longer than this.
    async fn send(&self, uri: Option<&Uri>, body: Pieces, longest: usize) -> Result<Bytes, String> {
        let uri = uri.ok_or("it has no such verb")?;
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION"))),
        );
        let begun = Instant::now();
        let answer = timeout(self.timeout, self.exchange(uri, request, longest)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("{uri}: no answer within {}s", self.timeout.as_secs_f32())));
        tracing::debug!(%uri, took = ?begun.elapsed(), ok = answer.is_ok(), "an extender was asked");
        answer
    }

    async fn exchange(&self, uri: &Uri, request: Request<Pieces>, longest: usize) -> Result<Bytes, String> {
        let response = self.client.request(request).await;
        let response = response.map_err(|error| format!("{uri}: {}", error_text(&error)))?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(format!("{uri}: it answered with HTTP {}", head.status));
        }
        let body = Limited::new(body, longest).collect().await;
        let body = body.map_err(|error| format!("{uri}: the answer broke off: {}", error_text(&*error)))?;
        Ok(body.to_bytes())
    }

    /// Says in the log when an extender begins to fail, and when it works again; pods say it in their conditions, but
    /// not where the extender may be ignored.
    fn note(&self, problem: Option<&String>) {
        let failed_before = self.failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !failed_before => {
                tracing::warn!(extender = self.name, error = %problem, ignorable = self.ignorable, "an extender fails");
            }
            None if failed_before => tracing::info!(extender = self.name, "an extender works again"),
            _ => {}
        }
    }
}

fn client(spec: &ExtenderSpec) -> Result<Client<HttpsConnector<HttpConnector>, Pieces>, String> {
    Ok(Client::builder(TokioExecutor::new()).build(connector(&tls(spec)?)?))
}

fn tls(spec: &ExtenderSpec) -> Result<Config, String> {
    // Where it goes is stated in every request.
    let mut config = Config::new(Uri::from_static("https://extender"));
    let default = ExtenderTls::default();
    let tls = spec.tls.as_ref().unwrap_or(&default);
    for (field, pem) in [
        ("caFile", &tls.ca),
        ("certFile", &tls.certificate),
        ("keyFile", &tls.key),
    ] {
        // What the libraries say of a file that they cannot read names no file.
        if let Some(Pem::File(path)) = pem {
            std::fs::metadata(path).map_err(|error| format!("{field} {path}: {error}"))?;
        }
    }
    config.accept_invalid_certs = tls.insecure;
    config.tls_server_name = tls.server_name.clone();
    let trusts_system = spec.url_prefix.starts_with("https:") && !tls.insecure && tls.ca.is_none();
    if !trusts_system {
        // Nobody is trusted so far; the certificates of the system need not even be there.
        config.root_cert = Some(Vec::new());
    }
    match &tls.ca {
        None => {}
        Some(Pem::File(path)) => config.root_cert_file = Some(path.into()),
        Some(Pem::Text(text)) => config.root_cert = Some(certificates(text)?),
    }
    let mut identity = serde_json::Map::new();
    for (name, pem) in [("client-certificate", &tls.certificate), ("client-key", &tls.key)] {
        match pem {
            None => {}
            Some(Pem::File(path)) => drop(identity.insert(name.to_owned(), json!(path))),
            Some(Pem::Text(text)) => {
                drop(identity.insert(format!("{name}-data"), json!(ByteString(text.clone()))));
            }
        }
    }
    // Built from what was checked: nothing of it can be quoted.
    let identity: Result<AuthInfo, _> = serde_json::from_value(identity.into());
    config.auth_info = identity.map_err(|_| "its certificate and key cannot be used")?;
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read.into_iter().map(|der| der.to_vec()).collect()),
        Ok(_) => Err("there is no certificate in its caData".to_owned()),
        Err(error) => Err(format!("its caData is not PEM: {error}")),
    }
}
