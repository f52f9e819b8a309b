//! What happened: when pods came, found their node and ended; when groups started; and the notable events in order.

use crate::cluster::{Change, Cluster, Stored, phase_name};
use crate::controllers::job_end;
use crate::object::{Key, ObjectKind};
use muster_engine::{PodRef, Time};
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy};
use muster_framework::record::{PodPhase, PodRecord};
use std::collections::{BTreeMap, BTreeSet};

/// The life of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) created: Time,
    pub(crate) bound: Option<Time>,
    pub(crate) finished: Option<Time>,
}

/// The life of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupLife {
    /// Uids of its pods that exist.
    pub(crate) members: BTreeSet<Text>,
    /// Uids of those that have a node and did not fail.
    pub(crate) bound: BTreeSet<Text>,
    /// When as many as it needs had a node for the first time.
    pub(crate) started: Option<Time>,
    /// One of its pods had a node and failed, or is gone: what it has now says nothing of what it was given.
    pub(crate) has_lost: bool,
    /// How many had a node when that was last noted.
    noted: usize,
}

/// Something worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) at: Time,
    pub(crate) what: What,
    /// What makes two of the same sort one line: the pods' owner, for example.
    pub(crate) of: String,
    /// The object, and what is said of it alone.
    pub(crate) subject: String,
    pub(crate) detail: String,
}

/// The sorts of happenings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    NodeAppeared,
    NodeGone,
    NodeClosed,
    NodeOpened,
    NodeChanged,
    PodBound,
    PodWaits,
    PodSucceeded,
    PodFailed,
    PodDeleted,
    PodLost,
    GroupBound,
    GroupBroken,
    JobEnded,
    BindRefused,
}

/// The book that a simulation keeps.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) lives: BTreeMap<Text, Life>,
    pub(crate) groups: BTreeMap<GroupKey, GroupLife>,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) deleted: usize,
    /// Pods that exist and have a node.
    pub(crate) placed: usize,
    /// When something last changed beside the reasons of waiting pods.
    pub(crate) last_change: Time,
    /// Why each pod waited when that was last noted, in one word.
    reasons: BTreeMap<Text, Text>,
    /// Groups whose bound members changed in this instant.
    touched: BTreeSet<GroupKey>,
}

impl Ledger {
    pub(crate) fn note(&mut self, at: Time, what: What, of: &str, subject: String, detail: String) {
        self.happenings.push(Happening {
            at,
            what,
            of: of.to_owned(),
            subject,
            detail,
        });
    }

    /// Enters that a pod waits, with the message of that moment. Only a reason of another sort is news.
    pub(crate) fn waits(&mut self, now: Time, pod: &PodRef, reason: &Text, message: &str, cluster: &Cluster) {
        let known = self.reasons.insert(pod.uid.clone(), reason.clone());
        let stored = cluster
            .get(&Key::pod(&pod.namespace, &pod.name))
            .filter(|stored| stored.uid == pod.uid);
        let Some(stored) = stored.filter(|_| known.as_ref() != Some(reason)) else {
            return;
        };
        let group = stored.pod().and_then(group_of).map(|group| format!("group {group}"));
        let of = group.unwrap_or_else(|| owner_name(stored));
        self.note(
            now,
            What::PodWaits,
            &of,
            pod.to_string(),
            format!("{reason}: {message}"),
        );
    }

    /// Enters a change of the cluster.
    pub(crate) fn enter(&mut self, now: Time, change: &Change, cluster: &Cluster) {
        if !is_only_a_reason(change) {
            self.last_change = now;
        }
        match change.stored().key.kind {
            ObjectKind::Pod => self.pod(now, change, cluster),
            ObjectKind::Node => self.node(now, change),
            ObjectKind::Job => self.job(now, change),
            _ => {}
        }
    }

    fn node(&mut self, now: Time, change: &Change) {
        let closed = |stored: &Stored| stored.node().is_some_and(|node| node.unschedulable);
        let what = match (&change.before, &change.after) {
            (None, _) => What::NodeAppeared,
            (_, None) => What::NodeGone,
            (Some(before), Some(after)) => match (closed(before), closed(after)) {
                (false, true) => What::NodeClosed,
                (true, false) => What::NodeOpened,
                _ => What::NodeChanged,
            },
        };
        self.note(now, what, "", change.stored().key.name.to_string(), String::new());
    }

