//! Tests of the dispatcher against a scripted API server. What each answer means is tested at `answer`.

use super::*;
use crate::observer::Notice;
use crate::testing::{Asked, FakeServer, Notes, PATIENCE, Reply, next_words, status};
use muster_engine::{Regarding, Severity};
use muster_framework::group::CoschedulingPhase;

struct Setup {
    server: FakeServer,
    dispatcher: Dispatcher,
    inputs: mpsc::Receiver<Input>,
    notes: Arc<Notes>,
    workers: EventWorkers,
}

async fn setup(settings: DispatcherSettings, script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Setup {
    setup_with(Extenders::default(), settings, script).await
}

async fn setup_with(
    extenders: Extenders,
    settings: DispatcherSettings,
    script: impl FnMut(&Asked) -> Reply + Send + 'static,
) -> Setup {
    setup_behind(Fence::none(), extenders, settings, script).await
}

async fn setup_behind(
    fence: Fence,
    extenders: Extenders,
    settings: DispatcherSettings,
    script: impl FnMut(&Asked) -> Reply + Send + 'static,
) -> Setup {
    let server = FakeServer::start(script).await;
    let (sender, inputs) = mpsc::channel(64);
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes) as Arc<dyn Observer>;
    let (dispatcher, workers) = Dispatcher::start(
        Handle::current(),
        (server.client.clone(), extenders),
        sender,
        observer,
        settings,
        KubeMinor::default(),
        fence,
    );
    Setup {
        server,
        dispatcher,
        inputs,
        notes,
        workers,
    }
}

fn short() -> DispatcherSettings {
    DispatcherSettings {
        request_timeout: Duration::from_millis(300),
        ..DispatcherSettings::default()
    }
}

fn pod(name: &str) -> PodRef {
    PodRef {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
    }
}

fn bind(id: u64, name: &str) -> Effect {
    Effect {
        id: EffectId(id),
        kind: EffectKind::Bind {
            by: None,
            pod: pod(name),
            node: "n1".into(),
        },
    }
}

fn condition(id: u64, name: &str) -> Effect {
    let kind = EffectKind::PodCondition {
        pod: pod(name),
        observed_generation: 1,
        reason: "Unschedulable".into(),
        message: "no room".into(),
    };
    Effect { id: EffectId(id), kind }
}

fn group_status(id: u64, kind: Kind, status: GroupStatus, turns: bool) -> Effect {
    let group = GroupRef {
        kind,
        namespace: "shop".into(),
        name: "train".into(),
        uid: "uid-train".into(),
    };
    let kind = EffectKind::GroupStatus {
        group,
        observed_generation: 1,
        status,
        turns,
    };
    Effect { id: EffectId(id), kind }
}

fn scheduled() -> GroupStatus {
    GroupStatus::Condition {
        scheduled: true,
        reason: "Scheduled".into(),
        message: "".into(),
    }
}

fn evict(id: u64, name: &str) -> Effect {
    let kind = EffectKind::Evict { pod: pod(name) };
    Effect { id: EffectId(id), kind }
}

fn event(id: u64, name: &str) -> Effect {
    let kind = EffectKind::Event {
        regarding: Regarding::Pod(pod(name)),
        reporting_controller: "muster".into(),
        severity: Severity::Normal,
        reason: "Scheduled",
        action: "Binding",
        note: "done".into(),
    };
    Effect { id: EffectId(id), kind }
}

fn created() -> Reply {
    Reply::Say(201, r#"{"kind":"Status","status":"Success"}"#.to_owned())
}

/// What became of one bind that is answered like this, and how often it was sent.
async fn bind_answered(replies: Vec<Reply>) -> (String, usize) {
    let mut replies = replies.into_iter();
    let mut setup = setup(short(), move |_| replies.next().unwrap_or(Reply::Silence)).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    let told = next_words(&mut setup.inputs, 1).await.remove(0);
    (told, setup.server.asked().len())
}

#[tokio::test]
async fn a_bind_is_sent_once_with_the_uid() {
    let mut setup = setup(short(), |_| created()).await;
    setup.dispatcher.carry_out(bind(7, "a"));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 7: Bound"]);
    let asked = setup.server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (&*asked[0].method, &*asked[0].path),
        ("POST", "/api/v1/namespaces/shop/pods/a/binding")
    );
    assert!(
        asked[0].body.contains("uid-a") && asked[0].body.contains("n1"),
        "{}",
        asked[0].body
    );
}

