//! Muster behind a proxy that cuts, delays and refuses: every gang ends whole, and nothing is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use http::{Method, StatusCode};
use muster_tests::objects::pod;
use muster_tests::proxy::{Fault, Proxy, Rule, Seen, at_most, binds};
use muster_tests::{Cluster, gang};

/// So many of them fill the nodes of a test.
const N_MEMBERS: usize = 8;
const N_NODES: usize = 4;
const PER_NODE: usize = N_MEMBERS / N_NODES;

/// More kinds than Muster follows: each may ask once for every try.
const N_KINDS: usize = 30;

/// Nodes with room for exactly the gang `train`, whose pods come later.
fn begin(name: &str) -> (Cluster, Proxy) {
    let cluster = Cluster::new(name);
    let proxy = Proxy::start(cluster.plane()).unwrap();
    cluster.create_nodes(0, N_NODES, &PER_NODE.to_string()).unwrap();
    cluster.create_group("train", &gang(N_MEMBERS as i32)).unwrap();
    (cluster, proxy)
}

fn create_members(cluster: &Cluster) {
    cluster.create_pods(&cluster.members("train", N_MEMBERS, "1")).unwrap();
}

fn is_bind(seen: &Seen) -> bool {
    seen.method == Method::POST && seen.target.contains("/binding")
}

/// The gang is whole, no node holds more than it can, and the API server stored each binding once.
fn assert_whole(cluster: &Cluster, proxy: &Proxy) {
    let bound = cluster.wait_bound(N_MEMBERS).unwrap();
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    bound.values().for_each(|node| *by_node.entry(node).or_default() += 1);
    assert!(by_node.values().all(|n| *n == PER_NODE), "{by_node:?}");
    let asked: BTreeSet<String> = proxy.seen(is_bind).iter().map(Seen::path).collect();
    assert_eq!(asked.len(), N_MEMBERS, "all binds came this way: {asked:?}");
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    // Of a connection that was cut with all others the proxy does not know what became of it.
    for bind in proxy.seen(|seen| is_bind(seen) && seen.status == Some(StatusCode::CREATED)) {
        *stored.entry(bind.path()).or_default() += 1;
    }
    assert!(stored.values().all(|n| *n == 1), "{stored:?}");
}

#[test]
fn lost_answers_to_binds_leave_the_gang_whole_and_nothing_is_bound_twice() {
    let (cluster, proxy) = begin("lost-answers");
    proxy.add(binds(Fault::CutAfter).times(5));
    let _muster = cluster.start_muster_behind(&proxy, &[]).unwrap();
    create_members(&cluster);
    assert_whole(&cluster, &proxy);
    // Each was read back, and not bound again on suspicion.
    assert_eq!(proxy.seen(is_bind).len(), N_MEMBERS);
}

#[test]
fn binds_that_never_arrived_are_sent_again() {
    let (cluster, proxy) = begin("lost-requests");
    proxy.add(binds(Fault::CutBefore).times(5));
    let _muster = cluster.start_muster_behind(&proxy, &[]).unwrap();
    create_members(&cluster);
    assert_whole(&cluster, &proxy);
}

#[test]
fn a_member_whose_bind_is_refused_says_why_and_goes_when_it_is_let_through() {
    let (cluster, proxy) = begin("refused");
    let refused = binds(Fault::Refuse {
        code: 403,
        retry_after: None,
    });
    proxy.add(refused.contains("/pods/w3/"));
    let _muster = cluster.start_muster_behind(&proxy, &[]).unwrap();
    create_members(&cluster);
    cluster
        .wait_condition("w3", |message| message.contains("refused by the fault proxy"))
        .unwrap();
    let tries = proxy
        .seen(|seen| is_bind(seen) && seen.target.contains("/pods/w3/"))
        .len();
    sleep(Duration::from_secs(2));
    at_most(&proxy, tries + 4, "tries of a refused bind", |seen| {
        is_bind(seen) && seen.target.contains("/pods/w3/")
    })
    .unwrap();
    proxy.clear();
    assert_whole(&cluster, &proxy);
}

