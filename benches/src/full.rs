//! An engine whose nodes are full of pods, and what it takes to decide where one pod more goes.

use crate::cluster::{Shape, app, node, node_of_placed, selects_app, shape_of_placed, spec};
use crate::{deleted, drain, idle_engine, list_all, pod};
use muster_engine::{BatchSettings, BindOutcome, EffectId, EffectKind, Engine, Input, Object, Outcome, Time};
use muster_framework::record::{Kind, PodRecord, SelectorOwnerRecord};
use muster_framework::rules::KubeMinor;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The application whose pods a service selects, and one that no service selects.
const WITH_SERVICE: usize = 1;
const WITHOUT_SERVICE: usize = 2;

/// An engine with full nodes, and the number of the next pod.
pub struct FullEngine {
    engine: Engine,
    next: usize,
}

fn record(n: usize, app_of: usize, shape: Shape) -> PodRecord {
    let spec = Arc::new(spec(app_of, shape));
    PodRecord {
        labels: app(app_of),
        charge: spec.charge.clone(),
        spec,
        ..pod(n, 0)
    }
}

impl FullEngine {
    /// So many nodes with so many pods on them, as [`Cluster`](crate::cluster::Cluster) has them, and a service.
    pub fn new(n_nodes: usize, n_pods: usize, batching: BatchSettings) -> FullEngine {
        let mut engine = idle_engine(KubeMinor::V1_37, batching);
        let mut tell = |object| engine.handle(Time::ZERO, Input::Applied(object));
        (0..n_nodes).for_each(|n| tell(Object::Node(node(n))));
        tell(Object::SelectorOwner(SelectorOwnerRecord {
            kind: Kind::Service,
            namespace: "default".into(),
            name: "service".into(),
            resource_version: 1,
            selector: Some(selects_app(WITH_SERVICE)),
        }));
        for n in 0..n_pods {
            let mut placed = record(n, n, shape_of_placed(n));
            placed.node_name = Some(format!("node-{}", node_of_placed(n, n_nodes)).into());
            tell(Object::Pod(Box::new(placed)));
        }
        list_all(&mut engine);
        drain(&mut engine);
        FullEngine { engine, next: n_pods }
    }

    /// A pod that is to be placed.
    pub fn pod(&mut self, shape: Shape) -> PodRecord {
        self.next += 1;
        let app_of = match shape {
            Shape::Service => WITH_SERVICE,
            _ => WITHOUT_SERVICE,
        };
        record(self.next, app_of, shape)
    }

    /// A pod to be spread by a selector that no pod has had before.
    pub fn pod_with_new_selector(&mut self) -> PodRecord {
        let mut pod = self.pod(Shape::ZoneSpread);
        let spec = Arc::make_mut(&mut pod.spec);
        for selector in spec
            .spread
            .iter_mut()
            .filter_map(|spread| spread.pods.selector.as_mut())
        {
            let requirement = &mut selector.requirements[0];
            let mut values = requirement.values.to_vec();
            values.push(format!("no-{}", self.next).into());
            requirement.values = values.into();
        }
        pod
    }

    /// A plain pod of the `n`th of many specs.
    pub fn pod_of_spec(&mut self, n: usize) -> PodRecord {
        let mut pod = self.pod(Shape::Plain);
        let spec = Arc::make_mut(&mut pod.spec);
        spec.charge.requests.milli_cpu += n as i64;
        spec.charge.scoring_milli_cpu += n as i64;
        pod.charge = spec.charge.clone();
        pod
    }

    /// Places a twin for good, so that the spec of its like is known.
    pub fn place_twin(&mut self, shape: Shape) {
        let twin = self.pod(shape);
        self.place(twin);
    }

    /// Likewise of the `n`th of many specs.
    pub fn place_twin_of_spec(&mut self, n: usize) {
        let twin = self.pod_of_spec(n);
        self.place(twin);
    }

    /// Hears of pods and goes on until nothing is left to do; gives how many effects came out.
    pub fn place_all(&mut self, pods: Vec<PodRecord>) -> usize {
        for pod in pods {
            self.engine
                .handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(pod))));
        }
        drain(&mut self.engine)
    }

    /// How long it takes from hearing of the pod to binding it. Afterwards the pod is gone.
    pub fn decide(&mut self, pod: PodRecord) -> Duration {
        let gone = deleted(&pod);
        let (took, bind) = self.place(pod);
        let outcome = Outcome::Bind(BindOutcome::Bound);
        self.engine.handle(Time::ZERO, Input::EffectDone { id: bind, outcome });
        self.engine.handle(Time::ZERO, gone);
        drain(&mut self.engine);
        took
    }

    fn place(&mut self, pod: PodRecord) -> (Duration, EffectId) {
        let input = Input::Applied(Object::Pod(Box::new(pod)));
        let start = Instant::now();
        self.engine.handle(Time::ZERO, input);
        loop {
            let effect = self.engine.poll(Time::ZERO).expect("the pod finds a node");
            if let EffectKind::Bind { .. } = effect.kind {
                return (start.elapsed(), effect.id);
            }
        }
    }
}