    fn job(&mut self, now: Time, change: &Change) {
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            return;
        };
        if let (None, Some(end)) = (job_end(&before.value), job_end(&after.value)) {
            self.note(now, What::JobEnded, end, after.key.path(), end.to_lowercase());
        }
    }

    fn pod(&mut self, now: Time, change: &Change, cluster: &Cluster) {
        let stored = change.stored().clone();
        let Some(pod) = stored.pod() else { return };
        let before = change.before.as_ref().and_then(|stored| stored.pod());
        let exists = change.after.is_some();
        if before.is_none() {
            self.lives.insert(
                pod.uid.clone(),
                Life {
                    created: now,
                    bound: None,
                    finished: None,
                },
            );
        }
        let was_placed = before.is_some_and(|before| before.node_name.is_some());
        if !was_placed && exists && pod.node_name.is_some() {
            self.placed += 1;
            self.bound(now, &stored, pod, cluster, before.is_none());
        }
        let was_active = before.is_none_or(|before| before.phase == PodPhase::Active);
        if was_active && pod.phase != PodPhase::Active {
            self.finished(now, &stored, pod);
        }
        if !exists {
            self.lives.remove(&pod.uid);
            self.reasons.remove(&pod.uid);
            self.deleted += 1;
            self.placed -= usize::from(was_placed);
            self.gone(now, &stored, pod, cluster);
        }
        self.group(pod, exists);
    }

    fn bound(&mut self, now: Time, stored: &Stored, pod: &PodRecord, cluster: &Cluster, from_the_start: bool) {
        if let Some(life) = self.lives.get_mut(&pod.uid) {
            life.bound = Some(now);
        }
        let in_gang = group_of(pod).is_some_and(|group| minimum(cluster, &group).is_some());
        // A gang's pods are told of as one, and a pod that came with its node found none.
        if !in_gang && !from_the_start {
            let node = pod.node_name.as_deref().unwrap_or_default();
            self.note(
                now,
                What::PodBound,
                &owner_name(stored),
                stored.key.path(),
                node.to_owned(),
            );
        }
    }

    fn finished(&mut self, now: Time, stored: &Stored, pod: &PodRecord) {
        if let Some(life) = self.lives.get_mut(&pod.uid) {
            life.finished = Some(now);
        }
        let what = if pod.phase == PodPhase::Succeeded {
            What::PodSucceeded
        } else {
            What::PodFailed
        };
        self.note(
            now,
            what,
            &owner_name(stored),
            stored.key.path(),
            phase_name(pod.phase).to_lowercase(),
        );
    }

    fn gone(&mut self, now: Time, stored: &Stored, pod: &PodRecord, cluster: &Cluster) {
        let lost = pod
            .node_name
            .as_deref()
            .filter(|node| cluster.get(&Key::node(node)).is_none());
        match lost {
            Some(node) if pod.phase == PodPhase::Active => {
                self.note(now, What::PodLost, node, stored.key.path(), node.to_owned());
            }
            _ => self.note(
                now,
                What::PodDeleted,
                &owner_name(stored),
                stored.key.path(),
                String::new(),
            ),
        }
    }

    fn group(&mut self, pod: &PodRecord, exists: bool) {
        let Some(key) = group_of(pod) else { return };
        let group = self.groups.entry(key.clone()).or_default();
        group.has_lost |= pod.node_name.is_some() && (!exists || pod.phase == PodPhase::Failed);
        let counts = exists && pod.node_name.is_some() && pod.phase != PodPhase::Failed;
        let changed = if counts {
            group.bound.insert(pod.uid.clone())
        } else {
            group.bound.remove(&pod.uid)
        };
        if exists {
            group.members.insert(pod.uid.clone());
        } else {
            group.members.remove(&pod.uid);
        }
        if changed {
            self.touched.insert(key);
        }
    }

    /// Notes what an instant has made of the gangs.
    pub(crate) fn close_instant(&mut self, now: Time, cluster: &Cluster) {
        for key in std::mem::take(&mut self.touched) {
            let Some(minimum) = minimum(cluster, &key) else {
                continue;
            };
            let Some(group) = self.groups.get_mut(&key) else {
                continue;
            };
            let (bound, members) = (group.bound.len(), group.members.len());
            let before = std::mem::replace(&mut group.noted, bound);
            if minimum <= bound {
                group.started.get_or_insert(now);
            }
            let what = match (before < bound, bound < minimum && minimum <= before) {
                (true, _) => What::GroupBound,
                (false, true) => What::GroupBroken,
                (false, false) => continue,
            };
            let detail = format!("{bound} of {members} bound (minimum {minimum})");
            self.note(now, what, &key.to_string(), key.to_string(), detail);
        }
    }
}

