//! Somebody else binds pods on the same nodes, and a kubelet turns a member away.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use muster_tests::objects::pod;
use muster_tests::{Cluster, PATIENCE, gang};
use serde_json::{Value, json};

const N_NODES: usize = 8;
const PER_NODE: usize = 8;
const N_GANGS: usize = 8;
const N_MEMBERS: usize = 4;
/// The rival takes half of the room.
const N_RIVALS: usize = N_NODES * PER_NODE / 2;
/// Muster may not have heard of the rival's binds among so many that came before its own.
const RACE_WINDOW: usize = 16;

fn bind(cluster: &Cluster, pod: &str, node: &str) {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": pod }, "target": { "kind": "Node", "name": node },
    });
    let path = format!("{}/{pod}/binding", cluster.path("pods"));
    cluster.api().post(&path, &binding).unwrap();
}

/// Whose pod, and on which node, in the order of the binds after this version.
fn binds_since(cluster: &Cluster, version: &str) -> Vec<(String, String)> {
    let events = cluster.api().watch(&cluster.path("pods"), version, 2).unwrap();
    let mut binds: Vec<(String, String)> = Vec::new();
    for event in events {
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let name = text("/object/metadata/name").unwrap();
        if let Some(node) = text("/object/spec/nodeName")
            && binds.iter().all(|(bound, _)| *bound != name)
        {
            binds.push((name, node));
        }
    }
    binds
}

#[test]
fn beside_a_rival_gangs_are_whole_and_nodes_are_not_overcommitted_by_us() {
    let cluster = Cluster::new("rival");
    cluster.create_nodes(0, N_NODES, &PER_NODE.to_string()).unwrap();
    let rivals: Vec<_> = (0..N_RIVALS).map(|n| pod(&format!("rival{n}"), "rival", "1")).collect();
    cluster.create_pods(&rivals).unwrap();
    let list = cluster.api().get(&cluster.path("pods")).unwrap();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let muster = cluster
        .start_muster(&["--kube-api-qps=40", "--kube-api-burst=1"])
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..N_RIVALS {
                // Half of each node, however full it is: a rival asks nobody.
                bind(&cluster, &format!("rival{n}"), &format!("rival-{}", n % N_NODES));
                thread::sleep(Duration::from_millis(60));
            }
        });
        for n in 0..N_GANGS {
            let name = format!("g{n}");
            cluster.create_group(&name, &gang(N_MEMBERS as i32)).unwrap();
            let members = cluster.members_called(&format!("{name}-"), &name, N_MEMBERS, "1");
            cluster.create_pods(&members).unwrap();
            thread::sleep(Duration::from_millis(200));
        }
    });
    // Had the two raced for the last places, a node would be too full by what was in flight, and that many of ours wait.
    let settled = cluster.api().wait_until("nearly all gangs are bound", PATIENCE, |_| {
        let ours = cluster.bound()?.into_keys().filter(|pod| pod.starts_with('g')).count();
        Ok((ours >= (N_GANGS - 2) * N_MEMBERS).then_some(()))
    });
    settled.unwrap();
    thread::sleep(Duration::from_secs(1));

    let mut by_gang: BTreeMap<String, usize> = BTreeMap::new();
    let binds = binds_since(&cluster, &version);
    for (at, (name, node)) in binds.iter().enumerate() {
        let Some((gang, _)) = name.split_once('-') else {
            continue;
        };
        *by_gang.entry(gang.to_owned()).or_default() += 1;
        let heard_of = |(before, (other, _)): &(usize, &(String, String))| {
            !other.starts_with("rival") || before + RACE_WINDOW < at
        };
        let on_node = |(_, (_, its)): &(usize, &(String, String))| its == node;
        let known = binds
            .iter()
            .enumerate()
            .take(at)
            .filter(heard_of)
            .filter(on_node)
            .count();
        assert!(known < PER_NODE, "{name} was put on {node}, which was full: {binds:?}");
    }
    assert!(by_gang.values().all(|n| *n == N_MEMBERS), "{by_gang:?}");
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn a_member_that_the_kubelet_turns_away_is_replaced_elsewhere() {
    let cluster = Cluster::new("turned-away");
    cluster.create_nodes(0, 4, "1").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(4)).unwrap();
    cluster.create_pods(&cluster.members("train", 4, "1")).unwrap();
    let bound = cluster.wait_bound(4).unwrap();
    let node = bound["w0"].clone();
    // Somebody else was faster on that node, and its kubelet has seen that pod first.
    cluster.create_pods(&[pod("rival", "rival", "1")]).unwrap();
    bind(&cluster, "rival", &node);
    let failed = json!({ "status": {
        "phase": "Failed", "reason": "OutOfcpu",
        "message": "Node didn't have enough resource: cpu, requested: 1000, used: 1000, capacity: 1000",
    } });
    let status = format!("{}/w0/status", cluster.path("pods"));
    cluster.api().merge_patch(&status, &failed).unwrap();
    // As its Job would: a new member, for which there is no room yet.
    let replacement = cluster.members_called("again", "train", 1, "1");
    cluster.create_pods(&replacement).unwrap();
    cluster
        .wait_condition("again0", |m| m.contains("Insufficient cpu"))
        .unwrap();
    cluster.create_nodes(4, 1, "1").unwrap();
    let bound = cluster
        .api()
        .wait_until("the replacement is bound", PATIENCE, |_| {
            Ok(cluster.bound()?.remove("again0"))
        })
        .unwrap();
    assert_eq!(bound, "turned-away-4");
}
