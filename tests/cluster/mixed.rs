//! Pods of mixed shapes, many at once: upstream's own filters accept where each of them went.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use muster_tests::shapes::{PRIORITIES, mixed_nodes, mixed_pods, service_and_replicas};
use muster_tests::upstream::{Upstream, bare};
use muster_tests::{Cluster, PATIENCE};
use serde_json::{Value, json};

const N_NODES: usize = 60;
/// By hand; and each of the two services has so many more.
const N_PODS: usize = 460;
const N_REPLICAS: usize = 20;

/// Muster decides while binds are on their way, so many at most. They arrive in any order: so far may the order of the
/// decisions be from the order of the binds.
const BINDS_IN_FLIGHT: usize = 64;

/// What happened to the pods of the test, as a watch tells it.
struct History {
    path: String,
    resource_version: String,
    /// All pods, as they were told last.
    pods: BTreeMap<String, Value>,
    /// Pods with a node, in the order in which they got it.
    binds: Vec<Value>,
}

impl History {
    fn begin(cluster: &Cluster) -> History {
        let path = cluster.path("pods");
        let list = cluster.api().get(&path).unwrap();
        History {
            path,
            resource_version: list["metadata"]["resourceVersion"].as_str().unwrap().to_owned(),
            pods: BTreeMap::new(),
            binds: Vec::new(),
        }
    }

    /// Watches for a second. Gives whether a pod was bound, or has come or gone.
    fn follow(&mut self, cluster: &Cluster) -> bool {
        let events = cluster.api().watch(&self.path, &self.resource_version, 1).unwrap();
        let mut moved = false;
        for mut event in events {
            assert_ne!(event["type"], "DELETED", "nobody deletes pods: {event}");
            let pod = event["object"].take();
            let text = |path: &str| pod.pointer(path).and_then(Value::as_str).map(str::to_owned);
            self.resource_version = text("/metadata/resourceVersion").unwrap();
            let is_bound = |pod: &Value| pod["spec"]["nodeName"].is_string();
            let before = self.pods.get(&text("/metadata/name").unwrap());
            moved |= before.is_none();
            if is_bound(&pod) && !before.is_some_and(is_bound) {
                self.binds.push(bare(pod.clone()));
                moved = true;
            }
            self.pods.insert(text("/metadata/name").unwrap(), pod);
        }
        moved
    }

    fn waiting(&self) -> impl Iterator<Item = &Value> {
        self.pods.values().filter(|pod| !pod["spec"]["nodeName"].is_string())
    }
}

#[test]
fn upstream_accepts_where_five_hundred_mixed_pods_went() {
    let cluster = Cluster::new("mixed");
    cluster
        .api()
        .post_all("/api/v1/nodes", &mixed_nodes("mixed", N_NODES))
        .unwrap();
    create_priorities(&cluster);
    // First, since a build takes longer than an API server remembers what has happened.
    let mut upstream = Upstream::new(cluster.plane().kube()).unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let mut history = History::begin(&cluster);
    for name in ["front", "back"] {
        let (service, replicas) = service_and_replicas(name, &cluster.scheduler_name(), N_REPLICAS);
        cluster.api().post(&cluster.path("services"), &service).unwrap();
        let path = format!("/apis/apps/v1/namespaces/{}/replicasets", cluster.name());
        cluster.api().post(&path, &replicas).unwrap();
    }
    cluster
        .create_pods(&mixed_pods(&cluster.scheduler_name(), N_PODS))
        .unwrap();

    upstream.tell(objects(&cluster));
    wait_until_upstream_would_leave_the_rest(&cluster, &mut history, &mut upstream);
    assert_eq!(history.pods.len(), N_PODS + 2 * N_REPLICAS);
    let n_bound = history.binds.len();
    eprintln!("{n_bound} pods were bound, {} wait", history.waiting().count());
    assert!(
        (400..500).contains(&n_bound),
        "most are bound, and some fit nowhere: {n_bound}"
    );

    replay(history.binds, &mut upstream);
    let filters = [
        "InterPodAffinity",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "NodeUnschedulable",
        "PodTopologySpread",
        "TaintToleration",
    ];
    assert_eq!(upstream.rejecting_plugins().iter().collect::<Vec<_>>(), filters);
}

/// Victims are no subject of this: none of them preempts.
fn create_priorities(cluster: &Cluster) {
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    for (name, value) in PRIORITIES {
        let class = json!({ "metadata": { "name": name }, "value": value, "preemptionPolicy": "Never" });
        cluster.api().post(path, &class).unwrap();
    }
}

/// What upstream's plugins look at besides pods.
fn objects(cluster: &Cluster) -> Vec<Value> {
    let replica_sets = format!("/apis/apps/v1/namespaces/{}/replicasets", cluster.name());
    let mut objects = Vec::new();
    for (path, api_version, kind) in [
        ("/api/v1/nodes", "v1", "Node"),
        ("/api/v1/namespaces", "v1", "Namespace"),
        (&cluster.path("services"), "v1", "Service"),
        (&replica_sets, "apps/v1", "ReplicaSet"),
    ] {
        let mut list = cluster.api().get(path).unwrap();
        for object in list["items"].as_array_mut().unwrap() {
            object["apiVersion"] = api_version.into();
            object["kind"] = kind.into();
            objects.push(bare(object.take()));
        }
    }
    objects
}

/// Waits until there is no pod left that upstream would place.
fn wait_until_upstream_would_leave_the_rest(cluster: &Cluster, history: &mut History, upstream: &mut Upstream) {
    let mut last_move = Instant::now();
    loop {
        if history.follow(cluster) {
            last_move = Instant::now();
        }
        if last_move.elapsed() < Duration::from_secs(2) {
            continue;
        }
        let places = history.waiting().find_map(|pod| {
            let answer = upstream.verdict(&history.binds, &bare(pod.clone())).unwrap();
            (!answer.feasible().is_empty()).then(|| format!("{:#}\nfits on {:?}", pod, answer.feasible()))
        });
        match places {
            None => return,
            Some(place) if PATIENCE < last_move.elapsed() => panic!("this waits, and upstream would place it: {place}"),
            Some(_) => {}
        }
    }
}

/// Binds the pods anew, one by one: at its turn upstream accepts the node of each.
///
/// The turns are those of the binds. Where upstream would reject a pod, one that was on its way at the same time was
/// decided before it: then that one comes first, and no pod is moved further than binds in flight can overtake each other.
fn replay(binds: Vec<Value>, upstream: &mut Upstream) {
    let mut left: VecDeque<(usize, Value)> = binds.into_iter().enumerate().collect();
    let mut placed: Vec<Value> = Vec::new();
    let mut n_moved = 0;
    while let Some((first, _)) = left.front() {
        let turn = placed.len();
        let n_candidates = (first + BINDS_IN_FLIGHT).saturating_sub(turn).clamp(1, left.len());
        let next = (0..n_candidates).find(|&at| upstream.accepts(&placed, &left[at].1).unwrap());
        let Some(next) = next else {
            let pod = &left[0].1;
            let answer = upstream.verdict(&placed, pod).unwrap();
            let node = pod["spec"]["nodeName"].as_str().unwrap();
            panic!(
                "upstream rejects {node}: {:#}\nfor {pod:#}",
                answer.value()["nodes"][node]
            );
        };
        n_moved += usize::from(0 < next);
        let (_, pod) = left.remove(next).unwrap();
        placed.push(pod);
    }
    eprintln!(
        "{n_moved} of {} pods were bound in another order than decided",
        placed.len()
    );
}