/// A change of nothing but conditions: a pod that waits has another reason to wait, or the same said again.
fn is_only_a_reason(change: &Change) -> bool {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let rest = |stored: &Stored| {
                stored.pod().map(|pod| {
                    (
                        pod.node_name.clone(),
                        pod.phase,
                        pod.terminating,
                        pod.generation,
                        pod.labels.clone(),
                    )
                })
            };
            rest(before).is_some() && rest(before) == rest(after)
        }
        _ => false,
    }
}

/// The group that a pod belongs to.
pub(crate) fn group_of(pod: &PodRecord) -> Option<GroupKey> {
    let link = pod.group.clone()?;
    Some(GroupKey {
        namespace: pod.namespace.clone(),
        link,
    })
}

/// What a group's policy object says, or its pods where they state the policy themselves and agree; none where it is
/// missing or unreadable.
pub(crate) fn policy(cluster: &Cluster, group: &GroupKey) -> Option<GroupPolicy> {
    let GroupLink::Labels { .. } = &group.link else {
        return policy_of_object(cluster, group);
    };
    let members = cluster
        .pods()
        .filter(|pod| pod.namespace == group.namespace && pod.group.as_ref() == Some(&group.link));
    let mut stated = members.map(|pod| pod.group_terms.as_ref()?.policy.clone().ok());
    let first = stated.next()??;
    stated.all(|other| other == Some(first)).then_some(first)
}

fn policy_of_object(cluster: &Cluster, group: &GroupKey) -> Option<GroupPolicy> {
    let (kinds, name) = group.link.policy_object()?;
    let keys = kinds.iter().filter_map(|kind| ObjectKind::watched_as(*kind));
    let mut stored = keys.filter_map(|kind| cluster.get(&Key::new(kind, &group.namespace, name)));
    let stored = stored.next()?;
    match &group.link {
        GroupLink::Workload { pod_group, .. } => {
            let groups = &stored.workload()?.pod_groups;
            let (_, policy) = groups.iter().find(|(name, _)| name == pod_group)?;
            policy.clone().ok()
        }
        _ => stored.pod_group()?.policy.clone().ok(),
    }
}

/// How many pods of a group must be bound together; none for a group that is no gang.
pub(crate) fn minimum(cluster: &Cluster, group: &GroupKey) -> Option<usize> {
    match policy(cluster, group)? {
        GroupPolicy::Gang { min_count } => usize::try_from(min_count).ok(),
        GroupPolicy::Basic => None,
    }
}

/// Who made a pod, as a person names it; a deployment's pods are the deployment's. Empty for a pod on its own.
pub(crate) fn owner_name(stored: &Stored) -> String {
    match &stored.owner {
        Some((Some(key), _)) => match (key.kind, key.name.rsplit_once('-')) {
            (ObjectKind::ReplicaSet, Some((stem, hash))) if is_template_hash(stored, hash) => Key {
                kind: ObjectKind::Deployment,
                namespace: key.namespace.clone(),
                name: stem.into(),
            }
            .to_string(),
            _ => key.to_string(),
        },
        _ => String::new(),
    }
}

fn is_template_hash(stored: &Stored, hash: &str) -> bool {
    crate::object::text_at(&stored.value, &["metadata", "labels", "pod-template-hash"]) == hash
}
