//! What must always be true of a simulated cluster, and what must be true once it is at rest.

use crate::cluster::Cluster;
use crate::ledger::minimum;
use crate::object::Key;
use crate::simulation::Simulation;
use muster_engine::{PodRef, PodState};
use muster_framework::Text;
use muster_framework::record::{PodPhase, PodRecord};
use std::collections::{BTreeMap, BTreeSet};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A bind of ours took more from a node than it has.
    #[error("binding {pod} to {node} took more {resource} than the node has")]
    OverCommitted {
        /// The pod.
        pod: PodRef,
        /// The node.
        node: Text,
        /// The resource.
        resource: Text,
    },
    /// A pod was bound more than once.
    #[error("{0} was bound twice")]
    BoundTwice(PodRef),
    /// A gang that never had as many pods bound as it needs has some.
    #[error("gang {group} rests with {bound} bound, it needs {minimum}")]
    PartialGang {
        /// The group.
        group: String,
        /// How many are bound.
        bound: usize,
        /// How many must be.
        minimum: usize,
    },
    /// A pod waits, and the scheduler says no reason.
    #[error("{0} waits without a reason")]
    NoReason(PodRef),
    /// A pod waits, and its status does not say so.
    #[error("{0} waits and has no PodScheduled condition")]
    NoCondition(PodRef),
    /// Scheduler and API server do not agree on a pod.
    #[error("{pod}: the scheduler says {scheduler}, the API server says {server}")]
    Disagreement {
        /// The pod.
        pod: PodRef,
        /// What the scheduler says.
        scheduler: String,
        /// What the API server says.
        server: String,
    },
    /// A pod was bound only because the scheduler looks at everything again from time to time.
    #[error("{0} pods were bound only by the flush: an event was missed")]
    MissedEvent(u64),
}

/// What must be true at every moment.
///
/// Over-commitment is judged by the API server's state at the moment of the bind: scenarios in which others bind pods,
/// or nodes shrink, within the watch lag can break it through nobody's fault.
///
/// # Errors
/// The first thing that is not true.
pub fn check(cluster: &Cluster) -> Result<(), Violation> {
    let mut bound = BTreeSet::new();
    for binding in cluster.bindings() {
        if !bound.insert(&binding.pod.uid) {
            return Err(Violation::BoundTwice(binding.pod.clone()));
        }
        if let Some(resource) = &binding.over {
            let (pod, node) = (binding.pod.clone(), binding.node.clone());
            return Err(Violation::OverCommitted {
                pod,
                node,
                resource: resource.clone(),
            });
        }
    }
    Ok(())
}

/// What must be true as well when nothing can change any more.
///
/// # Errors
/// The first thing that is not true.
pub fn check_at_rest(simulation: &Simulation) -> Result<(), Violation> {
    violations_at_rest(simulation).into_iter().next().map_or(Ok(()), Err)
}

/// Everything that is not as it must be when nothing can change any more.
pub fn violations_at_rest(simulation: &Simulation) -> Vec<Violation> {
    let mut found: Vec<Violation> = check(simulation.cluster()).err().into_iter().collect();
    match simulation.counters().bound_after_flush {
        0 => {}
        pods => found.push(Violation::MissedEvent(pods)),
    }
    partial_gangs(simulation, &mut found);
    disagreements(simulation, &mut found);
    found
}

fn partial_gangs(simulation: &Simulation, found: &mut Vec<Violation>) {
    for (key, group) in &simulation.ledger().groups {
        let Some(minimum) = minimum(simulation.cluster(), key) else {
            continue;
        };
        let bound = group.bound.len();
        // A gang that had started may be less now, and one that lost members may never have been whole.
        let excused = group.started.is_some() || group.has_lost;
        if !excused && 0 < bound && bound < minimum {
            let group = key.to_string();
            found.push(Violation::PartialGang { group, bound, minimum });
        }
    }
}

/// Where scheduler and API server say different things of a pod, and who waits without a word.
fn disagreements(simulation: &Simulation, found: &mut Vec<Violation>) {
    let statuses = simulation.engine().pods();
    let known: BTreeMap<&Text, _> = statuses.iter().map(|status| (&status.pod.uid, &status.state)).collect();
    let ours: Vec<&Text> = simulation.settings().scheduler_names().collect();
    for pod in simulation.cluster().pods() {
        if ours.contains(&&pod.scheduler_name) {
            found.extend(disagreement(pod, known.get(&pod.uid).copied()));
        }
    }
    for status in &statuses {
        let key = Key::pod(&status.pod.namespace, &status.pod.name);
        let stored = simulation.cluster().get(&key);
        if stored.is_none_or(|stored| stored.uid != status.pod.uid) {
            let (pod, scheduler) = (status.pod.clone(), format!("{:?}", status.state));
            let server = "gone".to_owned();
            found.push(Violation::Disagreement { pod, scheduler, server });
        }
    }
}

pub(crate) fn disagreement(pod: &PodRecord, known: Option<&PodState>) -> Option<Violation> {
    let reference = PodRef {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
    };
    let server = match (pod.phase, &pod.node_name) {
        (PodPhase::Active, Some(node)) => format!("on {node}"),
        (PodPhase::Active, None) if pod.terminating => return None,
        (PodPhase::Active, None) => "waiting".to_owned(),
        _ => "finished".to_owned(),
    };
    let scheduler = match known {
        Some(PodState::Bound { node }) => format!("on {node}"),
        // Of its own gates the API server has told already.
        Some(PodState::Queued { message, .. }) if message.is_empty() && pod.scheduling_gates.is_empty() => {
            return Some(Violation::NoReason(reference));
        }
        Some(PodState::Queued { .. }) if pod.condition.is_none() => return Some(Violation::NoCondition(reference)),
        Some(PodState::Queued { .. }) => "waiting".to_owned(),
        Some(PodState::Binding { node }) => format!("binding to {node}"),
        // The engine may forget what is over.
        Some(PodState::Finished) | None if server == "finished" => return None,
        Some(PodState::Finished) => "finished".to_owned(),
        None => "unknown".to_owned(),
    };
    let pod = reference;
    (scheduler != server).then_some(Violation::Disagreement { pod, scheduler, server })
}
