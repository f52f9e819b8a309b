//! Tests of informers against a scripted API server.

use super::*;
use crate::testing::{Asked, End, FakeServer, Notes, Reply, event, namespace, next_words, page, status};
use crate::wire::Json;

const QUICK: Duration = Duration::from_millis(20);

struct Followed {
    server: FakeServer,
    inputs: mpsc::Receiver<Input>,
    notes: Arc<Notes>,
    health: Arc<Health>,
    relist: watch::Sender<u64>,
}

impl Followed {
    async fn next(&mut self, count: usize) -> Vec<String> {
        next_words(&mut self.inputs, count).await
    }

    /// The queries of the watches so far.
    fn watches(&self) -> Vec<String> {
        self.server
            .asked()
            .into_iter()
            .filter(Asked::is_watch)
            .map(|asked| asked.query)
            .collect()
    }
}

/// Follows a kind as this script has it. Waits are short.
async fn follow(kind: Kind, script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Followed {
    let server = FakeServer::start(script).await;
    let (sender, inputs) = mpsc::channel(64);
    let (notes, health) = (Arc::new(Notes::default()), Arc::new(Health::default()));
    let relist = watch::Sender::new(0);
    let around = Surroundings {
        client: server.client.clone(),
        inputs: sender,
        observer: Arc::clone(&notes) as Arc<dyn Observer>,
        health: Arc::clone(&health),
        settings: InformerSettings {
            first_backoff: Duration::from_millis(1),
            max_backoff: QUICK,
            look_again: QUICK,
            ..InformerSettings::default()
        },
        minor: KubeMinor::default(),
        whole_nodes: None,
        relist: relist.subscribe(),
    };
    tokio::spawn(Informer::<Json>::new(kind, around).run());
    Followed {
        server,
        inputs,
        notes,
        health,
        relist,
    }
}

/// Follows namespaces through these answers to lists and watches; after the last watch, silence.
async fn follow_namespaces(lists: Vec<Reply>, watches: Vec<Reply>) -> Followed {
    let (mut lists, mut watches) = (lists.into_iter(), watches.into_iter());
    follow(Kind::Namespace, move |asked| {
        let next = if asked.is_watch() { watches.next() } else { lists.next() };
        next.unwrap_or(Reply::Silence)
    })
    .await
}

#[tokio::test]
async fn a_list_may_come_in_parts_and_a_watch_goes_on_from_it() {
    let lists = vec![
        page(7, "to/ken=", &[namespace("a", 1), namespace("b", 2)]),
        page(7, "", &[namespace("c", 3)]),
    ];
    let mut followed = follow_namespaces(
        lists,
        vec![Reply::Stream(vec![event("ADDED", &namespace("d", 8))], End::Stay)],
    )
    .await;
    assert!(!followed.health.is_listed(Kind::Namespace));
    assert_eq!(
        followed.next(6).await,
        [
            "list of Namespace begun",
            "applied a@1",
            "applied b@2",
            "applied c@3",
            "list of Namespace done",
            "applied d@8"
        ]
    );
    assert!(followed.health.is_listed(Kind::Namespace));
    let queries: Vec<_> = followed.server.asked().into_iter().map(|asked| asked.query).collect();
    assert_eq!(queries[0], "", "no resource version: the list is consistent");
    assert_eq!(queries[1], "continue=to%2Fken%3D");
    assert_eq!(
        queries[2],
        "watch=true&allowWatchBookmarks=true&timeoutSeconds=283&resourceVersion=7"
    );
}

#[tokio::test]
async fn objects_are_told_while_the_list_arrives() {
    let Reply::Say(_, list) = page(7, "", &[namespace("a", 1), namespace("b", 2)]) else {
        panic!("a page is said")
    };
    let (begun, rest) = list.split_at(list.find("},{").unwrap() + 10);
    let lists = vec![
        Reply::Stream(vec![begun.to_owned()], End::Break),
        Reply::Stream(vec![begun.to_owned(), rest.to_owned()], End::Close),
    ];
    let mut followed = follow_namespaces(lists, vec![]).await;
    assert_eq!(
        followed.next(6).await,
        [
            "list of Namespace begun",
            "applied a@1",
            "list of Namespace begun",
            "applied a@1",
            "applied b@2",
            "list of Namespace done"
        ]
    );
}

#[tokio::test]
async fn when_the_rest_of_a_list_is_too_old_it_begins_anew() {
    let expired = Reply::Say(410, status(410, "the provided continue parameter is too old", "null"));
    let lists = vec![
        page(7, "t", &[namespace("a", 1)]),
        expired,
        page(9, "", &[namespace("b", 2)]),
    ];
    let mut followed = follow_namespaces(lists, vec![]).await;
    assert_eq!(
        followed.next(5).await,
        [
            "list of Namespace begun",
            "applied a@1",
            "list of Namespace begun",
            "applied b@2",
            "list of Namespace done"
        ]
    );
    assert_eq!(followed.notes.count(Notice::Relist(Kind::Namespace)), 2);
}

#[tokio::test]
async fn when_a_watch_is_too_old_everything_is_listed_anew() {
    let expired = status(410, "too old resource version", "null");
    let empty = |version| page(version, "", &[]);
    let watches = vec![
        Reply::Say(410, expired.clone()),
        Reply::Stream(vec![event("ERROR", &expired)], End::Close),
        Reply::Stream(vec![event("ERROR", &status(500, "etcd is sad", "null"))], End::Close),
    ];
    let mut followed = follow_namespaces(vec![empty(1), empty(2), empty(3), empty(4)], watches).await;
    let told = followed.next(8).await;
    assert_eq!(told, ["list of Namespace begun", "list of Namespace done"].repeat(4));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_rest_arrives() {
    let bad = r#"{"metadata":{"name":"bad","resourceVersion":"5","labels":7}}"#;
    let lists = vec![page(7, "", &[namespace("a", 1), bad.to_owned(), namespace("b", 2)])];
    let frames = vec![event("MODIFIED", bad), event("MODIFIED", &namespace("a", 9))];
    let mut followed = follow_namespaces(lists, vec![Reply::Stream(frames, End::Stay)]).await;
    let told = followed.next(7).await;
    assert_eq!(
        (&*told[1], &*told[3], &*told[6]),
        ("applied a@1", "applied b@2", "applied a@9")
    );
    for undecodable in [&told[2], &told[5]] {
        assert!(
            undecodable.starts_with("undecodable bad: metadata.labels: "),
            "{undecodable}"
        );
    }
    assert_eq!(followed.notes.count(Notice::Undecodable(Kind::Namespace)), 2);
}

#[tokio::test]
async fn a_watch_goes_on_where_it_ended() {
    // One event cut in three, and two events in one piece.
    let added = event("ADDED", &namespace("a", 8));
    let (head, rest) = added.split_at(11);
    let (middle, tail) = rest.split_at(9);
    let deleted_and_mark = event("DELETED", &namespace("a", 9)) + &event("BOOKMARK", &namespace("", 12));
    let pieces = [head, middle, tail, &deleted_and_mark].map(str::to_owned).to_vec();
    let half_a_frame = added[..20].to_owned();
    let watches = vec![
        Reply::Stream(pieces, End::Close),
        Reply::Stream(vec![event("BOOKMARK", &namespace("", 15)), half_a_frame], End::Break),
        Reply::Stream(vec![event("ADDED", &namespace("b", 16))], End::Stay),
    ];
    let mut followed = follow_namespaces(vec![page(7, "", &[])], watches).await;
    assert_eq!(
        followed.next(5).await[2..],
        ["applied a@8", "deleted a@9", "applied b@16"]
    );
    let from: Vec<_> = followed
        .watches()
        .iter()
        .map(|q| q.rsplit('=').next().unwrap().to_owned())
        .collect();
    assert_eq!(from, ["7", "12", "15"]);
    assert_eq!(followed.notes.count(Notice::WatchRestart(Kind::Namespace)), 2);
    assert_eq!(followed.notes.count(Notice::Relist(Kind::Namespace)), 1);
}

#[tokio::test]
async fn a_silent_watch_is_taken_for_dead() {
    let (sender, mut inputs) = mpsc::channel(64);
    let mut watches = 0;
    let server = FakeServer::start(move |asked| match asked.is_watch() {
        false => page(7, "", &[]),
        true => {
            watches += 1;
            let said = if watches == 1 {
                vec![]
            } else {
                vec![event("ADDED", &namespace("a", 8))]
            };
            Reply::Stream(said, End::Stay)
        }
    })
    .await;
    let around = Surroundings {
        client: server.client.clone(),
        inputs: sender,
        observer: Arc::new(Notes::default()),
        health: Arc::default(),
        settings: InformerSettings {
            watch_silence: QUICK,
            first_backoff: QUICK,
            ..InformerSettings::default()
        },
        minor: KubeMinor::default(),
        whole_nodes: None,
        relist: watch::Sender::new(0).subscribe(),
    };
    tokio::spawn(Informer::<Json>::new(Kind::Namespace, around).run());
    assert_eq!(next_words(&mut inputs, 3).await[2], "applied a@8");
}

#[tokio::test]
async fn failed_lists_are_tried_again_from_the_start() {
    let lists = vec![
        Reply::Say(500, String::new()),
        Reply::HangUp,
        Reply::Say(200, "<html>".to_owned()),
        Reply::Say(403, status(403, "namespaces is forbidden", "null")),
        page(7, "", &[]),
    ];
    let mut followed = follow_namespaces(lists, vec![]).await;
    let told = followed.next(6).await;
    assert_eq!(told[..5], ["list of Namespace begun"; 5]);
    assert_eq!(told[5], "list of Namespace done");
}

#[tokio::test]
async fn a_missing_permission_keeps_the_kind_unlisted() {
    let mut followed = follow(Kind::Namespace, |_| {
        Reply::Say(403, status(403, "namespaces is forbidden", "null"))
    })
    .await;
    followed.next(3).await;
    assert!(!followed.health.is_listed(Kind::Namespace));
}

#[test]
fn a_missing_permission_is_said_as_a_rule_of_a_role() {
    let body = status(403, "workloads.scheduling.k8s.io is forbidden", "null");
    let answer = Answer {
        status: StatusCode::FORBIDDEN,
        retry_after: None,
        body: body.into(),
    };
    assert_eq!(
        forbidden(Kind::Workload, "list", &answer),
        "forbidden: our role lacks verb \"list\" on resource \"workloads\" of API group \"scheduling.k8s.io\": \
         workloads.scheduling.k8s.io is forbidden (403)"
    );
    assert!(forbidden(Kind::Pod, "watch", &answer).contains("on resource \"pods\" of API group \"\""));
}

/// Answers discovery of workloads with these, one after the other; lists and watches are well if they are served.
async fn follow_workloads(discoveries: Vec<Reply>, served: bool) -> Followed {
    let mut discoveries = discoveries.into_iter();
    follow(Kind::Workload, move |asked| match &*asked.path {
        "/apis/scheduling.k8s.io/v1alpha1" => discoveries.next().unwrap_or(Reply::Silence),
        _ if !served => Reply::Say(404, "404 page not found".to_owned()),
        _ if asked.is_watch() => Reply::Silence,
        _ => page(3, "", &[]),
    })
    .await
}

fn group(resource: &str) -> Reply {
    Reply::Say(
        200,
        format!(r#"{{"kind":"APIResourceList","resources":[{{"name":"{resource}"}}]}}"#),
    )
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_told_once_and_found_later() {
    let not_there = Reply::Say(404, "404 page not found".to_owned());
    let discoveries = vec![not_there, group("otherthings"), group("workloads")];
    let mut followed = follow_workloads(discoveries, true).await;
    assert_eq!(followed.next(1).await, ["Workload not served"]);
    assert_eq!(
        followed.next(2).await,
        ["list of Workload begun", "list of Workload done"]
    );
    assert!(followed.health.is_listed(Kind::Workload));
}

#[tokio::test]
async fn trouble_with_discovery_says_nothing_about_the_kind() {
    let discoveries = vec![Reply::Say(503, String::new()), Reply::HangUp, group("workloads")];
    let mut followed = follow_workloads(discoveries, true).await;
    assert_eq!(
        followed.next(2).await,
        ["list of Workload begun", "list of Workload done"]
    );
}

#[tokio::test]
async fn a_kind_that_is_discovered_but_cannot_be_listed_is_not_served() {
    let mut followed = follow_workloads(vec![group("workloads")], false).await;
    assert_eq!(
        followed.next(2).await,
        ["list of Workload begun", "Workload not served"]
    );
}

#[tokio::test]
async fn a_kind_is_found_by_its_own_name_in_the_version_of_its_group() {
    // PriorityClass shares the group, a subresource the beginning of the name, and the CRD the name.
    let others = [group("priorityclasses"), group("podgroups/status"), group("workloads")];
    for kind in [Kind::PodGroup, Kind::PodGroupV1Alpha2, Kind::CoschedulingPodGroup] {
        let (own, _) = list_path(kind).rsplit_once('/').unwrap();
        let mut answers = others.clone().into_iter().chain([group("podgroups")]);
        let mut followed = follow(kind, move |asked| match &*asked.path {
            path if path == own => answers.next().unwrap_or(Reply::Silence),
            path if path == list_path(kind) && !asked.is_watch() => page(3, "", &[]),
            path if path == list_path(kind) => Reply::Silence,
            other => Reply::Say(500, format!("{other} is not to be asked")),
        })
        .await;
        assert_eq!(
            followed.next(3).await,
            ["PodGroup not served", "list of PodGroup begun", "list of PodGroup done"]
        );
    }
}

#[tokio::test]
async fn a_kind_that_goes_while_it_is_watched_is_told_not_served_and_found_again() {
    // A CRD that is deleted and made anew.
    let mut discoveries = vec![
        group("podgroups"),
        Reply::Say(404, "404 page not found".to_owned()),
        group("podgroups"),
    ]
    .into_iter();
    let mut watches = vec![
        Reply::Stream(vec![event("BOOKMARK", &namespace("", 4))], End::Close),
        Reply::Say(404, "404 page not found".to_owned()),
    ]
    .into_iter();
    let mut followed = follow(Kind::CoschedulingPodGroup, move |asked| match &*asked.path {
        "/apis/scheduling.x-k8s.io/v1alpha1" => discoveries.next().unwrap_or(Reply::Silence),
        _ if asked.is_watch() => watches.next().unwrap_or(Reply::Silence),
        _ => page(3, "", &[]),
    })
    .await;
    assert_eq!(
        followed.next(5).await,
        [
            "list of PodGroup begun",
            "list of PodGroup done",
            "PodGroup not served",
            "list of PodGroup begun",
            "list of PodGroup done"
        ]
    );
}

/// What is told of a kind whose discovery, or whose list, is answered like this once, and is well afterwards.
async fn told_after(discovery: Option<Reply>, list: Option<Reply>) -> Vec<String> {
    let (mut discovery, mut list) = (discovery.into_iter(), list.into_iter());
    let mut followed = follow(Kind::PodGroup, move |asked| match &*asked.path {
        "/apis/scheduling.k8s.io/v1beta1" => discovery.next().unwrap_or_else(|| group("podgroups")),
        _ if asked.is_watch() => Reply::Silence,
        _ => list.next().unwrap_or_else(|| page(3, "", &[])),
    })
    .await;
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "list of PodGroup done") {
        told.extend(followed.next(1).await);
    }
    told
}

#[tokio::test]
async fn only_a_404_means_that_a_kind_is_not_served() {
    const WELL: [&str; 2] = ["list of PodGroup begun", "list of PodGroup done"];
    let not_found = || Reply::Say(404, "404 page not found".to_owned());
    let told = told_after(Some(not_found()), None).await;
    assert_eq!(told, ["PodGroup not served", WELL[0], WELL[1]]);
    let told = told_after(None, Some(not_found())).await;
    assert_eq!(told, [WELL[0], "PodGroup not served", WELL[0], WELL[1]]);
    for code in [401, 403, 429, 500, 503] {
        let trouble = || Reply::Say(code, status(code, "no", "null"));
        assert_eq!(told_after(Some(trouble()), None).await, WELL, "{code}");
        assert_eq!(
            told_after(None, Some(trouble())).await,
            [WELL[0], WELL[0], WELL[1]],
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_kind_that_every_cluster_has_is_asked_for_until_it_is_there() {
    let lists = vec![Reply::Say(404, "404 page not found".to_owned()), page(7, "", &[])];
    let mut followed = follow_namespaces(lists, vec![]).await;
    assert_eq!(
        followed.next(3).await,
        [
            "list of Namespace begun",
            "list of Namespace begun",
            "list of Namespace done"
        ]
    );
}

#[tokio::test]
async fn a_new_leader_lists_anew_what_decides_whatever_the_informer_is_at() {
    let mut pods = follow(Kind::Pod, |asked| match asked.is_watch() {
        true => Reply::Silence,
        false => page(5, "", &[]),
    })
    .await;
    assert_eq!(pods.next(2).await, ["list of Pod begun", "list of Pod done"]);
    pods.relist.send_replace(1);
    assert_eq!(pods.next(2).await, ["list of Pod begun", "list of Pod done"]);

    // In the midst of a list, too: the old one is given up.
    let mut lists = 0;
    let mut nodes = follow(Kind::Node, move |asked| {
        lists += usize::from(!asked.is_watch());
        if lists == 1 || asked.is_watch() {
            Reply::Silence
        } else {
            page(5, "", &[])
        }
    })
    .await;
    assert_eq!(nodes.next(1).await, ["list of Node begun"]);
    while nodes.server.asked().is_empty() {
        tokio::time::sleep(QUICK).await;
    }
    nodes.relist.send_replace(1);
    assert_eq!(nodes.next(2).await, ["list of Node begun", "list of Node done"]);

    // And a kind that is not served is said to be so once more.
    let mut workloads = follow(Kind::Workload, |_| Reply::Say(404, "404 page not found".to_owned())).await;
    assert_eq!(workloads.next(1).await, ["Workload not served"]);
    workloads.relist.send_replace(1);
    assert_eq!(workloads.next(1).await, ["Workload not served"]);
}

#[tokio::test]
async fn what_does_not_decide_is_not_listed_anew() {
    let mut followed = follow_namespaces(vec![page(5, "", &[]), page(6, "", &[])], vec![]).await;
    followed.next(2).await;
    followed.relist.send_replace(1);
    assert!(tokio::time::timeout(QUICK * 10, followed.inputs.recv()).await.is_err());
}
