//! Reading for a person at a terminal: single objects, lists and watches, whoever that person is in their kubeconfig, and
//! errors in the words of kubectl.

use crate::error_text::error_text;
use crate::kubeconfig::ConnectOptions;
use crate::query::escaped;
use crate::wire::{Cutter as _, Lines};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use muster_api::envelope::{self, EventType};
use muster_api::status_message;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Why nothing came back, as a whole line for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The kubeconfig, or a flag that points into it, is wrong: nothing was asked.
    #[error("error: {0}")]
    Kubeconfig(String),
    /// The server does not know who asks: no credentials, or expired ones.
    #[error("error: You must be logged in to the server ({0})")]
    Unauthorized(String),
    /// The server answered, and not with what was asked for.
    #[error("Error from server{}: {message}", in_brackets(.reason))]
    Server {
        /// One word, for example `NotFound` or `Forbidden`; may be empty.
        reason: String,
        /// A sentence.
        message: String,
        /// The HTTP code.
        code: u16,
    },
    /// Nobody listens there.
    #[error("The connection to the server {0} was refused - did you specify the right host or port?")]
    Refused(String),
    /// No answer, for this reason.
    #[error("Unable to connect to the server: {0}")]
    Unreachable(String),
}

impl ReadError {
    /// Whether the server does not have what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ReadError::Server { code: 404, .. })
    }

    /// Whether a list or watch has to begin anew.
    pub fn is_expired(&self) -> bool {
        matches!(self, ReadError::Server { code: 410, .. })
    }
}

fn in_brackets(reason: &str) -> String {
    match reason {
        "" | "Unknown" => String::new(),
        reason => format!(" ({reason})"),
    }
}

/// How many objects a page of a list has at the most. Source: kubectl's `--chunk-size`.
const PAGE: usize = 500;
/// Stands for "for ever" where somebody wants a number.
const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A connection to the API server of a person's kubeconfig.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    server: String,
    namespace: String,
    within: Duration,
}

impl Reader {
    /// Reads the kubeconfig and makes a client. Sends nothing yet.
    ///
    /// # Errors
    /// The kubeconfig is missing or wrong, or has no such context, cluster or user; or a flag that is put over it is.
    pub async fn connect(options: &ConnectOptions) -> Result<Reader, ReadError> {
        let mut config = options.config().await.map_err(ReadError::Kubeconfig)?;
        // A person repeats a command; what is repeated in silence only seems to hang.
        config.default_retry = false;
        let agent = HeaderValue::from_static(concat!("kubectl-muster/", env!("CARGO_PKG_VERSION")));
        config.headers.push((header::USER_AGENT, agent));
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| ReadError::Kubeconfig(error_text(&error)))?;
        Ok(Reader {
            client,
            server: server.trim_end_matches('/').to_owned(),
            namespace,
            within: options.request_timeout.unwrap_or(NO_LIMIT),
        })
    }

    /// The namespace of the context, else `default`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The answer to a GET.
    ///
    /// # Errors
    /// What kept it from coming.
    pub async fn get(&self, path_and_query: &str) -> Result<Bytes, ReadError> {
        let response = self.send(path_and_query).await?;
        let status = response.status();
        let body = timeout(self.within, response.into_body().collect_bytes())
            .await
            .map_err(|_| self.too_slow())?
            .map_err(|error| ReadError::Unreachable(format!("the answer broke off: {}", error_text(&error))))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(refusal(status, &body))
        }
    }

    /// Gives every object of a list to `each`, page by page, and the version to watch from.
    ///
    /// # Errors
    /// What kept a page from coming; some may have been given by then.
    pub async fn list(&self, path: &str, mut each: impl FnMut(&[u8])) -> Result<String, ReadError> {
        let mut query = format!("limit={PAGE}");
        loop {
            let body = self.get(&format!("{path}?{query}")).await?;
            let page = envelope::page(&body).map_err(|error| unreadable(&error))?;
            page.items.iter().for_each(|item| each(item));
            let Some(token) = page.continue_token else {
                return Ok(page.resource_version);
            };
            query = format!("limit={PAGE}&continue={}", escaped(&token));
        }
    }

    /// Follows a list from a version on.
    ///
    /// # Errors
    /// What kept it from beginning.
    pub async fn watch(&self, path: &str, resource_version: &str) -> Result<Watch, ReadError> {
        let version = escaped(resource_version);
        let query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}");
        let response = self.send(&format!("{path}?{query}")).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Watch {
                body: response.into_body(),
                lines: Lines::default(),
            });
        }
        let body = timeout(self.within, response.into_body().collect_bytes()).await;
        Err(refusal(status, &body.ok().and_then(Result::ok).unwrap_or_default()))
    }

    async fn send(&self, path_and_query: &str) -> Result<http::Response<Body>, ReadError> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path_and_query
            .parse()
            .map_err(|_| ReadError::Kubeconfig(format!("{path_and_query:?} is no path of an API")))?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        // Watches would be compressed event by event, which delays them.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let begun = Instant::now();
        let answer = timeout(self.within, self.client.send(request)).await;
        let answer = answer.map_err(|_| self.too_slow())?;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = answer.as_ref().ok().map(|response| response.status().as_u16());
        tracing::trace!(
            verb = "GET",
            server = self.server,
            path = path_and_query,
            status,
            milliseconds,
            "Response"
        );
        answer.map_err(|error| self.unreachable(&error))
    }

    fn too_slow(&self) -> ReadError {
        let seconds = self.within.as_secs_f32();
        ReadError::Unreachable(format!("no answer from {} within {seconds}s", self.server))
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> ReadError {
        let mut next = Some(error);
        while let Some(cause) = next {
            if cause.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::ConnectionRefused) {
                let host = self.server.split_once("://").map_or(&*self.server, |(_, host)| host);
                return ReadError::Refused(host.to_owned());
            }
            next = cause.source();
        }
        ReadError::Unreachable(format!("{}: {}", self.server, error_text(error)))
    }
}

