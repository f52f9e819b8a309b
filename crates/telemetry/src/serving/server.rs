//! The server: it listens, shakes hands, and hands requests on to the `site`.
//!
//! It answers few questions of few callers, so it is strict with them: connections are limited in number, by caller and
//! in age, and nobody may take long to shake hands or to say what they want. A caller who would use it all up leaves the
//! kubelet's probes their share.

use super::authentication::{Authenticator, NoRandomness, Trust};
use super::authorization::{AlwaysAllow, AuthorizationLifetimes, Authorizer};
use super::reviewer::Reviewer;
use super::site::{Door, Guard, Pages, Site};
use super::tls::{Certificate, Shown, TlsError, TlsSettings};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_api::Fingerprint;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// The longest head of a request, in bytes: a token and a few dozen groups of a front proxy go in.
const HEAD_MAX: usize = 64 * 1024;

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
    /// There is no certificate, or no TLS to speak.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Tokens could not be kept safely.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Who is let in, and who says so.
pub struct Guards {
    /// The paths that need no identity.
    pub always_allow: AlwaysAllow,
    /// Whoever asks the API server.
    pub reviewer: Arc<dyn Reviewer>,
    /// The authorities that are believed; they may change.
    pub trust: Trust,
    /// How long what a token says is believed.
    pub token_lifetime: Duration,
    /// How long it is believed what somebody may do.
    pub authorization_lifetimes: AuthorizationLifetimes,
}

/// A server that listens, and answers once it is run.
pub struct Server {
    listener: TcpListener,
    /// None: it speaks plain HTTP.
    tls: Option<(TlsAcceptor, Arc<Shown>)>,
    site: Arc<Site>,
    limits: Limits,
}

