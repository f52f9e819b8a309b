//! What the tests of several files need: a reviewer that follows a script, certificates, answers as text.

use super::reviewer::{Replied, Reviewer, Reviewing};
use super::route::Answer;
use super::zpages::About;
use crate::metrics::{Metrics, Serving};
use http_body_util::BodyExt;
use muster_api::review::{Access, AccessVerdict, TokenVerdict, UserInfo};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A program of which nothing is known.
pub(crate) fn about() -> About {
    About {
        version: "0.1.0",
        started: jiff::Timestamp::UNIX_EPOCH,
        emulates: Default::default(),
        flags: Default::default(),
        configuration: Default::default(),
    }
}

type TokenScript = dyn Fn(&str) -> Result<TokenVerdict, String> + Send + Sync;
type AccessScript = dyn Fn(&UserInfo, &Access) -> Result<bool, String> + Send + Sync;

/// Answers as it is told, and counts.
pub(crate) struct Script {
    token: Box<TokenScript>,
    access: Box<AccessScript>,
    tokens: AtomicUsize,
    accesses: AtomicUsize,
}

impl Script {
    pub(crate) fn new(
        token: impl Fn(&str) -> Result<TokenVerdict, String> + Send + Sync + 'static,
        access: impl Fn(&UserInfo, &Access) -> Result<bool, String> + Send + Sync + 'static,
    ) -> Arc<Script> {
        Arc::new(Script {
            token: Box::new(token),
            access: Box::new(access),
            tokens: AtomicUsize::new(0),
            accesses: AtomicUsize::new(0),
        })
    }

    pub(crate) fn token_questions(&self) -> usize {
        self.tokens.load(Ordering::SeqCst)
    }

    pub(crate) fn access_questions(&self) -> usize {
        self.accesses.load(Ordering::SeqCst)
    }
}

fn replied<T>(result: Result<T, String>) -> Replied<T> {
    Replied {
        code: result.is_ok().then_some(201),
        took: Duration::from_millis(3),
        result,
    }
}

impl Reviewer for Script {
    fn token<'a>(&'a self, token: &'a str) -> Reviewing<'a, TokenVerdict> {
        self.tokens.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(replied((self.token)(token))))
    }

    fn access<'a>(&'a self, user: &'a UserInfo, access: &'a Access) -> Reviewing<'a, AccessVerdict> {
        self.accesses.fetch_add(1, Ordering::SeqCst);
        let verdict = (self.access)(user, access).map(|allowed| AccessVerdict {
            allowed,
            reason: if allowed {
                String::new()
            } else {
                "as the script says".to_owned()
            },
        });
        Box::pin(std::future::ready(replied(verdict)))
    }
}

/// Metrics that nobody reads.
pub(crate) fn metrics() -> Serving {
    Metrics::new(&[]).unwrap().serving()
}

/// The body of an answer, with its status before it.
pub(crate) async fn body_of(answer: Answer) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A certificate authority for one test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// The certificate of a client with this common name and these organisations.
    pub(crate) fn client(
        &self,
        name: &str,
        organisations: &[&str],
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        self.sign(name, organisations, ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }

    pub(crate) fn sign(
        &self,
        name: &str,
        organisations: &[&str],
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // There is a name by default.
        params.distinguished_name = DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        for organisation in organisations {
            params.distinguished_name.push(DnType::OrganizationName, *organisation);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            certificate.der().clone(),
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
    }
}
