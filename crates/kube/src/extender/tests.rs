//! Tests of the client against real HTTP servers. How questions and answers are written is tested at `contract`.

use super::*;
use crate::testing::{Asked, End, FakeServer, Reply};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

const POD: &[u8] = br#"{"metadata":{"name":"web"}}"#;

fn spec(url: String) -> ExtenderSpec {
    ExtenderSpec {
        url_prefix: url,
        filter_verb: Some("filter".to_owned()),
        prioritize_verb: Some("prioritize".to_owned()),
        preempt_verb: None,
        bind_verb: Some("bind".to_owned()),
        weight: 1,
        timeout: Duration::from_secs(10),
        tls: None,
        node_cache_capable: true,
        managed_resources: Vec::new(),
        ignored_resources: Vec::new(),
        ignorable: false,
    }
}

fn say(body: &str) -> Reply {
    Reply::Say(200, body.to_owned())
}

/// A server with this script, and a client for it with this difference.
async fn extender(
    script: impl FnMut(&Asked) -> Reply + Send + 'static,
    differ: impl FnOnce(&mut ExtenderSpec),
) -> (FakeServer, Extenders) {
    let server = FakeServer::start(script).await;
    let mut spec = spec(format!("http://{}/scheduler/", server.address));
    differ(&mut spec);
    let extenders = Extenders::new(&[spec]).unwrap();
    (server, extenders)
}

fn names(names: &[&str]) -> Vec<Text> {
    names.iter().map(|name| Text::from(*name)).collect()
}

async fn ask_filter(extenders: &Extenders) -> ExtenderAnswer {
    let nodes = names(&["n1", "n2"]);
    extenders.ask(0, ExtenderVerb::Filter, POD, &nodes).await
}

fn problem(answer: ExtenderAnswer) -> String {
    match answer {
        ExtenderAnswer::Failed { message } => message.to_string(),
        other => panic!("{other:?}"),
    }
}

fn web() -> PodRef {
    PodRef {
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u-1".into(),
    }
}

