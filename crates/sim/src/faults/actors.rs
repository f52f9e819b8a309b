//! Users, kubelets, node controllers, and the rival.

use super::chaos::{mix, subject};
use super::objects::{self, TAINT};
use super::plan::Act;
use super::profile::FaultKind;
use super::world::{Occurrence, World};
use crate::cluster::{Change, Stored, phase_name};
use crate::object::{Key, ObjectKind, object_at};
use crate::scenario::{RUN_FOR, span_annotation};
use muster_engine::PodRef;
use muster_framework::Text;
use muster_framework::group::GroupPolicy;
use muster_framework::record::{PodPhase, PodRecord};
use serde_json::json;
use std::time::Duration;

/// How long the collector of pods takes to notice that their node is gone.
const COLLECTED_AFTER: Duration = Duration::from_millis(1200);

impl World {
    /// Somebody does what the plan says. What makes no sense any more is left out.
    pub(super) fn act(&mut self, number: usize) {
        let planned = self.plan[number].clone();
        self.note(|_| planned.act.to_string());
        let done = match planned.act {
            Act::Apply(object) => self.cluster.apply(object).is_ok(),
            Act::Delete(key) => self.cluster.delete(&key),
            Act::Cordon { node, closed } => self.cluster.cordon(&node, closed).is_ok(),
            Act::Taint { node, on } => self.taint(&node, on),
            Act::Resize { node, cpu } => self
                .cluster
                .update(&Key::node(&node), |node| {
                    object_at(node, &["status", "allocatable"]).insert("cpu".to_owned(), json!(cpu.to_string()));
                })
                .is_ok(),
            Act::DeletePod { pick } => self.user_deletes(pick),
            Act::SetMinCount { key, min_count } => self.set_min_count(&key, min_count),
            Act::Ungate { pod } => self
                .cluster
                .update(&Key::pod("default", &pod), |pod| {
                    object_at(pod, &["spec"]).remove("schedulingGates");
                })
                .is_ok(),
            Act::RivalBinds {
                name,
                cpu,
                run_for,
                pick,
                crowds,
            } => self.rival_binds(&name, cpu, run_for, pick, crowds),
            Act::RivalTakes { pick } => self.rival_takes(pick),
        };
        if let Some(kind) = planned.counts_as.filter(|_| done) {
            self.counted(kind);
        }
        self.note_raised();
    }

    /// Notes the gangs whose `minCount` is higher than it once was.
    fn note_raised(&mut self) {
        for stored in self.cluster.list(ObjectKind::Workload) {
            for (group, policy) in stored.workload().iter().flat_map(|workload| &workload.pod_groups) {
                let Ok(GroupPolicy::Gang { min_count }) = policy else {
                    continue;
                };
                let key = (stored.key.namespace.clone(), stored.key.name.clone(), group.clone());
                let (least, raised) = self.judge.min_counts.entry(key).or_insert((*min_count, false));
                *raised |= *least < *min_count;
                *least = (*least).min(*min_count);
            }
        }
    }

    fn taint(&mut self, node: &str, on: bool) -> bool {
        let edited = self.cluster.update(&Key::node(node), |node| {
            let spec = object_at(node, &["spec"]);
            if on {
                spec.insert("taints".to_owned(), json!([{"key": TAINT, "effect": "NoSchedule"}]));
            } else {
                spec.remove("taints");
            }
            crate::admission::taint_as_cordoned(node);
        });
        edited.is_ok()
    }

    fn set_min_count(&mut self, key: &Key, min_count: u64) -> bool {
        let edited = self.cluster.update(key, |workload| {
            if let Some(gang) = workload.pointer_mut("/spec/podGroups/0/policy/gang") {
                gang["minCount"] = json!(min_count);
            }
        });
        edited.is_ok()
    }

    fn our_live_pods(&self) -> Vec<PodRecord> {
        self.ours()
            .filter(|pod| pod.phase == PodPhase::Active)
            .cloned()
            .collect()
    }