#[tokio::test]
async fn doubt_is_unknown_and_nothing_is_sent_twice() {
    for reply in [
        Reply::HangUp,
        Reply::Silence,
        Reply::Say(500, String::new()),
        Reply::Say(504, String::new()),
    ] {
        let (told, sent) = bind_answered(vec![reply.clone(), created()]).await;
        assert!(told.starts_with("effect 1: Unknown"), "{reply:?} became {told}");
        assert_eq!(sent, 1, "{reply:?}");
    }
    let conflict = status(409, "pod a is already assigned to node n1", "null");
    assert!(
        bind_answered(vec![Reply::Say(409, conflict)])
            .await
            .0
            .contains("already assigned to node n1")
    );
}

#[tokio::test]
async fn a_used_connection_that_breaks_is_no_reason_to_send_twice() {
    let mut replies = vec![created(), Reply::HangUp, created()].into_iter();
    let mut setup = setup(short(), move |_| replies.next().unwrap_or(Reply::Silence)).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 1: Bound"]);
    setup.dispatcher.carry_out(bind(2, "b"));
    assert!(next_words(&mut setup.inputs, 1).await[0].starts_with("effect 2: Unknown"));
    assert_eq!(setup.server.asked().len(), 2);
}

#[tokio::test]
async fn gone_and_refused() {
    let gone = status(404, "pods a not found", r#"{"name":"a","kind":"pods"}"#);
    assert_eq!(bind_answered(vec![Reply::Say(404, gone)]).await.0, "effect 1: PodGone");
    let refused = status(403, "admission webhook denied the request", "null");
    let told = bind_answered(vec![Reply::Say(403, refused)]).await.0;
    assert!(
        told.starts_with("effect 1: Refused") && told.contains("webhook denied"),
        "{told}"
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_while_there_is_time() {
    let (told, sent) = bind_answered(vec![Reply::Busy("0"), created()]).await;
    assert_eq!((&*told, sent), ("effect 1: Bound", 2));
    // A wait that does not fit: certain that nothing was done.
    let (told, sent) = bind_answered(vec![Reply::Busy("30"), created()]).await;
    assert!(told.starts_with("effect 1: Refused") && told.contains("429"), "{told}");
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn what_became_of_a_bind_is_observed_with_its_retries() {
    let mut replies = vec![Reply::Busy("0"), created()].into_iter();
    let mut setup = setup(short(), move |_| replies.next().unwrap()).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    next_words(&mut setup.inputs, 1).await;
    assert_eq!(setup.notes.bind_requests(), ["shop/a Some(201) after 1 retries"]);
}

#[tokio::test]
async fn reads_and_conditions_are_answered() {
    let mut setup = setup(short(), |asked| match &*asked.method {
        "GET" => Reply::Say(404, status(404, "pods a not found", r#"{"name":"a","kind":"pods"}"#)),
        _ => Reply::Say(200, "{}".to_owned()),
    })
    .await;
    setup.dispatcher.carry_out(Effect {
        id: EffectId(1),
        kind: EffectKind::ReadPod { pod: pod("a") },
    });
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 1: PodRead(Gone)"]);
    setup.dispatcher.carry_out(condition(2, "a"));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 2: Written"]);
    let patch = setup.server.asked().remove(1);
    assert_eq!(
        (&*patch.method, &*patch.path),
        ("PATCH", "/api/v1/namespaces/shop/pods/a/status")
    );
    assert!(patch.body.contains("uid-a"));
}

#[tokio::test]
async fn binds_are_bounded_and_room_is_told() {
    let settings = DispatcherSettings {
        binds_in_flight: 2,
        ..short()
    };
    let mut setup = setup(settings, |_| Reply::Silence).await;
    assert!(setup.dispatcher.has_room() && setup.dispatcher.is_idle());
    setup.dispatcher.carry_out(bind(1, "a"));
    assert!(setup.dispatcher.has_room() && !setup.dispatcher.is_idle());
    setup.dispatcher.carry_out(bind(2, "b"));
    assert!(!setup.dispatcher.has_room());
    tokio::time::timeout(PATIENCE, setup.dispatcher.freed()).await.unwrap();
    assert!(setup.dispatcher.has_room());
    next_words(&mut setup.inputs, 2).await;
}

#[tokio::test]
async fn waiting_conditions_do_not_hold_up_binds() {
    let settings = DispatcherSettings {
        status_writes_in_flight: 1,
        status_writes_waiting: 2,
        ..short()
    };
    let mut setup = setup(settings, |asked| {
        if asked.method == "PATCH" {
            Reply::Silence
        } else {
            created()
        }
    })
    .await;
    setup.dispatcher.carry_out(condition(1, "a"));
    setup.dispatcher.carry_out(condition(2, "b"));
    assert!(setup.dispatcher.has_room());
    setup.dispatcher.carry_out(bind(3, "c"));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 3: Bound"]);
    let patches = |setup: &Setup| {
        setup
            .server
            .asked()
            .iter()
            .filter(|asked| asked.method == "PATCH")
            .count()
    };
    assert_eq!(patches(&setup), 1, "the second waits for its turn");
    setup.dispatcher.carry_out(condition(4, "d"));
    assert!(!setup.dispatcher.has_room());
    assert_eq!(next_words(&mut setup.inputs, 3).await.len(), 3);
    assert_eq!(patches(&setup), 3);
}

#[tokio::test]
async fn a_server_that_is_too_busy_gets_fewer_binds_at_once() {
    let mut setup = setup(short(), |_| Reply::Say(429, String::new())).await;
    let fill = |setup: &Setup, from: u64| {
        let mut n_taken = 0;
        while setup.dispatcher.has_room() {
            setup.dispatcher.carry_out(bind(from + n_taken, "a"));
            n_taken += 1;
        }
        n_taken
    };
    assert_eq!(fill(&setup, 0), 64);
    next_words(&mut setup.inputs, 64).await;
    while !setup.dispatcher.is_idle() {
        setup.dispatcher.freed().await;
    }
    assert_eq!(fill(&setup, 100), 32);
}

#[tokio::test]
async fn an_outcome_that_will_never_come_is_noticed() {
    let setup = setup(short(), |_| created()).await;
    assert!(!setup.dispatcher.has_lost_one());
    setup
        .dispatcher
        .answer(EffectId(1), &setup.dispatcher.binds, async { panic!("on purpose") });
    tokio::time::timeout(PATIENCE, setup.dispatcher.freed()).await.unwrap();
    assert!(setup.dispatcher.has_lost_one() && setup.dispatcher.has_room());
}

#[tokio::test]
async fn events_without_room_are_dropped_and_counted() {
    let settings = DispatcherSettings {
        events_waiting: 2,
        events_in_flight: 1,
        ..short()
    };
    let mut setup = setup(settings, |asked| {
        if asked.method == "POST" {
            created()
        } else {
            Reply::Silence
        }
    })
    .await;
    // No await in between: the worker gets no chance to take one.
    for (id, pod) in ["a", "b", "c", "d", "e", "b"].into_iter().enumerate() {
        setup.dispatcher.carry_out(event(id as u64, pod));
    }
    assert_eq!(setup.notes.count(Notice::EventWithoutRoom), 3);
    assert!(setup.dispatcher.is_idle(), "events are not waited for");
    drop(setup.dispatcher);
    setup.workers.finish(PATIENCE).await;
    let asked = setup.server.asked();
    assert_eq!(asked.len(), 2, "what was taken is written before the end");
    assert!(
        asked
            .iter()
            .all(|asked| asked.path == "/apis/events.k8s.io/v1/namespaces/shop/events")
    );
    assert_ne!(asked[0].body, asked[1].body, "two events have two names");
}

#[tokio::test]
async fn events_that_are_not_taken_are_counted() {
    let mut setup = setup(short(), |_| Reply::Say(403, status(403, "events is forbidden", "null"))).await;
    setup.dispatcher.carry_out(event(1, "a"));
    drop(setup.dispatcher);
    setup.workers.finish(PATIENCE).await;
    assert_eq!(setup.notes.count(Notice::EventNotTaken), 1);
}

#[tokio::test]
async fn the_configured_rate_is_kept() {
    let settings = DispatcherSettings {
        rate: Some(Rate { qps: 50.0, burst: 1 }),
        ..short()
    };
    let mut setup = setup(settings, |_| created()).await;
    let begun = Instant::now();
    for id in 0..4 {
        setup.dispatcher.carry_out(bind(id, "a"));
    }
    next_words(&mut setup.inputs, 4).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(60),
        "three waits of 20 ms: {:?}",
        begun.elapsed()
    );
}

const PODS: &str = "/api/v1/namespaces/shop/pods";

fn found_pod(uid: &str) -> Reply {
    let metadata =
        format!(r#"{{"name":"a","namespace":"shop","uid":"{uid}","resourceVersion":"5","managedFields":[]}}"#);
    Reply::Say(
        200,
        format!(r#"{{"metadata":{metadata},"spec":{{"containers":[{{"name":"c"}}]}}}}"#),
    )
}

/// An extender with this script, which may be ignored.
async fn extender(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> (FakeServer, Extenders) {
    let server = FakeServer::start(script).await;
    let configuration = format!(
        "{{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, extenders: [{{urlPrefix: \
         \"http://{}\", filterVerb: filter, bindVerb: bind, nodeCacheCapable: true, ignorable: true}}]}}",
        server.address
    );
    let configuration = muster_config::load(&configuration).unwrap();
    (server, Extenders::new(&configuration.extenders).unwrap())
}

fn question(id: u64, name: &str) -> Effect {
    let kind = EffectKind::AskExtender {
        extender: 0,
        verb: ExtenderVerb::Filter,
        pod: pod(name),
        nodes: vec!["n1".into()],
    };
    Effect { id: EffectId(id), kind }
}

#[tokio::test]
async fn an_extender_is_asked_about_the_pod_as_it_stands() {
    let (asked_extender, extenders) = extender(|_| Reply::Say(200, r#"{"NodeNames":["n1"]}"#.to_owned())).await;
    let mut setup = setup_with(extenders, short(), |_| found_pod("uid-a")).await;
    setup.dispatcher.carry_out(question(1, "a"));
    let told = next_words(&mut setup.inputs, 1).await;
    assert!(told[0].contains(r#"Filtered { nodes: ["n1"]"#), "{told:?}");
    assert_eq!(setup.server.asked()[0].path, format!("{PODS}/a"));
    let body = &asked_extender.asked()[0].body;
    assert!(body.contains("uid-a") && !body.contains("managedFields"), "{body}");
}

#[tokio::test]
async fn nobody_is_asked_about_a_pod_that_is_gone() {
    let (asked_extender, extenders) = extender(|_| Reply::HangUp).await;
    let mut setup = setup_with(extenders, short(), |_| found_pod("another")).await;
    setup.dispatcher.carry_out(question(1, "a"));
    let told = next_words(&mut setup.inputs, 1).await;
    assert!(told[0].contains("the pod is gone"), "{told:?}");
    assert!(asked_extender.asked().is_empty());
}

#[tokio::test]
async fn while_extenders_are_busy_nothing_is_decided_and_the_end_does_not_wait_for_them() {
    let (_extender, extenders) = extender(|_| Reply::Silence).await;
    let settings = DispatcherSettings {
        questions_in_flight: 2,
        ..short()
    };
    let setup = setup_with(extenders, settings, |_| found_pod("uid-a")).await;
    setup.dispatcher.carry_out(question(1, "a"));
    assert!(setup.dispatcher.has_room());
    setup.dispatcher.carry_out(question(2, "a"));
    assert!(!setup.dispatcher.has_room());
    assert!(setup.dispatcher.is_idle());
}

#[tokio::test]
async fn an_extender_binds_and_the_api_server_does_where_it_may_be_ignored() {
    let by_extender = |id| {
        let mut effect = bind(id, "a");
        let EffectKind::Bind { by, .. } = &mut effect.kind else {
            unreachable!()
        };
        *by = Some(0);
        effect
    };
    let mut answers = vec![Reply::HangUp, Reply::Say(200, "{}".to_owned())];
    let (asked_extender, extenders) = extender(move |_| answers.pop().unwrap_or(Reply::Silence)).await;
    let mut setup = setup_with(extenders, short(), |_| created()).await;
    setup.dispatcher.carry_out(by_extender(1));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 1: Bound"]);
    assert!(setup.server.asked().is_empty());
    setup.dispatcher.carry_out(by_extender(2));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 2: Bound"]);
    assert_eq!(asked_extender.asked().len(), 2);
    assert_eq!(setup.server.asked()[0].path, format!("{PODS}/a/binding"));
}

#[tokio::test]
async fn a_groups_status_goes_to_the_object_of_its_kind() {
    let mut setup = setup(short(), |_| Reply::Say(200, "{}".to_owned())).await;
    let phase = GroupStatus::Phase {
        phase: CoschedulingPhase::Scheduling,
        running: 0,
        succeeded: 0,
        failed: 0,
    };
    for (id, effect) in [
        (1, group_status(1, Kind::PodGroup, scheduled(), true)),
        (2, group_status(2, Kind::PodGroupV1Alpha2, scheduled(), false)),
        (3, group_status(3, Kind::CoschedulingPodGroup, phase, true)),
    ] {
        setup.dispatcher.carry_out(effect);
        assert_eq!(
            next_words(&mut setup.inputs, 1).await,
            [format!("effect {id}: Written")]
        );
    }
    let asked = setup.server.asked();
    let paths: Vec<_> = asked.iter().map(|asked| &*asked.path).collect();
    assert_eq!(
        paths,
        [
            "/apis/scheduling.k8s.io/v1beta1/namespaces/shop/podgroups/train/status",
            "/apis/scheduling.k8s.io/v1alpha2/namespaces/shop/podgroups/train/status",
            "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/shop/podgroups/train/status",
        ]
    );
    assert!(asked.iter().all(|asked| asked.method == "PATCH"));
    // The time of the transition is told when there is one.
    let with_time: Vec<_> = asked.iter().map(|a| a.body.contains("lastTransitionTime")).collect();
    assert_eq!(with_time, [true, false, false]);
}

#[tokio::test]
async fn a_status_that_the_kind_has_no_place_for_is_not_sent() {
    let mut setup = setup(short(), |_| created()).await;
    setup
        .dispatcher
        .carry_out(group_status(1, Kind::Workload, scheduled(), true));
    let told = next_words(&mut setup.inputs, 1).await.remove(0);
    assert!(told.contains("WriteFailed") && told.contains("Workload"), "{told}");
    assert!(setup.server.asked().is_empty());
}

#[tokio::test]
async fn a_group_that_is_gone_is_told_and_a_kind_that_is_gone_is_a_failure() {
    let details = r#"{"name":"train","group":"scheduling.k8s.io","kind":"podgroups"}"#;
    let mut replies = vec![
        Reply::Say(404, status(404, "podgroups train not found", details)),
        Reply::Say(404, "404 page not found".to_owned()),
    ]
    .into_iter();
    let mut setup = setup(short(), move |_| replies.next().unwrap_or(Reply::Silence)).await;
    setup
        .dispatcher
        .carry_out(group_status(1, Kind::PodGroup, scheduled(), true));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 1: ObjectGone"]);
    setup
        .dispatcher
        .carry_out(group_status(2, Kind::PodGroup, scheduled(), true));
    let told = next_words(&mut setup.inputs, 1).await.remove(0);
    assert!(told.contains("WriteFailed"), "{told}");
}

#[tokio::test]
async fn an_eviction_is_asked_for_once_with_the_uid() {
    let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
    let other =
        "Operation cannot be fulfilled on Pod a: the UID in the precondition (uid-a) does not match the UID in record";
    let mut replies = vec![
        created(),
        Reply::Say(429, status(429, budget, "null")),
        Reply::Busy("0"),
        Reply::Say(404, status(404, "pods a not found", r#"{"name":"a","kind":"pods"}"#)),
        Reply::Say(409, status(409, other, r#"{"name":"a","kind":"Pod"}"#)),
    ]
    .into_iter();
    let mut setup = setup(short(), move |_| replies.next().unwrap_or(Reply::Silence)).await;
    let mut told = Vec::new();
    for id in 1..=5 {
        setup.dispatcher.carry_out(evict(id, "a"));
        told.extend(next_words(&mut setup.inputs, 1).await);
    }
    assert_eq!(told[0], "effect 1: Written");
    assert!(
        told[1].contains("WriteFailed") && told[1].contains(budget),
        "{}",
        told[1]
    );
    assert!(told[2].contains("WriteFailed"), "{}", told[2]);
    assert_eq!(told[3..], ["effect 4: ObjectGone", "effect 5: ObjectGone"]);
    let asked = setup.server.asked();
    assert_eq!(asked.len(), 5, "a refused eviction is not sent again");
    assert_eq!(
        (&*asked[0].method, &*asked[0].path),
        ("POST", "/api/v1/namespaces/shop/pods/a/eviction")
    );
    assert!(asked[0].body.contains("uid-a"), "{}", asked[0].body);
}

/// A fence that falls after so many milliseconds; a write may take 900 ms.
fn fence(ms: u64) -> Fence {
    let second = Duration::from_secs(1);
    let timing = muster_engine::election::Timing::new(second * 2, second, second / 10).unwrap();
    let fence = Fence::of(&timing);
    fence.set(Some(Instant::now() + Duration::from_millis(ms)));
    fence
}

#[tokio::test]
async fn the_server_is_told_how_long_a_write_may_take() {
    let mut setup = setup_behind(
        fence(5_000),
        Extenders::default(),
        DispatcherSettings::default(),
        |_| created(),
    )
    .await;
    setup.dispatcher.carry_out(bind(1, "a"));
    assert_eq!(next_words(&mut setup.inputs, 1).await, ["effect 1: Bound"]);
    assert_eq!(setup.server.asked()[0].query, "timeout=900ms");
    // Where nothing is elected, as long as we wait ourselves.
    let mut setup = self::setup(short(), |_| created()).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    next_words(&mut setup.inputs, 1).await;
    assert!(
        setup.server.asked()[0].query.starts_with("timeout="),
        "{:?}",
        setup.server.asked()[0].query
    );
}

#[tokio::test]
async fn nothing_is_written_when_the_fence_has_fallen() {
    let mut setup = setup_behind(fence(0), Extenders::default(), short(), |_| created()).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    setup.dispatcher.carry_out(condition(2, "a"));
    setup.dispatcher.carry_out(event(3, "a"));
    let mut told = next_words(&mut setup.inputs, 2).await;
    told.sort();
    assert_eq!(
        told,
        [
            format!("effect 1: Unknown {{ message: {NOT_SENT:?} }}"),
            format!("effect 2: WriteFailed {{ message: {NOT_SENT:?} }}"),
        ]
    );
    drop(setup.dispatcher);
    setup.workers.finish(PATIENCE).await;
    assert_eq!(setup.notes.count(Notice::EventNotTaken), 1);
    assert!(setup.server.asked().is_empty(), "{:?}", setup.server.asked());
}

#[tokio::test]
async fn a_write_that_was_put_off_is_not_sent_again_when_the_fence_has_fallen() {
    let settings = DispatcherSettings::default();
    let mut setup = setup_behind(fence(300), Extenders::default(), settings, |_| Reply::Busy("1")).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    let told = next_words(&mut setup.inputs, 1).await.remove(0);
    assert!(told.contains(NOT_SENT), "{told}");
    assert_eq!(setup.server.asked().len(), 1);
}

#[tokio::test]
async fn a_write_without_an_answer_is_remembered() {
    let fence = fence(60_000);
    let mut setup = setup_behind(fence.clone(), Extenders::default(), short(), |_| Reply::Silence).await;
    setup.dispatcher.carry_out(bind(1, "a"));
    next_words(&mut setup.inputs, 1).await;
    assert!(!fence.all_settled());
}
