//! Asking a leader that is another process: whom it believes, what it shows, and what comes back.

use super::*;
use crate::testing::{FakeServer, PATIENCE, Reply, status};
use kube::config::AuthInfo;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio_rustls::TlsAcceptor;

const PATH: &str = "/apis/explain.muster.dev/v1alpha1/namespaces/shop/podexplanations/web?forwarded=true";

/// A certificate that has signed itself, and how a server shows it.
fn certificate() -> (Fingerprint, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let fingerprint = Fingerprint(digest(&SHA256, &certificate).as_ref().try_into().unwrap());
    (fingerprint, shown(certificate, &made.signing_key))
}

fn shown(certificate: CertificateDer<'static>, key: &rcgen::KeyPair) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    // Whether they go together is not looked at here.
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let pair = rustls::sign::CertifiedKey::new(vec![certificate], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
    TlsAcceptor::from(Arc::new(config))
}

/// Credentials with this bearer token.
fn credentials(token: &str) -> Credentials {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
    config.root_cert = Some(Vec::new());
    config.auth_info = serde_json::from_value::<AuthInfo>(json!({ "token": token })).unwrap();
    Credentials::of(&config).unwrap()
}

fn asking(leading: Leading) -> Leader {
    Leader::new(watch::Sender::new(leading).subscribe(), credentials("own-token"))
}

async fn server(tls: TlsAcceptor, reply: Reply) -> FakeServer {
    FakeServer::start_with(Some(tls), move |_| reply.clone()).await
}

fn at(server: &FakeServer, certificate: Fingerprint) -> Leader {
    asking(Leading::At(Contact {
        address: server.address,
        certificate,
    }))
}

async fn get(leader: &Leader) -> Result<LeaderAnswer, LeaderError> {
    leader.get(PATH, 1000, PATIENCE).await
}

#[tokio::test]
async fn the_leader_is_asked_once_with_our_own_token() {
    let (fingerprint, tls) = certificate();
    let server = server(tls, Reply::Say(200, "because".to_owned())).await;
    let answer = get(&at(&server, fingerprint)).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"because"[..]));
    let [asked] = &server.asked()[..] else {
        panic!("asked {} times", server.asked().len());
    };
    assert_eq!(format!("{}?{}", asked.path, asked.query), PATH);
    assert_eq!((&*asked.method, &*asked.body), ("GET", ""));
    assert_eq!(asked.headers[header::AUTHORIZATION], "Bearer own-token");
}

#[tokio::test]
async fn whoever_shows_another_certificate_is_shown_no_token() {
    let (_, tls) = certificate();
    let (expected, _) = certificate();
    let server = server(tls, Reply::Say(200, "lies".to_owned())).await;
    let error = get(&at(&server, expected)).await.unwrap_err();
    assert!(
        matches!(&error, LeaderError::Lost(why) if why.contains("another certificate than the lease names")),
        "{error}"
    );
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn whoever_shows_the_certificate_without_its_key_is_shown_no_token() {
    let made = || rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
    let (leader, thief) = (made(), made());
    let certificate = leader.cert.der().clone();
    let fingerprint = Fingerprint(digest(&SHA256, &certificate).as_ref().try_into().unwrap());
    let server = server(
        shown(certificate, &thief.signing_key),
        Reply::Say(200, "lies".to_owned()),
    )
    .await;
    let error = get(&at(&server, fingerprint)).await.unwrap_err();
    assert!(matches!(error, LeaderError::Lost(_)), "{error}");
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn whoever_cannot_be_found_is_not_asked() {
    assert_eq!(get(&asking(Leading::NobodyElse)).await, Err(LeaderError::NotKnown));
    assert_eq!(get(&asking(Leading::Silent)).await, Err(LeaderError::Silent));
    let (fingerprint, _) = certificate();
    // Taken and given back: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gone = asking(Leading::At(Contact {
        address,
        certificate: fingerprint,
    }));
    let error = get(&gone).await.unwrap_err();
    assert!(
        matches!(&error, LeaderError::Lost(why) if why.contains("refused")),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_us_is_no_answer_and_what_is_wrong_with_the_question_is() {
    for (code, is_answer) in [
        (200, true),
        (404, true),
        (429, true),
        (507, true),
        (301, false),
        (401, false),
        (403, false),
        (503, false),
    ] {
        let (fingerprint, tls) = certificate();
        let server = server(tls, Reply::Say(code, status(code, "so it is", "null"))).await;
        match get(&at(&server, fingerprint)).await {
            Ok(answer) => assert!(is_answer && answer.status.as_u16() == code, "{code}: {answer:?}"),
            Err(error) => {
                assert!(!is_answer, "{code}: {error}");
                let said = format!("the leader does not answer: so it is ({code})");
                assert_eq!(error.to_string(), said);
            }
        }
        assert_eq!(server.asked().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_in_length_and_time() {
    let (fingerprint, tls) = certificate();
    let long = server(tls, Reply::Say(200, "x".repeat(1001))).await;
    let error = get(&at(&long, fingerprint)).await.unwrap_err();
    assert!(
        matches!(&error, LeaderError::Lost(why) if why.contains("length limit")),
        "{error}"
    );
    let (fingerprint, tls) = certificate();
    let silent = server(tls, Reply::Silence).await;
    let hasty = at(&silent, fingerprint)
        .get(PATH, 1000, Duration::from_millis(300))
        .await;
    assert_eq!(hasty, Err(LeaderError::Lost("no answer within 0.3s".to_owned())));
}

#[tokio::test]
async fn few_questions_are_under_way_at_once() {
    let (fingerprint, tls) = certificate();
    let silent = server(tls, Reply::Silence).await;
    let leader = Arc::new(at(&silent, fingerprint));
    let waiting: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let leader = Arc::clone(&leader);
            tokio::spawn(async move { get(&leader).await })
        })
        .collect();
    while silent.asked().len() < AT_ONCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(&leader).await, Err(LeaderError::Busy));
    for asked in waiting {
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
    }
    // Their places are free again: this one is not sent away, and has no answer.
    let next = leader.get(PATH, 1000, Duration::from_millis(100)).await;
    assert!(matches!(next, Err(LeaderError::Lost(_))), "{next:?}");
}

#[test]
fn nobody_takes_itself_or_a_former_leader_for_the_leader() {
    let contact = json!({
        "muster.dev/address": "10.1.2.3:10259", "muster.dev/certificate-sha256": "ab".repeat(32),
    });
    let leading = |holder: &str, annotations: serde_json::Value| {
        let lease = json!({
            "kind": "Lease", "metadata": {"resourceVersion": "1", "annotations": annotations},
            "spec": {"holderIdentity": holder},
        });
        let lease = muster_api::decode_lease(lease.to_string().as_bytes()).unwrap();
        Leading::of(&lease, "me_1")
    };
    assert!(matches!(leading("other_1", contact.clone()), Leading::At(_)));
    assert_eq!(leading("other_1", json!({})), Leading::Silent);
    assert_eq!(leading("me_1", contact.clone()), Leading::NobodyElse);
    assert_eq!(leading("", contact), Leading::NobodyElse);
}
