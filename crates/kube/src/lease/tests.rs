//! The candidate against a scripted API server that keeps one Lease.

use super::*;
use crate::testing::{Asked, FakeServer, Notes, PATIENCE, Reply, status};
use muster_api::{Contact, Fingerprint};
use serde_json::{Value, json};
use std::sync::Mutex;

/// The Lease as the server has it; none: it does not exist.
type Store = Arc<Mutex<Option<Value>>>;

struct Setup {
    server: FakeServer,
    leadership: Leadership,
    campaign: Campaign,
    notes: Arc<Notes>,
    health: Arc<Health>,
}

fn settings() -> LeaseSettings {
    let millis = Duration::from_millis;
    LeaseSettings {
        lease: LeaseName {
            namespace: "muster-system".into(),
            name: "muster".into(),
        },
        identity: "me_1".into(),
        timing: Timing::new(millis(1_000), millis(600), millis(100)).unwrap(),
        announced: None,
        leading: watch::Sender::default(),
    }
}

fn lease(version: u64, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "muster", "namespace": "muster-system", "resourceVersion": version.to_string() },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 1, "leaseTransitions": 4 },
    })
}

/// What an API server does with requests about a Lease.
fn serve(store: &Store, asked: &Asked) -> Reply {
    let mut lease = store.lock().unwrap();
    let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    match (&*asked.method, &mut *lease) {
        ("GET", None) => return Reply::Say(404, status(404, "leases muster not found", "null")),
        ("GET", Some(_)) => {}
        ("POST", None) => {
            let mut made = body;
            made["metadata"]["resourceVersion"] = "1".into();
            *lease = Some(made);
        }
        ("PATCH", Some(lease)) if lease["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"] => {
            let version: u64 = body["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            lease["metadata"]["resourceVersion"] = (version + 1).to_string().into();
            for (key, value) in body["spec"].as_object().unwrap() {
                lease["spec"][key] = value.clone();
            }
            for (key, value) in body["metadata"]["annotations"].as_object().unwrap() {
                lease["metadata"]["annotations"][key] = value.clone();
            }
        }
        _ => return Reply::Say(409, status(409, "the object has been modified", "null")),
    }
    Reply::Say(200, lease.as_ref().unwrap().to_string())
}

async fn setup(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Setup {
    setup_with(settings(), script).await
}

async fn setup_with(settings: LeaseSettings, script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Setup {
    let server = FakeServer::start(script).await;
    let notes = Arc::new(Notes::default());
    let health = Arc::new(Health::default());
    let (leadership, campaign) = start(
        server.client.clone(),
        settings,
        Arc::clone(&notes) as Arc<dyn Observer>,
        Arc::clone(&health),
        watch::Sender::new(0),
    );
    Setup {
        server,
        leadership,
        campaign,
        notes,
        health,
    }
}

impl Setup {
    async fn until(&self, wanted: impl Fn(&Standing) -> bool) {
        let mut standing = self.campaign.standing.clone();
        let reached = tokio::time::timeout(PATIENCE, standing.wait_for(wanted)).await;
        assert!(reached.is_ok(), "it stands at {:?}", self.campaign.standing.borrow());
    }

    fn patches(&self) -> Vec<Value> {
        let asked = self.server.asked().into_iter().filter(|asked| asked.method == "PATCH");
        asked.map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
    }
}

fn leads(standing: &Standing) -> bool {
    *standing == Standing::Leads
}

#[tokio::test]
async fn it_creates_the_lease_when_there_is_enough_to_lead_with_and_renews_it() {
    let store = Store::default();
    let kept = Arc::clone(&store);
    let setup = setup(move |asked| serve(&kept, asked)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(setup.server.asked().is_empty(), "it is not ready");
    setup.leadership.ready.send_replace(true);
    setup.until(leads).await;
    assert!(setup.leadership.fence.stands());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(setup.leadership.fence.stands(), "renewed many times");
    let patches = setup.patches();
    assert!((7..=16).contains(&patches.len()), "{} renewals", patches.len());
    assert!(patches.iter().all(|patch| patch["spec"]["holderIdentity"] == "me_1"));
    let created = store.lock().unwrap().clone().unwrap();
    assert_eq!(
        (
            &created["spec"]["leaseTransitions"],
            &created["spec"]["leaseDurationSeconds"]
        ),
        (&json!(0), &json!(1))
    );
    assert_eq!(setup.notes.count(Notice::Leads(true)), 1);
    assert_eq!(setup.health.lease_expired_ago(), Duration::ZERO);
    // The server is to give up when we do.
    let queries: Vec<String> = setup.server.asked().into_iter().map(|asked| asked.query).collect();
    assert!(queries.contains(&"timeout=600ms".to_owned()), "{queries:?}");
}

#[tokio::test]
async fn it_takes_a_lease_that_another_lets_expire_and_not_before() {
    let store = Store::new(Mutex::new(Some(lease(7, "other_1"))));
    let kept = Arc::clone(&store);
    let setup = setup(move |asked| serve(&kept, asked)).await;
    let begun = Instant::now();
    setup.leadership.ready.send_replace(true);
    setup.until(leads).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "after {:?}", begun.elapsed());
    let taken = setup.patches().remove(0);
    assert_eq!(
        (
            &taken["metadata"]["resourceVersion"],
            &taken["spec"]["leaseTransitions"]
        ),
        (&json!("7"), &json!(5))
    );
}

#[tokio::test]
async fn it_loses_the_lease_when_the_server_is_silent_and_the_fence_has_fallen_before() {
    let store = Store::default();
    let silent = Arc::new(Mutex::new(false));
    let (kept, hush) = (Arc::clone(&store), Arc::clone(&silent));
    let setup = setup(move |asked| match *hush.lock().unwrap() {
        true => Reply::Silence,
        false => serve(&kept, asked),
    })
    .await;
    setup.leadership.ready.send_replace(true);
    setup.until(leads).await;
    *silent.lock().unwrap() = true;
    setup.until(|standing| matches!(standing, Standing::Lost(_))).await;
    assert!(!setup.leadership.fence.stands());
    assert_eq!(setup.campaign.loss(), Loss::NotRenewed);
    assert_eq!(setup.notes.count(Notice::Leads(false)), 1);
    // Another may take it: it is not ours to give back.
    let asked = setup.server.asked().len();
    setup.campaign.release().await;
    assert_eq!(setup.server.asked().len(), asked);
}

#[tokio::test]
async fn a_candidate_that_dies_while_it_leads_is_seen_and_its_lease_runs_out() {
    let store = Store::default();
    let mut setup = setup(move |asked| serve(&store, asked)).await;
    setup.leadership.ready.send_replace(true);
    setup.until(leads).await;
    assert_eq!(setup.health.lease_expired_ago(), Duration::ZERO);
    setup.campaign.task.abort();
    let failed = tokio::time::timeout(PATIENCE, setup.campaign.failed()).await;
    assert_eq!(failed, Ok(true));
    let begun = Instant::now();
    while setup.health.lease_expired_ago() < Duration::from_millis(200) {
        assert!(begun.elapsed() < PATIENCE, "nobody renews it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_steps_down_when_another_holds_the_lease() {
    let store = Store::default();
    let kept = Arc::clone(&store);
    let setup = setup(move |asked| serve(&kept, asked)).await;
    setup.leadership.ready.send_replace(true);
    setup.until(leads).await;
    *store.lock().unwrap() = Some(lease(900, "usurper"));
    setup
        .until(|standing| *standing == Standing::Lost(Loss::HeldBy("usurper".into())))
        .await;
    assert!(!setup.leadership.fence.stands());
}

#[tokio::test]
async fn the_end_gives_the_lease_back_unless_a_write_has_had_no_answer() {
    for unanswered in [false, true] {
        let store = Store::default();
        let kept = Arc::clone(&store);
        let setup = setup(move |asked| serve(&kept, asked)).await;
        setup.leadership.ready.send_replace(true);
        setup.until(leads).await;
        if unanswered {
            setup.leadership.fence.unanswered();
        }
        setup.campaign.release().await;
        let lease = store.lock().unwrap().clone().unwrap();
        let holder = if unanswered { "me_1" } else { "" };
        assert_eq!(lease["spec"]["holderIdentity"], holder);
    }
}

#[tokio::test]
async fn what_is_no_lease_is_no_answer() {
    let setup = setup(|_| Reply::Say(200, r#"{"kind":"Pod","metadata":{"resourceVersion":"1"}}"#.to_owned())).await;
    setup.leadership.ready.send_replace(true);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(*setup.campaign.standing.borrow(), Standing::Standby);
    assert!(setup.server.asked().iter().all(|asked| asked.method == "GET"));
    // Nor is a proxy's page: it does not say that there is no lease.
    let page = Reply::Say(404, "<html>404</html>".to_owned());
    let setup = self::setup(move |_| page.clone()).await;
    setup.leadership.ready.send_replace(true);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(setup.server.asked().iter().all(|asked| asked.method == "GET"));
}

#[tokio::test]
async fn the_lease_says_where_the_leader_is_and_by_which_certificate_it_is_known_now() {
    let mut kept = lease(7, "");
    kept["metadata"]["annotations"] = json!({"example.com/note": "of somebody else", "muster.dev/address": "old:1"});
    let store = Store::new(Mutex::new(Some(kept)));
    let certificate = watch::Sender::new(Fingerprint([1; 32]));
    let announced = Announced {
        address: "10.1.2.3:10259".parse().unwrap(),
        certificate: certificate.subscribe(),
    };
    let settings = LeaseSettings {
        announced: Some(announced),
        ..settings()
    };
    let seen = settings.leading.subscribe();
    let kept = Arc::clone(&store);
    let setup = setup_with(settings, move |asked| serve(&kept, asked)).await;
    setup.leadership.ready.send_replace(true);
    setup.until(leads).await;
    let annotation = |name: &str| store.lock().unwrap().as_ref().unwrap()["metadata"]["annotations"][name].clone();
    assert_eq!(annotation("muster.dev/address"), "10.1.2.3:10259");
    assert_eq!(annotation("muster.dev/certificate-sha256"), "01".repeat(32));
    // Its file was replaced while it leads.
    certificate.send_replace(Fingerprint([2; 32]));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(annotation("muster.dev/certificate-sha256"), "02".repeat(32));
    assert_eq!(
        *seen.borrow(),
        Leading::NobodyElse,
        "it does not take itself for another"
    );
    setup.campaign.release().await;
    assert_eq!(annotation("muster.dev/address"), Value::Null);
    assert_eq!(annotation("muster.dev/certificate-sha256"), Value::Null);
    assert_eq!(annotation("example.com/note"), "of somebody else");
}

#[tokio::test]
async fn a_standby_knows_where_the_leader_can_be_asked() {
    let contact = Contact {
        address: "10.1.2.3:10259".parse().unwrap(),
        certificate: Fingerprint([1; 32]),
    };
    let mut held = lease(7, "other_1");
    held["spec"]["leaseDurationSeconds"] = 60.into();
    held["metadata"]["annotations"] = json!({
        "muster.dev/address": "10.1.2.3:10259", "muster.dev/certificate-sha256": "01".repeat(32),
    });
    let store = Store::new(Mutex::new(Some(held)));
    let settings = settings();
    let mut seen = settings.leading.subscribe();
    let kept = Arc::clone(&store);
    let setup = setup_with(settings, move |asked| serve(&kept, asked)).await;
    setup.leadership.ready.send_replace(true);
    let mut until = async |wanted: Leading| {
        let told = tokio::time::timeout(PATIENCE, seen.wait_for(|leading| *leading == wanted)).await;
        assert!(told.is_ok_and(|told| told.is_ok()), "{wanted:?} is not told");
    };
    until(Leading::At(contact)).await;
    // Another has taken it, who does not say.
    let mut silent = lease(8, "third_1");
    silent["spec"]["leaseDurationSeconds"] = 60.into();
    *store.lock().unwrap() = Some(silent);
    until(Leading::Silent).await;
    *store.lock().unwrap() = Some(lease(9, ""));
    until(Leading::NobodyElse).await;
}
