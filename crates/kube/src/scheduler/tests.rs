//! The engine and all network parts together, against a scripted API server with one node and one pod.

use super::*;
use crate::observer::{BindRequest, Notice};
use crate::testing::{Asked, End, FakeServer, Notes, PATIENCE, Reply, page};
use muster_api::paths::list_path;
use muster_engine::{Census, Input, Observation, Settings as EngineSettings, Stats};
use muster_plugins::ProfileSpec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const NODE: &str = r#"{"metadata":{"name":"n1","uid":"u-n1","resourceVersion":"1"},"spec":{},
    "status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"10"}}}"#;
const POD: &str = r#"{"metadata":{"name":"a","namespace":"default","uid":"u-a","resourceVersion":"2"},
    "spec":{"schedulerName":"muster","containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]},
    "status":{"phase":"Pending"}}"#;

/// Answers like an API server of Kubernetes 1.34 with one node and one pod; binds are answered with `bind`.
fn one_pod(bind: Reply, mut lease: impl FnMut(&Asked) -> Reply + Send) -> impl FnMut(&Asked) -> Reply + Send {
    move |asked| match (&*asked.method, &*asked.path) {
        _ if asked.is_watch() => Reply::Stream(vec![], End::Stay),
        ("GET", "/api/v1/nodes") => page(5, "", &[NODE.to_owned()]),
        ("GET", "/api/v1/pods") => page(5, "", &[POD.to_owned()]),
        // Of everything else that is listed there is nothing.
        ("GET", path) if Kind::ALL.into_iter().any(|kind| list_path(kind) == path) => page(5, "", &[]),
        ("GET", path) if path.starts_with("/apis/scheduling.") => Reply::Say(404, "404 page not found".to_owned()),
        (_, path) if path.contains("/leases") => lease(asked),
        ("POST", path) if path.ends_with("/binding") => bind.clone(),
        ("POST", path) if path.ends_with("/events") => Reply::Say(201, "{}".to_owned()),
        _ => Reply::Silence,
    }
}

struct Setup {
    server: FakeServer,
    running: Running,
    health: Arc<Health>,
}

async fn setup(bind: Reply, settings: Settings, recording: Option<Recording>) -> Setup {
    setup_with(|_| Reply::Silence, bind, settings, recording).await
}

async fn setup_with(
    lease: impl FnMut(&Asked) -> Reply + Send + 'static,
    bind: Reply,
    settings: Settings,
    recording: Option<Recording>,
) -> Setup {
    setup_seen_by(Arc::new(Notes::default()), lease, bind, settings, recording).await
}

async fn setup_seen_by(
    observer: Arc<dyn Observer>,
    lease: impl FnMut(&Asked) -> Reply + Send + 'static,
    bind: Reply,
    settings: Settings,
    recording: Option<Recording>,
) -> Setup {
    let server = FakeServer::start(one_pod(bind, lease)).await;
    let clients = server.clients();
    let engine = Engine::new(&EngineSettings {
        profiles: vec![ProfileSpec::default_for("muster", KubeMinor::default())],
        kube: KubeMinor::default(),
        extenders: vec![],
        seed: 0,
        pod_initial_backoff: Duration::from_secs(1),
        pod_max_backoff: Duration::from_secs(10),
        pod_max_in_unschedulable: Duration::from_secs(300),
        leads: settings.lease.is_none(),
        gangs: muster_engine::GangSettings::default(),
        batching: muster_engine::BatchSettings::default(),
    });
    let health = Arc::new(Health::default());
    let running = start(
        engine,
        clients,
        settings,
        observer,
        &health,
        recording,
        crate::questions::questions().1,
    )
    .unwrap();
    Setup {
        server,
        running,
        health,
    }
}

impl Setup {
    fn sent_to(&self, end_of_path: &str) -> usize {
        self.server
            .asked()
            .iter()
            .filter(|a| a.method == "POST" && a.path.ends_with(end_of_path))
            .count()
    }

