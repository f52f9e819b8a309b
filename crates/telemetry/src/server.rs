//! The TLS server for `/livez`, `/readyz`, `/healthz` and `/metrics`.
//!
//! It answers few questions of few callers, so it is strict with them: connections are limited in number, by caller and
//! in age, and nobody may take long to shake hands or to say what they want. A caller who would use it all up leaves the
//! kubelet's probes their share.

use crate::access::{AlwaysAllow, FORBIDDEN};
use crate::health::{Check, Health, report};
use crate::metrics::Metrics;
use crate::tls::{Certificate, TlsError};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How much callers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_peer: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, and between two of them.
    pub head: Duration,
    /// The age of a connection; it ends after the answer that is under way.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 128,
            connections_per_peer: 24,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            age: Duration::from_secs(120),
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What is wrong.
        source: std::io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens, and answers once it is run.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    site: Arc<Site>,
    limits: Limits,
}

/// What there is to read.
struct Site {
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
    always_allow: AlwaysAllow,
}

impl Server {
    /// Takes the address; callers wait until [`Server::run`].
    pub async fn listen(
        address: SocketAddr,
        certificate: &Certificate,
        always_allow: AlwaysAllow,
        metrics: Arc<Metrics>,
        health: Arc<dyn Health>,
        limits: Limits,
    ) -> Result<Server, ServerError> {
        let acceptor = TlsAcceptor::from(Arc::new(certificate.server_config()?));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        Ok(Server {
            listener,
            acceptor,
            site: Arc::new(Site {
                metrics,
                health,
                always_allow,
            }),
            limits,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for as long as the future is polled.
    pub async fn run(self) {
        let seats = Arc::new(Seats::default());
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a caller who left at once: neither ends the server.
                    tracing::debug!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(seat) = Seats::take(&seats, peer.ip(), &self.limits) else {
                tracing::debug!(%peer, "closed a connection: too many are open");
                continue;
            };
            let (acceptor, site, limits) = (self.acceptor.clone(), Arc::clone(&self.site), self.limits);
            tokio::spawn(async move {
                serve(stream, peer.ip(), acceptor, site, limits).await;
                drop(seat);
            });
        }
    }
}

/// The connections that are open, by caller.
#[derive(Default)]
struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// One open connection; gives its place back when it is dropped.
struct Seat {
    seats: Arc<Seats>,
    peer: IpAddr,
}

impl Seats {
    fn take(seats: &Arc<Seats>, peer: IpAddr, limits: &Limits) -> Option<Seat> {
        let mut open = seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let of_peer = open.get(&peer).copied().unwrap_or(0);
        if all >= limits.connections || of_peer >= limits.connections_per_peer {
            return None;
        }
        open.insert(peer, of_peer + 1);
        Some(Seat {
            seats: Arc::clone(seats),
            peer,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.peer);
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: IpAddr, acceptor: TlsAcceptor, site: Arc<Site>, limits: Limits) {
    let stream = match tokio::time::timeout(limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(%peer, "a TLS handshake took too long"),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let response = site.answer(request.method(), request.uri().path(), request.uri().query(), peer);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = match tokio::time::timeout(limits.age, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.head, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%peer, %error, "a connection ended badly");
    }
}

impl Site {
    fn answer(&self, method: &Method, path: &str, query: Option<&str>, peer: IpAddr) -> Response<Full<Bytes>> {
        if !self.always_allow.permits(path, peer) {
            return text(StatusCode::FORBIDDEN, FORBIDDEN.to_owned());
        }
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".to_owned());
        }
        match path {
            "/livez" => health("livez", &self.health.live(), query),
            // Upstream's older name; it has the meaning of liveness there too.
            "/healthz" => health("healthz", &self.health.live(), query),
            "/readyz" => health("readyz", &self.health.ready(), query),
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics.render() {
            Ok(metrics) => respond(StatusCode::OK, prometheus::TEXT_FORMAT, metrics),
            Err(error) => {
                tracing::error!(%error, "cannot render the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
            }
        }
    }
}

fn health(endpoint: &str, checks: &[Check], query: Option<&str>) -> Response<Full<Bytes>> {
    let verbose = query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")));
    let (well, body) = report(endpoint, checks, verbose);
    text(
        if well {
            StatusCode::OK
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        },
        body,
    )
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    struct Pods(bool);

    impl Health for Pods {
        fn live(&self) -> Vec<Check> {
            vec![Check::new("ping", None)]
        }

        fn ready(&self) -> Vec<Check> {
            vec![Check::new(
                "informer-sync-Pod",
                (!self.0).then(|| "not listed yet".to_owned()),
            )]
        }
    }

    fn site(ready: bool) -> Site {
        Site {
            metrics: Arc::new(Metrics::new().unwrap()),
            health: Arc::new(Pods(ready)),
            always_allow: AlwaysAllow::new(["/healthz", "/readyz", "/livez"].map(str::to_owned)),
        }
    }

    async fn ask(site: &Site, path: &str, peer: &str) -> (u16, String) {
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let response = site.answer(&Method::GET, path, query, peer.parse().unwrap());
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap()
            .to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn strangers_read_health_and_nothing_else() {
        let site = site(true);
        assert_eq!(ask(&site, "/livez", "10.0.0.9").await, (200, "ok".into()));
        assert_eq!(ask(&site, "/metrics", "10.0.0.9").await, (403, FORBIDDEN.into()));
        assert_eq!(ask(&site, "/nothing", "10.0.0.9").await.0, 403);
        assert_eq!(ask(&site, "/nothing", "127.0.0.1").await.0, 404);
        let (status, metrics) = ask(&site, "/metrics", "127.0.0.1").await;
        assert_eq!(status, 200);
        assert!(metrics.contains("scheduler_pending_pods"));
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let (status, body) = ask(&site(false), "/readyz", "10.0.0.9").await;
        assert_eq!(status, 500);
        assert_eq!(
            body,
            "[-]informer-sync-Pod failed: not listed yet\nreadyz check failed\n"
        );
        assert_eq!(
            ask(&site(true), "/readyz?verbose", "10.0.0.9").await.1,
            "[+]informer-sync-Pod ok\nreadyz check passed\n"
        );
    }

    #[test]
    fn one_caller_cannot_take_every_place() {
        let limits = Limits {
            connections: 3,
            connections_per_peer: 2,
            ..Limits::default()
        };
        let seats = Arc::new(Seats::default());
        let take = |peer: &str| Seats::take(&seats, peer.parse().unwrap(), &limits);
        let first = take("10.0.0.1");
        let _second = take("10.0.0.1");
        assert!(take("10.0.0.1").is_none());
        let _other = take("10.0.0.2");
        assert!(take("10.0.0.3").is_none());
        drop(first);
        assert!(take("10.0.0.3").is_some());
    }

    async fn running(limits: Limits) -> (SocketAddr, TlsConnector) {
        // The test makes the certificate itself to be able to trust it.
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (directory.path().join("certificate"), directory.path().join("key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        let Site {
            metrics,
            health,
            always_allow,
        } = site(true);
        let files = Certificate::Files {
            certificate,
            private_key,
        };
        let server = Server::listen(
            ([127, 0, 0, 1], 0).into(),
            &files,
            always_allow,
            metrics,
            health,
            limits,
        )
        .await
        .unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run());
        let client = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (address, TlsConnector::from(Arc::new(client)))
    }

    #[tokio::test]
    async fn health_over_tls() {
        let (address, connector) = running(Limits::default()).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap();
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn whoever_says_nothing_is_shown_the_door() {
        let short = Duration::from_millis(50);
        let (address, _) = running(Limits {
            handshake: short,
            ..Limits::default()
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut buffer = [0; 1];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer))
            .await
            .unwrap();
        assert_eq!(read.unwrap_or(0), 0, "the connection is closed");

        let (address, connector) = running(Limits {
            head: short,
            ..Limits::default()
        })
        .await;
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection is closed");
    }
}