/// The events of a watch.
pub struct Watch {
    body: Body,
    lines: Lines,
}

impl Watch {
    /// The next event and its object; None when the server has ended the watch in order.
    ///
    /// # Errors
    /// The connection broke, or the server cannot go on: see [`ReadError::is_expired`].
    pub async fn next(&mut self) -> Result<Option<(EventType, Bytes)>, ReadError> {
        loop {
            if let Some(line) = self.lines.cut() {
                let event = envelope::watch_event(&line).map_err(|error| unreadable(&error))?;
                if event.event_type == EventType::Error {
                    let code = status_message(event.object).map_or(500, |status| status.code);
                    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    return Err(refusal(status, event.object));
                }
                return Ok(Some((event.event_type, line.slice_ref(event.object))));
            }
            let piece = match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    return Err(ReadError::Unreachable(format!(
                        "the watch broke off: {}",
                        error_text(&error)
                    )));
                }
            };
            if let Ok(bytes) = piece.into_data() {
                self.lines.push(&bytes).map_err(|error| unreadable(&error))?;
            }
        }
    }
}

fn unreadable(error: &dyn Error) -> ReadError {
    ReadError::Server {
        reason: "InternalError".to_owned(),
        message: format!("the answer cannot be read: {error}"),
        code: 500,
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> ReadError {
    let said = status_message(body);
    let code = status.as_u16();
    let message = match &said {
        Some(said) if !said.message.is_empty() => said.message.clone(),
        _ => status.to_string(),
    };
    if status == StatusCode::UNAUTHORIZED {
        return ReadError::Unauthorized(message);
    }
    ReadError::Server {
        reason: said.map(|said| said.reason).unwrap_or_default(),
        message,
        code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{End, FakeServer, Reply, event, namespace, page, status};
    use proptest::prelude::*;

    const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: c, user: u, namespace: shop}
clusters:
- name: c
  cluster: {server: 'http://127.0.0.1:1'}
users:
- name: u
  user: {token: hush}
";

    async fn connect(kubeconfig: &str, change: impl FnOnce(&mut ConnectOptions)) -> Result<Reader, ReadError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, kubeconfig).unwrap();
        let mut options = ConnectOptions {
            kubeconfig: Some(path.clone()),
            ..ConnectOptions::default()
        };
        change(&mut options);
        let name = path.display().to_string();
        Reader::connect(&options).await.map_err(|error| match error {
            ReadError::Kubeconfig(text) => ReadError::Kubeconfig(text.replace(&name, "FILE")),
            other => other,
        })
    }

    async fn to(server: &FakeServer) -> Reader {
        let url = format!("http://{}", server.address);
        connect(&KUBECONFIG.replace("http://127.0.0.1:1", &url), |_| {})
            .await
            .unwrap()
    }

    async fn wrong(kubeconfig: &str, change: impl FnOnce(&mut ConnectOptions)) -> String {
        match connect(kubeconfig, change).await {
            Ok(_) => panic!("this is not wrong"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn the_context_gives_namespace_and_server() {
        let reader = connect(KUBECONFIG, |_| {}).await.unwrap();
        assert_eq!((reader.namespace(), &*reader.server), ("shop", "http://127.0.0.1:1"));
        assert_eq!(
            reader.get("/version").await.unwrap_err().to_string(),
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?"
        );
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_one_sentence_without_secrets() {
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(
            wrong(KUBECONFIG, |options| options.context = named("x")).await,
            "error: context \"x\" does not exist"
        );
        assert_eq!(
            wrong(KUBECONFIG, |options| options.cluster = named("x")).await,
            "error: cluster \"x\" does not exist"
        );
        assert_eq!(
            wrong(KUBECONFIG, |options| options.user = named("x")).await,
            "error: auth info \"x\" does not exist"
        );
        assert_eq!(
            wrong(KUBECONFIG, |options| options.kubeconfig = Some("/nowhere".into())).await,
            "error: cannot read the kubeconfig /nowhere: No such file or directory (os error 2)"
        );
        assert_eq!(
            wrong("users: [{name: u, user: {token: hush}]", |_| {}).await,
            "error: FILE: this is not the YAML of a kubeconfig, line 1, column 9"
        );
        assert_eq!(
            wrong("apiVersion: v1\nkind: Config\n", |_| {}).await,
            "error: the kubeconfig has no current context: give --context"
        );
        assert!(
            !wrong(&KUBECONFIG.replace("http:", "ht tp:"), |_| {})
                .await
                .contains("hush")
        );
    }

    #[tokio::test]
    async fn refusals_are_in_kubectls_words() {
        let forbidden = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"pods is forbidden"}"#;
        let unauthorized = r#"{"kind":"Status","code":401,"reason":"Unauthorized","message":"Unauthorized"}"#;
        let replies = [
            (403, forbidden, "Error from server (Forbidden): pods is forbidden"),
            (
                401,
                unauthorized,
                "error: You must be logged in to the server (Unauthorized)",
            ),
            (404, "404 page not found", "Error from server: 404 Not Found"),
            (
                200,
                "<html>",
                "Error from server (InternalError): the answer cannot be read: this is not a page of a list: \
                expected value at line 1 column 1",
            ),
        ];
        for (code, body, said) in replies {
            let server = FakeServer::start(move |_| Reply::Say(code, body.to_owned())).await;
            let error = to(&server).await.list("/api/v1/pods", |_| {}).await.unwrap_err();
            assert_eq!(error.to_string(), said);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_silent_is_left_in_time() {
        let server = FakeServer::start(|_| Reply::Silence).await;
        let mut reader = to(&server).await;
        reader.within = Duration::from_millis(20);
        let said = reader.get("/version").await.unwrap_err().to_string();
        assert!(
            said.starts_with("Unable to connect to the server: no answer from http://127.0.0.1:"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn lists_come_in_pages_and_watches_end() {
        let mut lists = vec![
            page(7, "to/ken=", &[namespace("a", 1)]),
            page(7, "", &[namespace("b", 2)]),
        ]
        .into_iter();
        let expired = event("ERROR", &status(410, "too old", "null"));
        let mut watches = vec![
            Reply::Stream(vec![event("ADDED", &namespace("c", 8))], End::Close),
            Reply::Stream(vec![expired], End::Stay),
        ]
        .into_iter();
        let server = FakeServer::start(move |asked| {
            let next = if asked.is_watch() { watches.next() } else { lists.next() };
            next.unwrap_or(Reply::HangUp)
        })
        .await;
        let reader = to(&server).await;
        let mut found = 0;
        let version = reader.list("/api/v1/namespaces", |_| found += 1).await.unwrap();
        assert_eq!((found, &*version), (2, "7"));
        let mut watch = reader.watch("/api/v1/namespaces", &version).await.unwrap();
        assert_eq!(watch.next().await.unwrap().unwrap().0, EventType::Added);
        assert!(watch.next().await.unwrap().is_none());
        let mut watch = reader.watch("/api/v1/namespaces", &version).await.unwrap();
        assert!(watch.next().await.unwrap_err().is_expired());
        assert_eq!(server.asked()[1].query, "limit=500&continue=to%2Fken%3D");
        assert_eq!(server.asked()[1].headers["authorization"], "Bearer hush");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_slip_of_a_finger_in_a_kubeconfig_is_an_error_without_secrets(
            at in any::<prop::sample::Index>(), new in any::<char>(), insert in any::<bool>(),
        ) {
            let mut chars: Vec<char> = KUBECONFIG.chars().collect();
            let at = at.index(chars.len());
            if insert { chars.insert(at, new) } else { chars[at] = new }
            let text: String = chars.into_iter().collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            if let Err(error) = runtime.block_on(connect(&text, |_| {})) {
                let said = error.to_string();
                prop_assert!(!said.contains("hush") && !said.contains('\n'), "{said}");
            }
        }
    }
}
