//! Two Musters, one lease: a warm standby, and what happens when the leader dies, ends or freezes.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use muster_tests::{Cluster, Muster, PATIENCE, WATCH, gang};
use serde_json::json;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster";
const N_MEMBERS: usize = 120;
/// Short periods, the lease that the role allows, and few enough binds a second that there is a middle.
const FLAGS: &[&str] = &[
    "--leader-elect",
    "--leader-elect-resource-namespace=muster-system",
    "--leader-elect-lease-duration=4s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
    "--kube-api-qps=40",
    "--kube-api-burst=1",
];

/// A leader and a standby, both ready.
fn leader_and_standby(cluster: &Cluster) -> (Muster, Muster) {
    // The test before may have killed the holder. (Muster may not make a lease, so it is not taken away.)
    let nobody = json!({ "spec": { "holderIdentity": null } });
    cluster.api().merge_patch(LEASE, &nobody).unwrap();
    let leader = cluster.start_muster(FLAGS).unwrap();
    wait_until_leads(cluster, &leader);
    let standby = cluster.start_muster(FLAGS).unwrap();
    sleep(WATCH);
    assert!(leads(&leader) && !leads(&standby));
    (leader, standby)
}

fn leads(muster: &Muster) -> bool {
    muster
        .metrics()
        .unwrap()
        .sum("leader_election_master_status", &[r#"name="muster""#])
        > 0.0
}

fn wait_until_leads(cluster: &Cluster, muster: &Muster) {
    let waited = cluster
        .api()
        .wait_until("the lease is taken", PATIENCE, |_| Ok(leads(muster).then_some(())));
    waited.unwrap();
}

/// A gang that fills its nodes to the last.
fn begin(cluster: &Cluster) {
    cluster.create_nodes(0, N_MEMBERS / 3, "3").unwrap();
    cluster.create_group("train", &gang(N_MEMBERS as i32)).unwrap();
    cluster.create_pods(&cluster.members("train", N_MEMBERS, "1")).unwrap();
}

fn wait_for_the_middle(cluster: &Cluster) -> usize {
    let middle = cluster.api().wait_until("the gang is being bound", PATIENCE, |_| {
        let n = cluster.bound()?.len();
        Ok((n >= N_MEMBERS / 10).then_some(n))
    });
    middle.unwrap()
}

fn bound_by(muster: &Muster) -> usize {
    let metrics = muster.metrics().unwrap();
    metrics.sum("scheduler_schedule_attempts_total", &[r#"result="scheduled""#]) as usize
}

fn assert_whole_and_counted_once(bound: &BTreeMap<String, String>) {
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    bound.values().for_each(|node| *by_node.entry(node).or_default() += 1);
    assert_eq!(bound.len(), N_MEMBERS);
    assert!(by_node.values().all(|n| *n == 3), "{by_node:?}");
}

fn signal(muster: &Muster, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &muster.pid().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn a_standby_finishes_the_gang_of_a_leader_that_was_killed() {
    let cluster = Cluster::new("leader-killed");
    let (leader, standby) = leader_and_standby(&cluster);
    begin(&cluster);
    wait_for_the_middle(&cluster);
    assert_eq!(bound_by(&standby), 0, "a standby binds nothing");
    leader.kill().unwrap();
    // A bind on its way arrives, long before the standby may go on.
    sleep(Duration::from_millis(200));
    let n_after = cluster.bound().unwrap().len();
    assert!(n_after < N_MEMBERS, "killed too late to show anything");
    assert_whole_and_counted_once(&cluster.wait_bound(N_MEMBERS).unwrap());
    assert_eq!(bound_by(&standby), N_MEMBERS - n_after, "nothing is bound twice");
    assert_eq!(standby.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn an_orderly_end_hands_over_at_once() {
    let cluster = Cluster::new("leader-ends");
    let (leader, standby) = leader_and_standby(&cluster);
    assert_eq!(leader.terminate().unwrap(), Some(0));
    let begun = Instant::now();
    wait_until_leads(&cluster, &standby);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "after {:?}, and the lease lasts 4s",
        begun.elapsed()
    );
}

#[test]
fn a_leader_that_was_frozen_binds_nothing_more_and_ends() {
    let cluster = Cluster::new("leader-frozen");
    let (mut leader, standby) = leader_and_standby(&cluster);
    begin(&cluster);
    wait_for_the_middle(&cluster);
    signal(&leader, "-STOP");
    assert_whole_and_counted_once(&cluster.wait_bound(N_MEMBERS).unwrap());
    assert!(leads(&standby));
    signal(&leader, "-CONT");
    assert_eq!(leader.wait_until_ended().unwrap(), Some(1));
    let log = leader.log();
    assert!(log.contains("leader election lost"), "{log}");
    assert_whole_and_counted_once(&cluster.bound().unwrap());
    assert!(leads(&standby));
}
