//! What follows from a change of the cluster: watch events, what kubelets do, what controllers do, the book.

use super::occurrence::Occurrence;
use super::{Simulation, slot};
use crate::cluster::{Change, Cluster, Stored};
use crate::object::{Key, ObjectKind, text_at};
use crate::scenario::{RUN_FOR, span_annotation};
use muster_engine::Input;
use muster_framework::Text;
use muster_framework::record::PodPhase;

impl Simulation {
    /// Lets everything follow from the cluster's changes until nothing more does.
    pub(super) fn settle(&mut self) {
        self.follow();
        while let Some(owner) = self.concerned.pop_first() {
            if let Err(refusal) = self.controllers.reconcile(&mut self.cluster, &owner) {
                self.refuse(format!("{owner}: {refusal}"));
            }
            self.follow();
        }
    }

    /// What follows from the cluster's changes, except for what controllers do: watch events, kubelets, the book.
    pub(super) fn follow(&mut self) {
        loop {
            let changes = self.cluster.drain_changes();
            if changes.is_empty() {
                return;
            }
            for change in changes {
                self.ledger.enter(self.now, &change, &self.cluster);
                self.watch(&change);
                self.kubelet(&change);
                self.concerned.extend(concerned(&change, &self.cluster));
            }
        }
    }

    /// Plans the watch event of a change.
    fn watch(&mut self, change: &Change) {
        let Some(kind) = change.stored().key.kind.watched().filter(|_| self.watching) else {
            return;
        };
        let input = match &change.after {
            Some(stored) => match stored.record.clone() {
                Some(record) => Input::Applied(record),
                None => return,
            },
            None => {
                let mut key = change.stored().object_key(kind);
                key.resource_version = change.resource_version;
                Input::Deleted(key)
            }
        };
        let lag = self.delay(self.timing.watch_lag, self.timing.watch_jitter);
        let stream = &mut self.streams[slot(kind)];
        let at = (self.now + lag).max(stream.latest);
        stream.latest = at;
        stream.under_way += 1;
        let stream = stream.number;
        self.plan(at, Occurrence::Tell { input, kind, stream });
    }

    /// What kubelets, and the collector of pods without a node, do about a change.
    fn kubelet(&mut self, change: &Change) {
        let Some(after) = &change.after else {
            let gone = change.stored();
            if gone.key.kind == ObjectKind::Node {
                let pods: Vec<Key> = self
                    .cluster
                    .pods_on(&gone.key.name)
                    .map(|pod| Key::pod(&pod.namespace, &pod.name))
                    .collect();
                for pod in pods {
                    self.cluster.delete(&pod);
                }
            }
            return;
        };
        let placed = |stored: &Stored| stored.pod().and_then(|pod| pod.node_name.clone());
        let Some(node) = placed(after) else { return };
        if change.before.as_ref().is_some_and(|before| placed(before).is_some()) {
            return;
        }
        let (pod, uid) = (after.key.clone(), after.uid.clone());
        if self.cluster.get(&Key::node(&node)).is_none() && self.engine.is_synced() {
            self.plan(self.now, Occurrence::Remove { pod, uid });
        } else {
            self.plan(self.now + self.timing.pod_start, Occurrence::Start { pod, uid });
        }
    }

    pub(super) fn start(&mut self, key: &Key, uid: &Text) {
        let Some(stored) = self.cluster.get(key).filter(|stored| stored.uid == *uid).cloned() else {
            return;
        };
        if stored.pod().is_none_or(|pod| pod.phase != PodPhase::Active) {
            return;
        }
        let _ = self.cluster.set_phase(key, "Running");
        let endless = [ObjectKind::ReplicaSet, ObjectKind::StatefulSet];
        let restarts = matches!(&stored.owner, Some((Some(owner), _)) if endless.contains(&owner.kind));
        if let Some(span) = span_annotation(&stored.value, RUN_FOR).filter(|_| !restarts) {
            let finish = Occurrence::Finish {
                pod: key.clone(),
                uid: uid.clone(),
                phase: PodPhase::Succeeded,
            };
            self.plan(self.now + span.0, finish);
        }
    }
}

/// The controllers that have to look at what they own because of a change.
pub(crate) fn concerned(change: &Change, cluster: &Cluster) -> Vec<Key> {
    let stored = change.stored();
    match stored.key.kind {
        kind if kind.is_controller() => {
            let owner = stored.owner.as_ref().and_then(|(key, _)| key.clone());
            [Some(stored.key.clone()), owner].into_iter().flatten().collect()
        }
        // Pods that were refused for want of a class may come now.
        ObjectKind::PriorityClass => {
            let kinds = ObjectKind::ALL.into_iter().filter(|kind| kind.is_controller());
            kinds
                .flat_map(|kind| cluster.list(kind).map(|stored| stored.key.clone()))
                .collect()
        }
        ObjectKind::Pod => {
            let waits_for_running =
                matches!(&stored.owner, Some((Some(key), _)) if key.kind == ObjectKind::StatefulSet);
            let state = |stored: &Stored| {
                let runs = waits_for_running && text_at(&stored.value, &["status", "phase"]) == "Running";
                stored.pod().map(|pod| (pod.phase, pod.terminating, runs))
            };
            let same = change.before.as_deref().and_then(state) == change.after.as_deref().and_then(state);
            let owner = stored.owner.as_ref().and_then(|(key, _)| key.clone());
            owner.filter(|_| !same).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
