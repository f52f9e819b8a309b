//! The leader, as a standby asks it: with a question that somebody has asked the standby, and may ask.
//!
//! The standby asks as itself, with the credentials that it shows to the API server: the leader need not believe it anything
//! about anybody else. Where the leader is stands in the lease, together with the fingerprint of its certificate. Only who may
//! write the lease may set these: so whoever shows that certificate, and has its key, is believed to be the leader, and
//! nobody else is shown a credential.

use crate::answer::said;
use crate::connect::ConnectError;
use crate::error_text::error_text;
use crate::exchange::Answer;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::middleware::AuthLayer;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use muster_api::{Contact, Fingerprint, SeenLease};
use ring::digest::{SHA256, digest};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tower::BoxError;
use tower::util::MapErrLayer;

/// Questions that may be under way at once. The leader answers one a turn, and has callers of its own.
const AT_ONCE: usize = 4;
/// How long it may take to reach the leader: the address of a node that is gone does not say no.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Where others can ask this process while it leads.
#[derive(Debug, Clone)]
pub struct Announced {
    /// The address that others reach it at.
    pub address: SocketAddr,
    /// The certificate that it shows; it may change.
    pub certificate: watch::Receiver<Fingerprint>,
}

impl Announced {
    pub(crate) fn now(&self) -> Contact {
        Contact {
            address: self.address,
            certificate: *self.certificate.borrow(),
        }
    }
}

/// Who leads, as far as it can be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leading {
    /// Nobody else, or that is not known yet.
    #[default]
    NobodyElse,
    /// Somebody who does not say where it can be asked, or is not to be asked.
    Silent,
    /// Somebody who can be asked there.
    At(Contact),
}

impl Leading {
    /// As the lease says it to the process of this identity.
    pub(crate) fn of(lease: &SeenLease, identity: &str) -> Leading {
        let holder = &*lease.record.holder;
        match lease.contact {
            _ if holder.is_empty() || holder == identity => Leading::NobodyElse,
            None => Leading::Silent,
            Some(contact) => Leading::At(contact),
        }
    }
}

/// Why the leader has not answered a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaderError {
    /// Nobody can be asked, as far as is known.
    #[error("it is not known who leads")]
    NotKnown,
    /// It is not said where.
    #[error("replicas do not say where they can be asked (--advertise-address)")]
    Silent,
    /// Others ask.
    #[error("too many questions are on their way to the leader: ask again")]
    Busy,
    /// There is no answer, or it is not of the leader.
    #[error("the leader cannot be asked: {0}")]
    Lost(String),
    /// The leader does not answer it, or not to this process.
    #[error("the leader does not answer: {0}")]
    Refused(String),
}

/// What a leader has answered to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAnswer {
    /// The status: that it went well, or what is wrong with the question.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// What this process shows to the leader: what it shows to the API server.
#[derive(Clone)]
pub struct Credentials {
    tls: Arc<ClientConfig>,
    token: Option<Arc<AuthLayer>>,
}

impl Credentials {
    pub(crate) fn of(config: &Config) -> Result<Credentials, ConnectError> {
        let failed = |error: kube::Error| ConnectError::Client {
            server: "the leader".to_owned(),
            problem: error_text(&error),
        };
        let mut tls = config.rustls_client_config().map_err(failed)?;
        // What was verified an hour ago may not be the leader's certificate any more.
        tls.resumption = Resumption::disabled();
        Ok(Credentials {
            tls: Arc::new(tls),
            token: config.auth_layer().map_err(failed)?.map(Arc::new),
        })
    }
}

/// Asks the leader.
pub struct Leader {
    leading: watch::Receiver<Leading>,
    credentials: Credentials,
    places: Semaphore,
}

impl Leader {
    /// Of whom the candidate for the lease tells ([`LeaseSettings::leading`](crate::LeaseSettings::leading)).
    pub fn new(leading: watch::Receiver<Leading>, credentials: Credentials) -> Leader {
        Leader {
            leading,
            credentials,
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Asks for a path, once. The answer is what the leader says to this process, at most so many bytes long, within that time.
    ///
    /// # Errors
    /// Why there is no answer, in words that may be shown to whoever asked.
    pub async fn get(&self, path: &str, longest: usize, within: Duration) -> Result<LeaderAnswer, LeaderError> {
        let leading = *self.leading.borrow();
        let contact = match leading {
            Leading::NobodyElse => return Err(LeaderError::NotKnown),
            Leading::Silent => return Err(LeaderError::Silent),
            Leading::At(contact) => contact,
        };
        let _place = self.places.try_acquire().map_err(|_| LeaderError::Busy)?;
        let answer = timeout(within, self.exchange(&contact, path, longest)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {}s", within.as_secs_f32())));
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        tracing::debug!(address = %contact.address, path, status, error = answer.as_ref().err(), "the leader was asked");
        judged(answer.map_err(LeaderError::Lost)?)
    }

    async fn exchange(&self, contact: &Contact, path: &str, longest: usize) -> Result<Answer, String> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = format!("https://{}{path}", contact.address)
            .parse()
            .map_err(|_| format!("{path:?} is no path"))?;
        let agent = HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let response = self.client(contact.certificate).send(request).await;
        let (head, body) = response.map_err(|error| error_text(&error))?.into_parts();
        let body = Limited::new(body, longest).collect().await;
        let body = body.map_err(|error| format!("the answer broke off: {}", error_text(&*error)))?;
        Ok(Answer {
            status: head.status,
            retry_after: None,
            body: body.to_bytes(),
        })
    }

    /// A client that speaks with whoever shows this certificate. Each question has a connection of its own, so that each sees
    /// who answers.
    fn client(&self, certificate: Fingerprint) -> Client {
        let mut tls = ClientConfig::clone(&self.credentials.tls);
        let pinned = Pinned {
            certificate,
            algorithms: rustls::crypto::ring::default_provider().signature_verification_algorithms,
        };
        tls.dangerous().set_certificate_verifier(Arc::new(pinned));
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_WITHIN));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(http);
        let service = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let builder = ClientBuilder::new(service, "").with_layer(&MapErrLayer::new(BoxError::from));
        match &self.credentials.token {
            None => builder.build(),
            Some(token) => builder.with_layer(&**token).build(),
        }
    }
}

/// What is about the question goes back to whoever asked; what is about this process does not.
fn judged(answer: Answer) -> Result<LeaderAnswer, LeaderError> {
    let status = answer.status;
    let is_about_us = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if is_about_us.contains(&status)
        || !(status == StatusCode::OK || status.is_client_error() || status.is_server_error())
    {
        return Err(LeaderError::Refused(said(&answer).to_string()));
    }
    Ok(LeaderAnswer {
        status,
        body: answer.body,
    })
}

/// Believes one certificate, whoever has signed it and for whatever names.
#[derive(Debug)]
struct Pinned {
    certificate: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Not a secret: it need not be compared in constant time.
        if digest(&SHA256, certificate).as_ref() == self.certificate.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            let other = "whoever answers there shows another certificate than the lease names";
            Err(rustls::Error::General(other.to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
