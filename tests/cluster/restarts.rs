//! Muster ends in the middle of its work: killed, and asked to.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use muster_tests::{Cluster, PATIENCE, gang};

const N_MEMBERS: usize = 300;
/// Few enough a second that there is a middle to be killed in.
const SLOW: &[&str] = &["--kube-api-qps=60", "--kube-api-burst=1"];

/// A gang that fills its nodes to the last, half of it bound or so.
fn begin(cluster: &Cluster) {
    cluster.create_nodes(0, N_MEMBERS / 3, "3").unwrap();
    cluster.create_group("train", &gang(N_MEMBERS as i32)).unwrap();
    cluster.create_pods(&cluster.members("train", N_MEMBERS, "1")).unwrap();
}

fn wait_for_the_middle(cluster: &Cluster) -> usize {
    let middle = cluster.api().wait_until("the gang is being bound", PATIENCE, |_| {
        let n = cluster.bound()?.len();
        sleep(Duration::from_millis(10));
        Ok((n >= N_MEMBERS / 10).then_some(n))
    });
    middle.unwrap()
}

/// Every node holds what fits, and no more.
fn assert_whole_and_counted_once(bound: &BTreeMap<String, String>) {
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    bound.values().for_each(|node| *by_node.entry(node).or_default() += 1);
    assert_eq!(bound.len(), N_MEMBERS);
    assert!(by_node.values().all(|n| *n == 3), "{by_node:?}");
}

#[test]
fn killed_while_binding_a_gang_it_ends_with_the_whole_gang_bound() {
    let cluster = Cluster::new("killed");
    let muster = cluster.start_muster(SLOW).unwrap();
    begin(&cluster);
    let n_bound = wait_for_the_middle(&cluster);
    muster.kill().unwrap();
    // A bind on its way arrives.
    sleep(Duration::from_millis(200));
    let n_after = cluster.bound().unwrap().len();
    assert!(
        n_after < N_MEMBERS,
        "killed too late to show anything: {n_bound}, then {n_after} bound"
    );

    let muster = cluster.start_muster(&[]).unwrap();
    assert_whole_and_counted_once(&cluster.wait_bound(N_MEMBERS).unwrap());
    let metrics = muster.metrics().unwrap();
    let bound_now = metrics.sum("scheduler_schedule_attempts_total", &[r#"result="scheduled""#]);
    assert_eq!(
        bound_now as usize,
        N_MEMBERS - n_after,
        "what was bound before counts, and is not bound again"
    );
    assert_eq!(metrics.sum("muster_bind_failures_total", &[]), 0.0);
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn asked_to_end_it_finishes_the_binds_in_flight() {
    let cluster = Cluster::new("asked");
    let muster = cluster.start_muster(SLOW).unwrap();
    begin(&cluster);
    wait_for_the_middle(&cluster);
    assert_eq!(muster.terminate().unwrap(), Some(0));
    assert_whole_and_counted_once(&cluster.bound().unwrap());
}