#[test]
fn a_storm_of_429_and_503_is_weathered_without_a_hot_loop() {
    let (cluster, proxy) = begin("storm");
    let _muster = cluster.start_muster_behind(&proxy, &[]).unwrap();
    let refuse = |code, retry_after| Fault::Refuse { code, retry_after };
    proxy.add(Rule::new(refuse(429, Some(1))).method(Method::POST));
    proxy.add(Rule::new(refuse(429, Some(1))).method(Method::PATCH));
    create_members(&cluster);
    sleep(Duration::from_secs(4));
    assert_eq!(cluster.bound().unwrap().len(), 0);
    at_most(&proxy, 6 * N_MEMBERS, "binds in 4 s of 429", is_bind).unwrap();

    proxy.clear();
    proxy.add(Rule::new(refuse(503, None)));
    proxy.cut_all();
    let before = proxy.seen(|_| true).len();
    sleep(Duration::from_secs(4));
    let limit = before + 8 * N_KINDS + 8 * N_MEMBERS;
    at_most(&proxy, limit, "requests up to the end of 4 s of 503", |_| true).unwrap();
    proxy.clear();
    assert_whole(&cluster, &proxy);
}

#[test]
fn watches_that_end_expire_or_lag_do_not_lead_astray() {
    let (cluster, proxy) = begin("watches");
    // More pods than a page holds, none of them for Muster.
    let others: Vec<_> = (0..600).map(|n| pod(&format!("other{n}"), "nobody", "1m")).collect();
    cluster.create_pods(&others).unwrap();
    let pods_watch = |fault| Rule::new(fault).contains("/api/v1/pods?").contains("watch=");
    let gone = Fault::Refuse {
        code: 410,
        retry_after: None,
    };
    proxy.add(Rule::new(gone).contains("/api/v1/pods?").contains("continue=").times(1));
    proxy.add(pods_watch(Fault::ExpireWatch).times(2));
    proxy.add(pods_watch(Fault::EndWatch(1)).times(1));
    proxy.add(pods_watch(Fault::HoldEvents(Duration::from_millis(200))));
    let _muster = cluster.start_muster_behind(&proxy, &[]).unwrap();
    create_members(&cluster);
    sleep(Duration::from_millis(500));
    proxy.cut_all();
    assert_whole(&cluster, &proxy);
    // What goes while nobody looks is noticed after the relist: the place of a deleted member is free again.
    proxy.clear();
    proxy.set_down(true);
    cluster.api().delete(&format!("{}/w0", cluster.path("pods"))).unwrap();
    let mut late = cluster.members_called("late", "train", 1, "1");
    cluster.create_pods(&[late.remove(0)]).unwrap();
    sleep(Duration::from_secs(1));
    proxy.set_down(false);
    let bound = cluster.wait_bound(N_MEMBERS).unwrap();
    assert!(bound.contains_key("late0"), "{bound:?}");
}

#[test]
fn five_seconds_without_an_api_server_cost_time_and_nothing_else() {
    let (cluster, proxy) = begin("unreachable");
    // One at a time, so that the middle of the gang is in the way of the cut.
    let _muster = cluster
        .start_muster_behind(&proxy, &["--kube-api-qps=4", "--kube-api-burst=1"])
        .unwrap();
    create_members(&cluster);
    let middle = cluster
        .api()
        .wait_until("the gang is being bound", muster_tests::PATIENCE, |_| {
            Ok(Some(cluster.bound()?).filter(|bound| bound.len() >= 2))
        });
    middle.unwrap();
    proxy.set_down(true);
    let n_bound = cluster.bound().unwrap().len();
    assert!(n_bound < N_MEMBERS, "cut too late to show anything");
    sleep(Duration::from_secs(5));
    assert_eq!(cluster.bound().unwrap().len(), n_bound, "nothing passes");
    proxy.set_down(false);
    assert_whole(&cluster, &proxy);
}

#[test]
fn slow_answers_and_late_events_lead_to_no_second_bind() {
    let (cluster, proxy) = begin("slow");
    proxy.add(binds(Fault::DelayAnswer(Duration::from_secs(2))).times(3));
    proxy.add(binds(Fault::DelayRequest(Duration::from_secs(2))).times(3));
    proxy.add(
        Rule::new(Fault::HoldEvents(Duration::from_millis(500)))
            .contains("/api/v1/pods?")
            .contains("watch="),
    );
    let _muster = cluster.start_muster_behind(&proxy, &[]).unwrap();
    create_members(&cluster);
    assert_whole(&cluster, &proxy);
    assert_eq!(proxy.seen(is_bind).len(), N_MEMBERS);
}