    fn user_deletes(&mut self, pick: u64) -> bool {
        let pods = self.our_live_pods();
        let Some(pod) = nth(&pods, pick) else { return false };
        let key = Key::pod(&pod.namespace, &pod.name);
        self.note(|_| format!("it is {key}"));
        self.delete_pod(&key);
        true
    }

    /// Deletes a pod as the API server does: one that runs gets its grace.
    pub(super) fn delete_pod(&mut self, key: &Key) {
        let Some(pod) = self.cluster.get(key).and_then(|stored| stored.pod()).cloned() else {
            return;
        };
        if pod.node_name.is_none() || pod.phase != PodPhase::Active {
            self.cluster.delete(key);
        } else if !pod.terminating && self.cluster.begin_deletion(key).is_ok() {
            let grace = self.chaos.between(subject(&["grace", &key.name]), 100, 2000);
            let at = self.now + Duration::from_millis(grace);
            let removed = Occurrence::Remove {
                pod: key.clone(),
                uid: pod.uid,
            };
            self.agenda.plan(at, removed);
        }
    }

    fn rival_binds(&mut self, name: &str, cpu: u64, run_for: u64, pick: u64, crowds: bool) -> bool {
        let wanted = i64::try_from(cpu).unwrap_or(i64::MAX).saturating_mul(1000);
        let nodes: Vec<Text> = self
            .cluster
            .nodes()
            .filter_map(|node| {
                let (used, pods) = self.cluster.usage_of(&node.name);
                let fits = used.milli_cpu + wanted <= node.allocatable.milli_cpu && pods < node.allowed_pods;
                (fits != crowds).then(|| node.name.clone())
            })
            .collect();
        let Some(node) = nth(&nodes, pick).cloned() else {
            return false;
        };
        if self.cluster.apply(objects::rivals(name, cpu, run_for)).is_err() {
            return false;
        }
        self.bind_for_rival(&Key::pod("default", name), &node)
    }

    fn rival_takes(&mut self, pick: u64) -> bool {
        let mut pods = self.our_live_pods();
        pods.retain(|pod| pod.node_name.is_none() && pod.scheduling_gates.is_empty());
        let nodes: Vec<Text> = self.cluster.nodes().map(|node| node.name.clone()).collect();
        let (Some(pod), Some(node)) = (nth(&pods, pick), nth(&nodes, mix(&[pick]))) else {
            return false;
        };
        self.bind_for_rival(&Key::pod(&pod.namespace, &pod.name), node)
    }

    fn bind_for_rival(&mut self, key: &Key, node: &Text) -> bool {
        let Some(uid) = self.cluster.get(key).map(|stored| stored.uid.clone()) else {
            return false;
        };
        let pod = PodRef {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: uid.clone(),
        };
        self.note(|_| format!("the rival binds {pod} to {node}"));
        self.judge.rivals.insert(uid);
        self.cluster.bind(&pod, node).is_ok()
    }

    // ---- kubelets --------------------------------------------------------------------------------------------------

    /// What kubelets, and the collector of pods without a node, do about a change.
    pub(super) fn kubelet(&mut self, change: &Change) {
        let Some(after) = &change.after else {
            return self.node_gone(change.stored());
        };
        let placed = |stored: &Stored| stored.pod().and_then(|pod| pod.node_name.clone());
        let was_placed = change.before.as_ref().is_some_and(|before| placed(before).is_some());
        let Some(node) = placed(after).filter(|_| !was_placed) else {
            return;
        };
        let (pod, uid) = (after.key.clone(), after.uid.clone());
        if self.cluster.get(&Key::node(&node)).is_none() {
            let at = self.now + COLLECTED_AFTER;
            return self.agenda.plan(at, Occurrence::Remove { pod, uid });
        }
        let start = self.chaos.between(subject(&["start", &pod.name]), 20, 800);
        let at = self.now + Duration::from_millis(start);
        self.agenda.plan(at, Occurrence::Start { pod, uid });
    }

    fn node_gone(&mut self, gone: &Stored) {
        if gone.key.kind != ObjectKind::Node {
            return;
        }
        let pods: Vec<(Key, Text)> = self
            .cluster
            .pods_on(&gone.key.name)
            .map(|pod| (Key::pod(&pod.namespace, &pod.name), pod.uid.clone()))
            .collect();
        for (pod, uid) in pods {
            let at = self.now + COLLECTED_AFTER;
            self.agenda.plan(at, Occurrence::Remove { pod, uid });
        }
    }

