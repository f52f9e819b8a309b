//! What benches share: an engine with many equal nodes, and pods for it, without any API around; and a table full of pods.

pub mod cluster;
pub mod full;

use muster_engine::{BatchSettings, Effect, Engine, GangSettings, Input, Object, ObjectKey, Settings, Time};
use muster_framework::group::{GroupLink, GroupPolicy};
use muster_framework::labels::Labels;
use muster_framework::record::{Kind, NodeRecord, PodPhase, PodRecord, PodSpec, WorkloadRecord};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::rules::KubeMinor;
use muster_plugins::ProfileSpec;
use std::sync::Arc;
use std::time::Duration;

/// Twins are placed by one verdict, and nothing is checked.
pub const BATCHED: BatchSettings = BatchSettings {
    enabled: true,
    check_every: 0,
};
/// Every pod takes the full pass.
pub const UNBATCHED: BatchSettings = BatchSettings {
    enabled: false,
    check_every: 0,
};

/// An engine that knows so many nodes of 4 CPU in ten zones, and is ready to schedule.
pub fn engine(n_nodes: usize) -> Engine {
    let mut engine = idle_engine(KubeMinor::default(), BATCHED);
    for n in 0..n_nodes {
        engine.handle(Time::ZERO, Input::Applied(Object::Node(node(n))));
    }
    list_all(&mut engine);
    engine
}

/// An engine that knows nothing yet.
fn idle_engine(minor: KubeMinor, batching: BatchSettings) -> Engine {
    Engine::new(&Settings {
        profiles: vec![ProfileSpec::default_for("muster", minor)],
        kube: minor,
        extenders: vec![],
        seed: 0,
        pod_initial_backoff: Duration::from_secs(1),
        pod_max_backoff: Duration::from_secs(10),
        pod_max_in_unschedulable: Duration::from_secs(300),
        leads: true,
        gangs: GangSettings::default(),
        batching,
    })
}

/// That this pod has been deleted.
pub fn deleted(pod: &PodRecord) -> Input {
    Input::Deleted(ObjectKey {
        kind: Kind::Pod,
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version: pod.resource_version + 1,
    })
}

/// Says that all that there is has been told.
fn list_all(engine: &mut Engine) {
    for kind in Kind::ALL {
        engine.handle(Time::ZERO, Input::ListDone(kind));
    }
}

fn node(n: usize) -> NodeRecord {
    let name = format!("node-{n}");
    let labels = [
        ("kubernetes.io/hostname", name.clone()),
        ("topology.kubernetes.io/zone", format!("zone-{}", n % 10)),
    ];
    NodeRecord {
        name: name.into(),
        resource_version: 1,
        labels: labels.into_iter().collect(),
        taints: vec![],
        unschedulable: false,
        allocatable: ResourceList {
            milli_cpu: 4000,
            memory: 32 << 30,
            ..ResourceList::default()
        },
        allowed_pods: 110,
        images: Box::new([]),
        declared_features: Box::new([]),
    }
}

/// A pod that asks for so much CPU, in thousandths of a core.
pub fn pod(n: usize, milli_cpu: i64) -> PodRecord {
    let requests = ResourceList {
        milli_cpu,
        memory: 500 << 20,
        ..ResourceList::default()
    };
    let charge = Charge {
        scoring_milli_cpu: milli_cpu,
        scoring_memory: requests.memory,
        requests,
    };
    PodRecord {
        uid: format!("uid-{n}").into(),
        namespace: "default".into(),
        name: format!("pod-{n}").into(),
        resource_version: 1,
        generation: 1,
        labels: Labels::default(),
        scheduler_name: "muster".into(),
        node_name: None,
        nominated_node_name: None,
        phase: PodPhase::Active,
        terminating: false,
        priority: Some(0),
        priority_class_name: None,
        scheduling_gates: Box::new([]),
        group: None,
        group_terms: None,
        running: false,
        turned_away: None,
        controller: None,
        spec: Arc::new(PodSpec {
            charge: charge.clone(),
            ..PodSpec::default()
        }),
        charge,
        condition: None,
    }
}

/// Tells the engine of a gang: its Workload, then its members.
pub fn add_gang(engine: &mut Engine, n_members: usize, milli_cpu: i64) {
    for input in gang_inputs(n_members, milli_cpu) {
        engine.handle(Time::ZERO, input);
    }
}

/// What tells of a gang: its Workload, then its members.
pub fn gang_inputs(n_members: usize, milli_cpu: i64) -> Vec<Input> {
    let workload = WorkloadRecord {
        namespace: "default".into(),
        name: "train".into(),
        uid: "uid-train".into(),
        resource_version: 1,
        pod_groups: vec![(
            "workers".into(),
            Ok(GroupPolicy::Gang {
                min_count: n_members as i32,
            }),
        )],
        when_broken: None,
    };
    let link = GroupLink::Workload {
        workload: "train".into(),
        pod_group: "workers".into(),
        replica_key: "".into(),
    };
    let members = (0..n_members).map(|n| PodRecord {
        group: Some(link.clone()),
        ..pod(n, milli_cpu)
    });
    let members = members.map(|member| Input::Applied(Object::Pod(Box::new(member))));
    std::iter::once(Input::Applied(Object::Workload(workload)))
        .chain(members)
        .collect()
}

/// Lets the engine work until it has nothing to do; gives how many effects came out.
pub fn drain(engine: &mut Engine) -> usize {
    let mut n_effects = 0;
    loop {
        let effect: Option<Effect> = engine.poll(Time::ZERO);
        n_effects += usize::from(effect.is_some());
        if effect.is_none() && engine.next_wakeup().is_none_or(|at| at > Time::ZERO) {
            return n_effects;
        }
    }
}
