//! What must always be true of a simulated cluster, and what must be true once it is at rest.

use crate::cluster::Cluster;
use crate::ledger::minimum;
use crate::object::Key;
use crate::simulation::Simulation;
use muster_engine::{PodRef, PodState};
use muster_framework::Text;
use muster_framework::record::PodPhase;
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
    check(simulation.cluster())?;
    match simulation.counters().bound_after_flush {
        0 => {}
        pods => return Err(Violation::MissedEvent(pods)),
    }
    check_groups(simulation)?;
    check_agreement(simulation)
}

fn check_groups(simulation: &Simulation) -> Result<(), Violation> {
    for (key, group) in &simulation.ledger().groups {
        let Some(minimum) = minimum(simulation.cluster(), key) else {
            continue;
        };
        let bound = group.bound.len();
        // A gang that had started may have lost members since: that is not the scheduler's doing.
        if group.started.is_none() && 0 < bound && bound < minimum {
            return Err(Violation::PartialGang {
                group: key.to_string(),
                bound,
                minimum,
            });
        }
    }
    Ok(())
}

fn check_agreement(simulation: &Simulation) -> Result<(), Violation> {
    let statuses = simulation.engine().pods();
    let known: BTreeMap<&Text, _> = statuses.iter().map(|status| (&status.pod.uid, &status.state)).collect();
    let ours = &simulation.settings().scheduler_names;
    for pod in simulation
        .cluster()
        .pods()
        .filter(|pod| ours.contains(&pod.scheduler_name))
    {
        let reference = PodRef {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        };
        let server = match (pod.phase, &pod.node_name) {
            (PodPhase::Active, Some(node)) => format!("on {node}"),
            (PodPhase::Active, None) if pod.terminating => continue,
            (PodPhase::Active, None) => "waiting".to_owned(),
            _ => "finished".to_owned(),
        };
        let scheduler = match known.get(&pod.uid) {
            Some(PodState::Bound { node }) => format!("on {node}"),
            Some(PodState::Queued { message, .. }) => {
                if message.is_empty() {
                    return Err(Violation::NoReason(reference));
                }
                if pod.condition.is_none() {
                    return Err(Violation::NoCondition(reference));
                }
                "waiting".to_owned()
            }
            Some(PodState::Binding { node }) => format!("binding to {node}"),
            // The engine may forget what is over.
            Some(PodState::Finished) | None if server == "finished" => continue,
            Some(PodState::Finished) => "finished".to_owned(),
            None => "unknown".to_owned(),
        };
        if scheduler != server {
            return Err(Violation::Disagreement {
                pod: reference,
                scheduler,
                server,
            });
        }
    }
    let gone = statuses.iter().find(|status| {
        let key = Key::pod(&status.pod.namespace, &status.pod.name);
        simulation
            .cluster()
            .get(&key)
            .is_none_or(|stored| stored.uid != status.pod.uid)
    });
    match gone {
        Some(status) => Err(Violation::Disagreement {
            pod: status.pod.clone(),
            scheduler: format!("{:?}", status.state),
            server: "gone".to_owned(),
        }),
        None => Ok(()),
    }
}