    fn live(&self, key: &Key, uid: &str) -> Option<PodRecord> {
        let stored = self.cluster.get(key).filter(|stored| &*stored.uid == uid)?;
        stored.pod().filter(|pod| pod.phase == PodPhase::Active).cloned()
    }

    /// The kubelet of its node looks at a pod that was bound to it.
    pub(super) fn kubelet_takes(&mut self, key: &Key, uid: &str) {
        let Some(pod) = self.live(key, uid).filter(|pod| !pod.terminating) else {
            return;
        };
        let name = subject(&["kubelet", &pod.name]);
        if let Some(reason) = self.turned_away(&pod, name) {
            self.note(|_| format!("the kubelet turns {key} away: {reason}"));
            let failed = self.cluster.update(key, |pod| {
                let status = object_at(pod, &["status"]);
                status.insert("phase".to_owned(), json!("Failed"));
                status.insert("reason".to_owned(), json!(reason));
            });
            return self.certain(failed);
        }
        let running = self.cluster.set_phase(key, "Running");
        self.certain(running);
        let Some(stored) = self.cluster.get(key) else { return };
        let span = span_annotation(&stored.value, RUN_FOR);
        let fails = self.chaos.strikes(self.now, FaultKind::PodFails, name);
        let (pod, uid) = (key.clone(), Text::from(uid));
        if fails {
            let at = self.now + Duration::from_millis(self.chaos.between(name, 50, 5000));
            let phase = PodPhase::Failed;
            self.agenda.plan(at, Occurrence::Finish { pod, uid, phase });
        } else if let Some(span) = span {
            let phase = PodPhase::Succeeded;
            self.agenda
                .plan(self.now + span.0, Occurrence::Finish { pod, uid, phase });
        }
    }

    fn turned_away(&mut self, pod: &PodRecord, name: u64) -> Option<&'static str> {
        if self.chaos.strikes(self.now, FaultKind::KubeletRefuses, name) {
            return Some("UnexpectedAdmissionError");
        }
        let node_name = pod.node_name.as_ref()?;
        let node = self.cluster.get(&Key::node(node_name))?.node()?;
        // Those that it has taken in already, and this one.
        let others = self.cluster.pods_on(node_name);
        let taken = others.filter(|other| other.phase == PodPhase::Active && (other.running || other.uid == pod.uid));
        let (mut milli_cpu, mut pods) = (0, 0);
        for other in taken {
            milli_cpu += other.charge.requests.milli_cpu;
            pods += 1;
        }
        if node.allowed_pods < pods {
            return Some("OutOfpods");
        }
        (node.allocatable.milli_cpu < milli_cpu).then_some("OutOfcpu")
    }

    /// A pod ends by itself.
    pub(super) fn pod_ends(&mut self, key: &Key, uid: &str, phase: PodPhase) {
        if self.live(key, uid).is_some() {
            self.note(|_| format!("{key} ends: {}", phase_name(phase)));
            let ended = self.cluster.set_phase(key, phase_name(phase));
            self.certain(ended);
        }
    }

    /// A pod's grace is over, or its node is gone.
    pub(super) fn pod_removed(&mut self, key: &Key, uid: &str) {
        if self.cluster.get(key).is_some_and(|stored| &*stored.uid == uid) {
            self.note(|_| format!("{key} is removed"));
            self.cluster.delete(key);
        }
    }

    /// What cannot be refused: it was looked up a moment ago.
    fn certain(&mut self, done: Result<(), crate::admission::Refusal>) {
        if let Err(refusal) = done {
            self.note(|_| format!("the API server refuses what nobody may refuse: {refusal}"));
        }
    }
}

/// One of several, by a number that knows nothing of how many there are.
fn nth<T>(of: &[T], pick: u64) -> Option<&T> {
    let at = pick.checked_rem(of.len() as u64)?;
    of.get(usize::try_from(at).ok()?)
}