impl Server {
    /// Takes the address, to serve over TLS whom the guards let in; callers wait until [`Server::run`].
    ///
    /// # Errors
    /// The address cannot be had, or the certificate cannot be used.
    pub async fn listen(
        address: SocketAddr,
        certificate: Certificate,
        tls: &TlsSettings,
        guards: Guards,
        pages: &Arc<Pages>,
        limits: Limits,
    ) -> Result<Server, ServerError> {
        let shown = Shown::new(certificate)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls.server_config(Arc::clone(&shown))?));
        let serving = pages.metrics().serving();
        let reviewer = guards.reviewer;
        let authenticator = Authenticator::new(
            guards.trust,
            Arc::clone(&reviewer),
            guards.token_lifetime,
            serving.clone(),
        )?;
        let lifetimes = guards.authorization_lifetimes;
        let authorizer = Authorizer::new(guards.always_allow, reviewer, lifetimes, serving);
        let door = Door::Guarded(Box::new(Guard {
            authenticator,
            authorizer,
        }));
        Server::at(address, Some((acceptor, shown)), pages, door, limits).await
    }

    /// Takes the address, to show the pages to anybody over plain HTTP.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn listen_insecurely(
        address: SocketAddr,
        pages: &Arc<Pages>,
        limits: Limits,
    ) -> Result<Server, ServerError> {
        Server::at(address, None, pages, Door::Open, limits).await
    }

    async fn at(
        address: SocketAddr,
        tls: Option<(TlsAcceptor, Arc<Shown>)>,
        pages: &Arc<Pages>,
        door: Door,
        limits: Limits,
    ) -> Result<Server, ServerError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        let pages = Arc::clone(pages);
        Ok(Server {
            listener,
            tls,
            site: Arc::new(Site { pages, door }),
            limits,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// By what those who connect can know its certificate, now and whenever it changes; none where it speaks plain HTTP.
    pub fn fingerprint(&self) -> Option<watch::Receiver<Fingerprint>> {
        self.tls.as_ref().map(|(_, shown)| shown.fingerprint())
    }

    /// Answers for as long as the future is polled.
    pub async fn run(self) {
        match &self.tls {
            None => self.accept().await,
            Some((_, shown)) => {
                tokio::select! {
                    () = self.accept() => {}
                    () = Arc::clone(shown).follow_files() => {}
                }
            }
        }
    }

    async fn accept(&self) {
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
            // A dual-stack socket shows IPv4 callers as `::ffff:a.b.c.d`.
            let peer = peer.ip().to_canonical();
            let Some(seat) = Seats::take(&seats, peer, &self.limits) else {
                tracing::debug!(%peer, "closed a connection: too many are open");
                continue;
            };
            let acceptor = self.tls.as_ref().map(|(acceptor, _)| acceptor.clone());
            let (site, limits) = (Arc::clone(&self.site), self.limits);
            tokio::spawn(async move {
                match acceptor {
                    None => converse(stream, Vec::new(), peer, site, limits).await,
                    Some(acceptor) => shake_hands(stream, &acceptor, peer, site, limits).await,
                }
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

async fn shake_hands(stream: TcpStream, acceptor: &TlsAcceptor, peer: IpAddr, site: Arc<Site>, limits: Limits) {
    let stream = match tokio::time::timeout(limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(%peer, "a TLS handshake took too long"),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    converse(stream, chain, peer, site, limits).await;
}

/// Answers requests of a caller who has shown these certificates.
async fn converse<S>(stream: S, chain: Vec<CertificateDer<'static>>, peer: IpAddr, site: Arc<Site>, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let chain: Arc<[CertificateDer<'static>]> = chain.into();
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, chain) = (Arc::clone(&site), Arc::clone(&chain));
        async move { Ok::<_, Infallible>(site.answer(request, &chain).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_MAX)
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

#[cfg(test)]
mod tests {
    use super::super::health::{Check, Health};
    use super::super::route::Routes;
    use super::super::testing::{Authority, Script, about};
    use super::*;
    use crate::logging::Verbosity;
    use crate::metrics::Metrics;
    use muster_api::review::{Access, AuthenticationTrust, TokenVerdict};
    use rustls::ClientConfig;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    struct Well;

    impl Health for Well {
        fn live(&self) -> Vec<Check> {
            vec![Check::new("ping", None)]
        }

        fn ready(&self) -> Vec<Check> {
            self.live()
        }
    }

    fn pages() -> Arc<Pages> {
        let metrics = Arc::new(Metrics::new(&[]).unwrap());
        Pages::new(
            metrics,
            Arc::new(Well),
            Arc::new(about()),
            Verbosity::new(2),
            Arc::<[Arc<dyn Routes>; 0]>::new([]),
        )
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

    /// A server at work, and what a client needs to trust it.
    struct AtWork {
        address: SocketAddr,
        roots: rustls::RootCertStore,
        clients: Authority,
    }

    impl AtWork {
        /// Believes the certificates of `clients`, of whom `jane` may read everything.
        async fn start(limits: Limits, tls: TlsSettings) -> AtWork {
            // The test makes the certificate itself to be able to trust it.
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(made.cert.der().clone()).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let (certificate, private_key) = (directory.path().join("certificate"), directory.path().join("key"));
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
            let files = Certificate::Files {
                certificate,
                private_key,
            };
            let clients = Authority::new("clients");
            let trust = Trust::default();
            let believed = AuthenticationTrust {
                client_authorities: clients.pem.clone(),
                front_proxy: None,
            };
            trust.set(&believed).unwrap();
            let guards = Guards {
                always_allow: AlwaysAllow::new(["/livez"]).unwrap(),
                reviewer: Script::new(
                    |_| Ok(TokenVerdict::Invalid(String::new())),
                    |user, access| Ok(user.username == "jane" && matches!(access, Access::Path { .. })),
                ),
                trust,
                token_lifetime: Duration::from_secs(10),
                authorization_lifetimes: AuthorizationLifetimes::default(),
            };
            let at = ([127, 0, 0, 1], 0).into();
            let server = Server::listen(at, files, &tls, guards, &pages(), limits).await.unwrap();
            let address = server.address().unwrap();
            tokio::spawn(server.run());
            AtWork {
                address,
                roots,
                clients,
            }
        }

        async fn connect(
            &self,
            identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
            versions: &[&'static rustls::SupportedProtocolVersion],
        ) -> std::io::Result<TlsStream<TcpStream>> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(self.roots.clone());
            let config = match identity {
                None => builder.with_no_client_auth(),
                // Whether they go together is not looked at here.
                Some((certificate, key)) => {
                    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
                    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
                    builder.with_client_cert_resolver(Arc::new(shown))
                }
            };
            let stream = TcpStream::connect(self.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(Arc::new(config)).connect(name, stream).await
        }

        async fn get(&self, path: &str, identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> String {
            let stream = self.connect(identity, rustls::ALL_VERSIONS).await.unwrap();
            get(stream, path).await
        }
    }

    /// The whole answer.
    async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_over_tls() {
        let server = AtWork::start(Limits::default(), TlsSettings::default()).await;
        let answer = server.get("/livez", None).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"),
            "{answer}"
        );
        assert!(answer.contains("cache-control: no-cache, private\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn clients_of_the_cluster_are_known_by_their_certificates() {
        let server = AtWork::start(Limits::default(), TlsSettings::default()).await;
        let status = |answer: String| answer.lines().next().unwrap_or_default().to_owned();
        let jane = || Some(server.clients.client("jane", &[]));
        let answer = server.get("/statusz", jane()).await;
        assert!(answer.contains("muster statusz"), "{answer}");
        let john = Some(server.clients.client("john", &[]));
        assert_eq!(status(server.get("/statusz", john).await), "HTTP/1.1 403 Forbidden");
        let stranger = Some(Authority::new("others").client("jane", &[]));
        assert_eq!(
            status(server.get("/statusz", stranger).await),
            "HTTP/1.1 401 Unauthorized"
        );
        assert_eq!(status(server.get("/statusz", None).await), "HTTP/1.1 401 Unauthorized");
        // Another's certificate without its key does not even pass the handshake.
        let (certificate, _) = server.clients.client("jane", &[]);
        let (_, key) = server.clients.client("john", &[]);
        let mixed = server.connect(Some((certificate, key)), rustls::ALL_VERSIONS);
        let passed = match mixed.await {
            Err(_) => false,
            // In TLS 1.3 the client hears of it with the first answer.
            Ok(mut stream) => stream.read_u8().await.is_ok(),
        };
        assert!(!passed);
    }

    #[tokio::test]
    async fn versions_that_are_too_old_are_not_spoken() {
        let tls = TlsSettings {
            min_version: "VersionTLS13".parse().unwrap(),
            ..TlsSettings::default()
        };
        let server = AtWork::start(Limits::default(), tls).await;
        assert!(server.connect(None, &[&rustls::version::TLS12]).await.is_err());
        assert!(server.connect(None, &[&rustls::version::TLS13]).await.is_ok());
    }

    #[tokio::test]
    async fn the_insecure_server_speaks_plainly() {
        let at = ([127, 0, 0, 1], 0).into();
        let server = Server::listen_insecurely(at, &pages(), Limits::default())
            .await
            .unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run());
        let answer = get(TcpStream::connect(address).await.unwrap(), "/metrics").await;
        assert!(answer.contains("scheduler_pending_pods"), "{answer}");
    }

    #[tokio::test]
    async fn whoever_says_nothing_is_shown_the_door() {
        let short = Duration::from_millis(50);
        let server = AtWork::start(
            Limits {
                handshake: short,
                ..Limits::default()
            },
            TlsSettings::default(),
        )
        .await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let mut buffer = [0; 1];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer))
            .await
            .unwrap();
        assert_eq!(read.unwrap_or(0), 0, "the connection is closed");

        let server = AtWork::start(
            Limits {
                head: short,
                ..Limits::default()
            },
            TlsSettings::default(),
        )
        .await;
        let mut stream = server.connect(None, rustls::ALL_VERSIONS).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection is closed");
    }

    #[tokio::test]
    async fn a_head_without_end_is_not_waited_for() {
        let server = AtWork::start(Limits::default(), TlsSettings::default()).await;
        let mut stream = server.connect(None, rustls::ALL_VERSIONS).await.unwrap();
        let long = format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(2 * HEAD_MAX));
        // The server may hang up before it has read everything.
        let _ = stream.write_all(long.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection is closed");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