#[tokio::test]
async fn nodes_are_named_filtered_and_scored() {
    let script = |asked: &Asked| match &*asked.path {
        "/scheduler/filter" => say(r#"{"NodeNames":["n2"],"FailedNodes":{"n1":"no disk left"}}"#),
        "/scheduler/prioritize" => say(r#"[{"Host":"n2","Score":7}]"#),
        _ => Reply::HangUp,
    };
    let (server, extenders) = extender(script, |_| {}).await;
    assert!(extenders.whole_nodes().is_none());
    let expected = ExtenderAnswer::Filtered {
        nodes: names(&["n2"]),
        failed: vec![("n1".into(), "no disk left".into())],
        unresolvable: vec![],
    };
    assert_eq!(ask_filter(&extenders).await, expected);
    let nodes = names(&["n2"]);
    let scores = extenders.ask(0, ExtenderVerb::Prioritize, POD, &nodes).await;
    let expected = vec![("n2".into(), 7)];
    assert_eq!(scores, ExtenderAnswer::Prioritized { scores: expected });

    let asked = &server.asked()[0];
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(
        body,
        json!({ "Pod": { "metadata": { "name": "web" } }, "Nodes": null, "NodeNames": ["n1", "n2"] })
    );
    assert_eq!(
        (&*asked.method, &asked.headers["content-type"]),
        ("POST", &HeaderValue::from_static("application/json"))
    );
}

#[tokio::test]
async fn whole_nodes_are_sent_with_their_length_and_read_back() {
    let echo = |asked: &Asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        Reply::Say(200, json!({ "nodes": body["Nodes"] }).to_string())
    };
    let (server, extenders) = extender(echo, |spec| spec.node_cache_capable = false).await;
    let kept = extenders.whole_nodes().unwrap();
    let labels: Vec<String> = (0..2000)
        .map(|n| format!(r#""label-{n}":"{}""#, "x".repeat(60)))
        .collect();
    for name in ["n1", "n2", "n3"] {
        let labels = labels.join(",");
        let node = format!(r#"{{"metadata":{{"name":"{name}","managedFields":[{{}}],"labels":{{{labels}}}}}}}"#);
        kept.put(name.into(), node.as_bytes());
    }
    kept.remove("n3");
    let nodes = names(&["n1", "n2", "n3"]);
    let ExtenderAnswer::Filtered { nodes, .. } = extenders.ask(0, ExtenderVerb::Filter, POD, &nodes).await else {
        panic!("it was answered")
    };
    assert_eq!(nodes, names(&["n1", "n2"]), "a node that is gone is not asked about");
    let asked = &server.asked()[0];
    assert!(asked.body.len() > 2 * 2000 * 70 && !asked.body.contains("managedFields"));
    assert_eq!(
        asked.headers["content-length"].to_str().unwrap(),
        asked.body.len().to_string()
    );
}

#[tokio::test]
async fn what_fails_is_said_with_its_place() {
    for (reply, said) in [
        (
            Reply::Say(500, "trace".to_owned()),
            "/scheduler/filter: it answered with HTTP 500",
        ),
        (
            Reply::Say(302, String::new()),
            "/scheduler/filter: it answered with HTTP 302",
        ),
        (Reply::HangUp, "/scheduler/filter: "),
        (Reply::Silence, "/scheduler/filter: no answer within 0.3s"),
        (
            Reply::Stream(vec!["{".to_owned()], End::Stay),
            "/scheduler/filter: no answer within 0.3s",
        ),
        (
            Reply::Stream(vec!["{".to_owned()], End::Break),
            "/scheduler/filter: the answer broke off",
        ),
        (say("hello"), "the answer is not JSON"),
        (say(r#"{"NodeNames":[1]}"#), "NodeNames: invalid type"),
        (say(r#"{"Error":"no licence"}"#), "no licence"),
    ] {
        let shown = format!("{reply:?}");
        let script = move |_: &Asked| reply.clone();
        let quick = |spec: &mut ExtenderSpec| spec.timeout = Duration::from_millis(300);
        let (server, extenders) = extender(script, quick).await;
        let problem = problem(ask_filter(&extenders).await);
        assert!(problem.contains(said), "{shown}: {problem}");
        assert_eq!(server.asked().len(), 1, "{shown}: nothing is sent twice");
    }
    let nobody = Extenders::new(&[spec("http://127.0.0.1:1".to_owned())]).unwrap();
    let refused = problem(ask_filter(&nobody).await);
    assert!(refused.starts_with("http://127.0.0.1:1/filter: "), "{refused}");
    let no_verb = Extenders::new(&[ExtenderSpec {
        filter_verb: None,
        ..spec("http://127.0.0.1:1".to_owned())
    }]);
    assert_eq!(problem(ask_filter(&no_verb.unwrap()).await), "it has no such verb");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let script = |_: &Asked| Reply::Stream(vec![" ".repeat(1 << 20); 3], End::Stay);
    let (_server, extenders) = extender(script, |_| {}).await;
    let problem = problem(ask_filter(&extenders).await);
    assert!(
        problem.contains("the answer broke off: length limit exceeded"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_bind_is_done_refused_or_in_doubt() {
    for (reply, expected) in [
        (say("{}"), "bound"),
        (say(r#"{"Error":"node is cordoned"}"#), "refused: node is cordoned"),
        (Reply::Say(500, String::new()), "unknown: "),
        (say("hello"), "unknown: the answer is not JSON"),
        (Reply::HangUp, "unknown: "),
        (Reply::Silence, "unknown: "),
    ] {
        let shown = format!("{reply:?}");
        let script = move |_: &Asked| reply.clone();
        let quick = |spec: &mut ExtenderSpec| spec.timeout = Duration::from_millis(300);
        let (server, extenders) = extender(script, quick).await;
        let prefix = format!("extender http://{}/scheduler/: ", server.address);
        let without_prefix = |message: Text| {
            let message = message.strip_prefix(&*prefix);
            message
                .unwrap_or_else(|| panic!("{shown}: the extender is named"))
                .to_owned()
        };
        let outcome = match extenders.bind(0, &web(), "n1").await.unwrap() {
            BindOutcome::Bound => "bound".to_owned(),
            BindOutcome::Refused { message } => format!("refused: {}", without_prefix(message)),
            BindOutcome::Unknown { message } => format!("unknown: {}", without_prefix(message)),
            BindOutcome::PodGone => "gone".to_owned(),
        };
        assert!(outcome.starts_with(expected), "{shown}: {outcome}");
        let asked = server.asked();
        assert_eq!((asked.len(), &*asked[0].path), (1, "/scheduler/bind"));
        let body: Value = serde_json::from_str(&asked[0].body).unwrap();
        assert_eq!(
            body,
            json!({ "PodName": "web", "PodNamespace": "shop", "PodUID": "u-1", "Node": "n1" })
        );
    }
}

#[tokio::test]
async fn an_ignorable_extender_that_does_not_bind_leaves_it_to_others() {
    let refuse = |_: &Asked| say(r#"{"Error":"not today"}"#);
    let (_server, extenders) = extender(refuse, |spec| spec.ignorable = true).await;
    assert_eq!(extenders.bind(0, &web(), "n1").await, None);
    let (_server, extenders) = extender(|_| say("{}"), |spec| spec.ignorable = true).await;
    assert_eq!(extenders.bind(0, &web(), "n1").await, Some(BindOutcome::Bound));
}

/// A certificate authority, and a server of that authority for this name, which may ask for certificates.
struct Secured {
    authority: CertifiedIssuer<'static, KeyPair>,
    server: FakeServer,
}

impl Secured {
    async fn start(name: &str, asks_for_certificate: bool) -> Secured {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (certificate, key) = identity(&authority, name);
        let config = ServerConfig::builder();
        let config = if asks_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            config.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let server = FakeServer::start_with(Some(tls), |_| say(r#"{"NodeNames":["n1"]}"#)).await;
        Secured { authority, server }
    }

    async fn ask(&self, tls: Option<ExtenderTls>) -> ExtenderAnswer {
        let mut spec = spec(format!("https://{}", self.server.address));
        spec.tls = tls;
        ask_filter(&Extenders::new(&[spec]).unwrap()).await
    }

    async fn answers(&self, tls: ExtenderTls) -> bool {
        matches!(self.ask(Some(tls)).await, ExtenderAnswer::Filtered { .. })
    }

    fn ca(&self) -> Option<Pem> {
        Some(Pem::Text(self.authority.pem().into_bytes()))
    }
}

/// A certificate for this name, and its key.
fn identity(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn certificates_are_verified_unless_told_otherwise() {
    let secured = Secured::start("127.0.0.1", false).await;
    let tls = ExtenderTls::default;
    assert!(
        secured
            .answers(ExtenderTls {
                ca: secured.ca(),
                ..tls()
            })
            .await
    );
    assert!(
        secured
            .answers(ExtenderTls {
                insecure: true,
                ..tls()
            })
            .await
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secured.authority.pem()).unwrap();
    let ca = Some(Pem::File(file.path().to_str().unwrap().to_owned()));
    assert!(secured.answers(ExtenderTls { ca, ..tls() }).await);

    let stranger = Secured::start("127.0.0.1", false).await;
    let ca = stranger.ca();
    let problem = problem(secured.ask(Some(ExtenderTls { ca, ..tls() })).await);
    assert!(problem.contains("certificate"), "{problem}");
}

#[tokio::test]
async fn another_name_may_be_expected() {
    let secured = Secured::start("extender.example", false).await;
    let ca = secured.ca();
    let mut tls = ExtenderTls {
        ca,
        ..ExtenderTls::default()
    };
    assert!(!secured.answers(tls.clone()).await);
    tls.server_name = Some("extender.example".to_owned());
    assert!(secured.answers(tls).await);
}

#[tokio::test]
async fn a_certificate_is_shown() {
    let secured = Secured::start("127.0.0.1", true).await;
    let (certificate, key) = identity(&secured.authority, "muster");
    let mut tls = ExtenderTls {
        ca: secured.ca(),
        ..ExtenderTls::default()
    };
    assert!(!secured.answers(tls.clone()).await);
    tls.certificate = Some(Pem::Text(certificate.clone().into_bytes()));
    tls.key = Some(Pem::Text(key.clone().into_bytes()));
    assert!(secured.answers(tls.clone()).await);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key).unwrap();
    tls.key = Some(Pem::File(file.path().to_str().unwrap().to_owned()));
    assert!(secured.answers(tls).await);
}

#[test]
fn what_cannot_be_used_is_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let refused = |tls: ExtenderTls| {
        let mut spec = spec("https://extender.example".to_owned());
        spec.tls = Some(tls);
        let refused = Extenders::new(&[spec]).err().map(|error| error.to_string());
        refused.expect("it is refused")
    };
    for (tls, said) in [
        (
            ExtenderTls {
                ca: Some(Pem::Text(b"hush".to_vec())),
                ..ExtenderTls::default()
            },
            "there is no certificate in its caData",
        ),
        (
            ExtenderTls {
                ca: Some(Pem::File("/nowhere".to_owned())),
                ..ExtenderTls::default()
            },
            "caFile /nowhere: ",
        ),
        (
            ExtenderTls {
                insecure: true,
                certificate: Some(Pem::Text(b"hush".to_vec())),
                key: Some(Pem::Text(b"hush".to_vec())),
                ..ExtenderTls::default()
            },
            "PEM",
        ),
    ] {
        let problem = refused(tls);
        let prefix = "cannot make a client for the extender https://extender.example: ";
        assert!(problem.starts_with(prefix) && problem.contains(said), "{problem}");
        assert!(!problem.contains("hush"), "{problem}");
    }
}