    async fn wait_for_bind(&self) {
        let begun = Instant::now();
        while self.sent_to("/binding") == 0 {
            assert!(begun.elapsed() < PATIENCE, "no bind was sent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the last tick was so long ago.
    async fn wait_for_tick(&self, wanted: impl Fn(Duration) -> bool, or_else: &str) {
        let begun = Instant::now();
        while !wanted(self.health.last_tick_ago()) {
            assert!(begun.elapsed() < PATIENCE, "{or_else}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(&mut self) -> Duration {
        let begun = Instant::now();
        self.running.stop();
        tokio::time::timeout(PATIENCE, self.running.ended())
            .await
            .expect("it ends")
            .expect("it ends well");
        begun.elapsed()
    }
}

fn bind_timeout(timeout: Duration) -> Settings {
    let dispatcher = DispatcherSettings {
        request_timeout: timeout,
        ..DispatcherSettings::default()
    };
    Settings {
        dispatcher,
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_bound_and_all_is_told_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording");
    let recording = Recording::create(&path).unwrap();
    let created = Reply::Say(201, r#"{"kind":"Status","status":"Success"}"#.to_owned());
    let mut setup = setup(created, Settings::default(), Some(recording)).await;
    setup.wait_for_bind().await;
    assert!(setup.health.is_engine_synced());
    assert!(Kind::ALL.into_iter().all(|kind| setup.health.is_listed(kind)));
    assert!(setup.health.last_tick_ago() < Duration::from_secs(5));
    setup.end().await;
    assert!(setup.health.is_stopping());
    assert_eq!((setup.sent_to("/binding"), setup.sent_to("/events")), (1, 1));

    let recorded = std::fs::read_to_string(&path).unwrap();
    let inputs: Vec<_> = recorded
        .lines()
        .map(|line| muster_api::codec::decode(line).unwrap().1)
        .collect();
    let told = inputs.iter().map(crate::testing::words).collect::<Vec<_>>();
    assert!(
        told.iter().any(|words| words == "applied a Pod") && told.last().unwrap().ends_with("Bound"),
        "{told:?}"
    );
}

/// Does not give the engine's thread back for as long as this is true.
struct HoldsUp(Arc<AtomicBool>);

impl Observer for HoldsUp {
    fn observation(&self, _: &Observation, _: Duration) {}

    fn stats(&self, _: &Stats) {
        while self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn census(&self, _: &Census) {}

    fn input(&self, _: &Input) {}

    fn notice(&self, _: Notice) {}

    fn bind_request(&self, _: &BindRequest<'_>) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_stuck_does_not_tick_and_one_at_rest_does() {
    let stuck = Arc::new(AtomicBool::new(false));
    let observer = Arc::new(HoldsUp(Arc::clone(&stuck)));
    let created = Reply::Say(201, r#"{"kind":"Status","status":"Success"}"#.to_owned());
    let mut setup = setup_seen_by(observer, |_| Reply::Silence, created, Settings::default(), None).await;
    setup.wait_for_bind().await;
    stuck.store(true, Ordering::Relaxed);
    // At rest it turns once a second.
    setup
        .wait_for_tick(
            |silent| silent > Duration::from_secs(2),
            "it ticks although it is stuck",
        )
        .await;
    stuck.store(false, Ordering::Relaxed);
    setup
        .wait_for_tick(|silent| silent < Duration::from_secs(1), "it does not tick again")
        .await;
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_what_is_in_flight() {
    let timeout = Duration::from_millis(400);
    let mut setup = setup(Reply::Silence, bind_timeout(timeout), None).await;
    setup.wait_for_bind().await;
    let waited = setup.end().await;
    assert!(waited >= timeout / 2, "{waited:?} is less than the bind took");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_does_not_wait_for_ever() {
    let mut settings = bind_timeout(Duration::from_secs(3600));
    settings.driver.grace = Duration::from_millis(100);
    let mut setup = setup(Reply::Silence, settings, None).await;
    setup.wait_for_bind().await;
    let waited = setup.end().await;
    assert!(
        waited >= Duration::from_millis(100) && waited < Duration::from_secs(10),
        "{waited:?}"
    );
}

fn elected() -> Settings {
    let millis = Duration::from_millis;
    let lease = LeaseSettings {
        lease: muster_api::LeaseName {
            namespace: "muster-system".into(),
            name: "muster".into(),
        },
        identity: "me_1".into(),
        timing: muster_engine::election::Timing::new(millis(1_000), millis(600), millis(100)).unwrap(),
        announced: None,
        leading: watch::Sender::default(),
    };
    Settings {
        lease: Some(lease),
        ..Settings::default()
    }
}

fn lease_of(holder: &str) -> Reply {
    let spec = format!(r#"{{"holderIdentity":"{holder}","leaseDurationSeconds":1}}"#);
    Reply::Say(
        200,
        format!(r#"{{"kind":"Lease","metadata":{{"resourceVersion":"1"}},"spec":{spec}}}"#),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_binds_nothing_and_a_leader_does_so_after_it_has_listed_anew() {
    let created = Reply::Say(201, r#"{"kind":"Status","status":"Success"}"#.to_owned());
    let lease = |asked: &Asked| lease_of(if asked.method == "GET" { "other" } else { "me_1" });
    let begun = Instant::now();
    let mut setup = setup_with(lease, created, elected(), None).await;
    setup.wait_for_bind().await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "the other's lease had to expire"
    );
    let asked = setup.server.asked();
    let at = |wanted: &dyn Fn(&Asked) -> bool| asked.iter().rposition(wanted).unwrap();
    let taken = asked.iter().position(|asked| asked.method == "PATCH").unwrap();
    let bound = at(&|asked| asked.path.ends_with("/binding"));
    for path in ["/api/v1/pods", "/api/v1/nodes"] {
        let listed = at(&|asked| asked.path == path && !asked.is_watch());
        assert!(taken < listed && listed < bound, "{path}: {taken} {listed} {bound}");
    }
    setup.end().await;
    let last = setup.server.asked().pop().unwrap();
    assert!(
        last.path.ends_with("/leases/muster") && last.body.contains(r#""holderIdentity":"""#),
        "{last:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_lease_is_lost_ends_with_an_error() {
    let mut renewals = 0;
    let lease = move |asked: &Asked| match &*asked.method {
        "GET" => lease_of(if renewals < 2 { "" } else { "other" }),
        _ => {
            renewals += 1;
            if renewals < 2 {
                lease_of("me_1")
            } else {
                Reply::Say(409, "{}".to_owned())
            }
        }
    };
    let created = Reply::Say(201, r#"{"kind":"Status","status":"Success"}"#.to_owned());
    let mut setup = setup_with(lease, created, elected(), None).await;
    let ended = tokio::time::timeout(PATIENCE, setup.running.ended())
        .await
        .expect("it ends");
    assert_eq!(
        ended.unwrap_err().to_string(),
        "leader election lost: other holds the lease"
    );
}
