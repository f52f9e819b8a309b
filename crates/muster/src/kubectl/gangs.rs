//! What the API alone tells about pod groups: their policies, their members, and what their statuses say.
//!
//! Objects go in as the API server writes them, rows come out. A live scheduler is not asked, so a row says what *is*, and
//! what Muster has last written about it.

use jiff::Timestamp;
use muster_api::DecodeError;
use muster_api::paths::api_version_kind;
use muster_engine::{Object, WaitReason};
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy, GroupStatus};
use muster_framework::labels::Labels;
use muster_framework::record::{Kind, PodPhase, PodRecord};
use muster_framework::selector::LabelSelector;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The kinds that hold policies, and pods.
pub(crate) const KINDS: [Kind; 5] = [
    Kind::Workload,
    Kind::PodGroup,
    Kind::PodGroupV1Alpha2,
    Kind::CoschedulingPodGroup,
    Kind::Pod,
];

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Status {
    /// It has no members, and needs none.
    Empty,
    /// Fewer than it needs have a node, and none has one.
    Waiting,
    /// Some have a node, fewer than it needs.
    Partial,
    /// As many as it needs have a node.
    Scheduled,
    /// All members have ended, and enough of them well.
    Finished,
    /// All members have ended, and too few of them well.
    Failed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Empty => "Empty",
            Status::Waiting => "Waiting",
            Status::Partial => "Partial",
            Status::Scheduled => "Scheduled",
            Status::Finished => "Finished",
            Status::Failed => "Failed",
        }
    }
}

/// A pod group, as it is shown. Its JSON has these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Gang {
    pub(crate) namespace: String,
    /// As messages name it, without the namespace: `train`, `train/workers[0]`.
    pub(crate) name: String,
    /// How it is written: `Workload`, `PodGroup/v1beta1`, `PodGroup/v1alpha2`, `coscheduling` or `labels`.
    pub(crate) dialect: &'static str,
    /// The object that holds its policy, as kubectl names it; none where members state it themselves.
    pub(crate) object: Option<String>,
    /// None: it is no gang, or its policy is missing or makes no sense.
    pub(crate) min_count: Option<i32>,
    /// Members that are pending, have a node or have succeeded; those that are being deleted are left out.
    pub(crate) members: u32,
    /// Those of them that have a node or have succeeded.
    pub(crate) bound: u32,
    pub(crate) status: Status,
    /// Why it waits, in one word; empty when it does not.
    pub(crate) reason: String,
    /// The same as a sentence.
    pub(crate) message: String,
    /// The schedulers that its members name.
    pub(crate) schedulers: BTreeSet<String>,
    /// Of its object, else of its oldest member.
    pub(crate) creation_timestamp: Option<Timestamp>,
}

/// Everything that was listed.
#[derive(Debug, Default)]
pub(crate) struct Gangs {
    policies: BTreeMap<(Kind, Text, Text), Policy>,
    members: BTreeMap<(Text, Text), Member>,
    not_served: BTreeSet<Kind>,
}

/// An object that holds the policy of one group or several.
#[derive(Debug)]
struct Policy {
    about: About,
    /// By the name of the pod group in a Workload; with an empty name elsewhere.
    groups: Vec<(Text, Result<GroupPolicy, Text>)>,
    status: Option<GroupStatus>,
}

#[derive(Debug)]
struct Member {
    about: About,
    key: GroupKey,
    pod: Box<PodRecord>,
}

/// What records do not keep.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "labels")]
    labels: Labels,
}

fn labels<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let labels: Option<BTreeMap<String, String>> = Deserialize::deserialize(deserializer)?;
    Ok(labels.unwrap_or_default().into_iter().collect())
}

impl About {
    /// What is missing or ill-formed is left out: it decides nothing.
    fn of(object: &[u8]) -> About {
        #[derive(Deserialize)]
        struct Whole {
            metadata: About,
        }
        serde_json::from_slice::<Whole>(object)
            .map(|whole| whole.metadata)
            .unwrap_or_default()
    }
}

impl Gangs {
    /// The API server has no such kind.
    pub(crate) fn not_served(&mut self, kind: Kind) {
        self.not_served.insert(kind);
    }

    /// Forgets all objects of a kind: it is listed anew.
    pub(crate) fn clear(&mut self, kind: Kind) {
        self.not_served.remove(&kind);
        if kind == Kind::Pod {
            self.members.clear();
        } else {
            self.policies.retain(|(known, ..), _| *known != kind);
        }
    }

    /// Takes an object as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn apply(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), DecodeError> {
        let about = About::of(bytes);
        match muster_api::decode(kind, bytes)? {
            Object::Pod(pod) => self.apply_pod(about, pod),
            Object::Workload(workload) => {
                let policy = Policy {
                    about,
                    groups: workload.pod_groups,
                    status: None,
                };
                self.policies.insert((kind, workload.namespace, workload.name), policy);
            }
            Object::PodGroup(group) => {
                let policy = Policy {
                    about,
                    groups: vec![("".into(), group.policy)],
                    status: group.status,
                };
                self.policies.insert((kind, group.namespace, group.name), policy);
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_pod(&mut self, about: About, pod: Box<PodRecord>) {
        let place = (pod.namespace.clone(), pod.name.clone());
        match &pod.group {
            Some(link) => {
                let key = GroupKey {
                    namespace: pod.namespace.clone(),
                    link: link.clone(),
                };
                self.members.insert(place, Member { about, key, pod });
            }
            None => drop(self.members.remove(&place)),
        }
    }

    /// Forgets an object that is gone.
    pub(crate) fn remove(&mut self, kind: Kind, bytes: &[u8]) {
        let key = muster_api::object_key(kind, bytes);
        if kind == Kind::Pod {
            self.members.remove(&(key.namespace, key.name));
        } else {
            self.policies.remove(&(kind, key.namespace, key.name));
        }
    }

    /// The groups, sorted by namespace, name and dialect. `selector` asks for labels of the policy object; where there is
    /// none, for those of any member.
    pub(crate) fn rows(&self, selector: &LabelSelector) -> Vec<Gang> {
        let mut members: BTreeMap<GroupKey, Vec<&Member>> = BTreeMap::new();
        for member in self.members.values() {
            members.entry(member.key.clone()).or_default().push(member);
        }
        for key in self.keys_of_policies() {
            // The pod group of a Workload has no gang of its own when all members have replica keys.
            let has_replicas = members.keys().any(|other| is_replica_of(other, &key));
            if !has_replicas {
                members.entry(key).or_default();
            }
        }
        let mut rows: Vec<Gang> = members
            .iter()
            .filter(|(key, members)| self.is_selected(key, members, selector))
            .map(|(key, members)| self.row(key, members))
            .collect();
        rows.sort_by(|a, b| (&a.namespace, &a.name, a.dialect).cmp(&(&b.namespace, &b.name, b.dialect)));
        rows
    }

    fn keys_of_policies(&self) -> impl Iterator<Item = GroupKey> {
        self.policies.iter().flat_map(|((kind, namespace, name), policy)| {
            policy.groups.iter().map(|(pod_group, _)| GroupKey {
                namespace: namespace.clone(),
                link: match kind {
                    Kind::Workload => GroupLink::Workload {
                        workload: name.clone(),
                        pod_group: pod_group.clone(),
                        replica_key: "".into(),
                    },
                    Kind::CoschedulingPodGroup => GroupLink::Coscheduling { name: name.clone() },
                    _ => GroupLink::PodGroup { name: name.clone() },
                },
            })
        })
    }

    fn policy(&self, key: &GroupKey) -> Option<(Kind, &Policy)> {
        let (kinds, name) = key.link.policy_object()?;
        kinds.iter().find_map(|kind| {
            let policy = self.policies.get(&(*kind, key.namespace.clone(), name.clone()))?;
            Some((*kind, policy))
        })
    }

    fn is_selected(&self, key: &GroupKey, members: &[&Member], selector: &LabelSelector) -> bool {
        match (self.policy(key), key.link.policy_object()) {
            (Some((_, policy)), _) => selector.matches(&policy.about.labels),
            // The object is missing, and has no labels.
            (None, Some(_)) => selector.matches(&Labels::default()),
            (None, None) => members.iter().any(|member| selector.matches(&member.about.labels)),
        }
    }

    fn row(&self, key: &GroupKey, members: &[&Member]) -> Gang {
        let policy = self.policy(key);
        let (min_count, hold) = self.min_count(key, policy, members);
        let counted = Counted::of(members);
        let status = counted.status(min_count);
        let waits = matches!(status, Status::Waiting | Status::Partial);
        let (reason, message) = if waits {
            why(policy.map(|(_, policy)| policy), members, hold, &counted, min_count)
        } else {
            (String::new(), String::new())
        };
        let created = policy.and_then(|(_, policy)| policy.about.creation_timestamp);
        let oldest = || {
            members
                .iter()
                .filter_map(|member| member.about.creation_timestamp)
                .min()
        };
        Gang {
            namespace: key.namespace.to_string(),
            name: name(key),
            dialect: dialect(key, policy.map(|(kind, _)| kind)),
            object: object(key, policy.map(|(kind, _)| kind)),
            min_count,
            members: counted.pending + counted.bound,
            bound: counted.bound,
            status,
            reason,
            message,
            schedulers: members
                .iter()
                .map(|member| member.pod.scheduler_name.to_string())
                .collect(),
            creation_timestamp: created.or_else(oldest),
        }
    }

    /// How many members it needs, and why that cannot be told.
    fn min_count(
        &self,
        key: &GroupKey,
        policy: Option<(Kind, &Policy)>,
        members: &[&Member],
    ) -> (Option<i32>, Option<WaitReason>) {
        let stated = match (&key.link, policy) {
            (GroupLink::Labels { .. }, _) => stated_by_members(members),
            (link, None) => {
                let kinds = link.policy_object().map_or(&[][..], |(kinds, _)| kinds);
                let served = kinds.iter().any(|kind| !self.not_served.contains(kind));
                let missing = if served {
                    WaitReason::PolicyMissing
                } else {
                    WaitReason::KindNotServed
                };
                return (None, Some(missing));
            }
            (GroupLink::Workload { pod_group, .. }, Some((_, policy))) => {
                let group = policy.groups.iter().find(|(name, _)| name == pod_group);
                let Some((_, stated)) = group else {
                    return (None, Some(WaitReason::PolicyMissing));
                };
                stated.clone().ok()
            }
            (_, Some((_, policy))) => policy.groups.first().and_then(|(_, stated)| stated.clone().ok()),
        };
        match stated {
            None => (None, Some(WaitReason::PolicyInvalid)),
            Some(GroupPolicy::Basic) => (None, None),
            Some(GroupPolicy::Gang { min_count }) => (Some(min_count), None),
        }
    }
}

/// What members say, if they say the same.
fn stated_by_members(members: &[&Member]) -> Option<GroupPolicy> {
    let stated = |member: &&Member| {
        member
            .pod
            .group_terms
            .as_ref()
            .and_then(|terms| terms.policy.clone().ok())
    };
    let first = members.first().and_then(stated)?;
    members
        .iter()
        .all(|member| stated(member) == Some(first))
        .then_some(first)
}

fn is_replica_of(replica: &GroupKey, key: &GroupKey) -> bool {
    let GroupLink::Workload {
        workload,
        pod_group,
        replica_key,
    } = &replica.link
    else {
        return false;
    };
    let whole = GroupLink::Workload {
        workload: workload.clone(),
        pod_group: pod_group.clone(),
        replica_key: "".into(),
    };
    !replica_key.is_empty() && replica.namespace == key.namespace && whole == key.link
}

/// Members that are not being deleted, by where they stand.
#[derive(Debug, Default)]
struct Counted {
    pending: u32,
    /// With a node, or succeeded.
    bound: u32,
    succeeded: u32,
    failed: u32,
}

impl Counted {
    fn of(members: &[&Member]) -> Counted {
        let mut counted = Counted::default();
        for member in members.iter().filter(|member| !member.pod.terminating) {
            match (member.pod.phase, &member.pod.node_name) {
                (PodPhase::Active, None) => counted.pending += 1,
                (PodPhase::Active, Some(_)) => counted.bound += 1,
                (PodPhase::Succeeded, _) => {
                    counted.bound += 1;
                    counted.succeeded += 1;
                }
                (PodPhase::Failed, _) => counted.failed += 1,
            }
        }
        counted
    }

    /// `min_count` is None where members go one by one.
    fn status(&self, min_count: Option<i32>) -> Status {
        let needed = min_count.map_or(self.pending + self.bound, |min| u32::try_from(min).unwrap_or(0));
        let ended = self.pending == 0 && self.bound == self.succeeded && 0 < self.succeeded + self.failed;
        match self.bound {
            _ if ended && needed <= self.succeeded && 0 < self.succeeded => Status::Finished,
            _ if ended => Status::Failed,
            0 if needed == 0 => Status::Empty,
            bound if needed <= bound => Status::Scheduled,
            0 => Status::Waiting,
            _ => Status::Partial,
        }
    }
}

/// Why a group waits: what Muster has written on its object, else what follows from the API, else what stands on its pods.
fn why(
    policy: Option<&Policy>,
    members: &[&Member],
    hold: Option<WaitReason>,
    counted: &Counted,
    min_count: Option<i32>,
) -> (String, String) {
    if let Some(GroupStatus::Condition {
        scheduled: false,
        reason,
        message,
    }) = policy.and_then(|policy| policy.status.as_ref())
    {
        return (reason.to_string(), message.to_string());
    }
    let exist = counted.pending + counted.bound;
    let missing = min_count.filter(|min| i64::from(exist) < i64::from(*min));
    let hold = hold.or_else(|| missing.map(|_| WaitReason::MembersMissing));
    let on_pod = members.iter().find_map(|member| member.pod.condition.as_ref());
    match (hold, on_pod, missing) {
        (Some(hold), Some(said), _) => (hold.name().to_owned(), said.message.to_string()),
        (Some(hold), None, Some(min)) => (hold.name().to_owned(), format!("{exist} of {min} members exist")),
        (Some(hold), None, None) => (hold.name().to_owned(), String::new()),
        (None, Some(said), _) => (said.reason.to_string(), said.message.to_string()),
        (None, None, _) => (String::new(), String::new()),
    }
}

/// The name without the namespace.
fn name(key: &GroupKey) -> String {
    let whole = key.to_string();
    whole.split_once('/').map_or(whole.clone(), |(_, name)| name.to_owned())
}

fn dialect(key: &GroupKey, kind: Option<Kind>) -> &'static str {
    match (&key.link, kind) {
        (GroupLink::Workload { .. }, _) => "Workload",
        (GroupLink::PodGroup { .. }, Some(Kind::PodGroupV1Alpha2)) => "PodGroup/v1alpha2",
        (GroupLink::PodGroup { .. }, Some(_)) => "PodGroup/v1beta1",
        (GroupLink::PodGroup { .. }, None) => "PodGroup",
        (GroupLink::Coscheduling { .. }, _) => "coscheduling",
        (GroupLink::Labels { .. }, _) => "labels",
    }
}

/// Such as `podgroup.scheduling.k8s.io/train`.
fn object(key: &GroupKey, kind: Option<Kind>) -> Option<String> {
    let (kinds, name) = key.link.policy_object()?;
    let (api_version, kind) = api_version_kind(kind.or(kinds.first().copied())?);
    let group = api_version.split('/').next().unwrap_or_default();
    Some(format!("{}.{group}/{name}", kind.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::selector;
    use serde_json::{Value, json};

    fn apply(gangs: &mut Gangs, kind: Kind, object: &Value) {
        gangs
            .apply(kind, object.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn meta(name: &str, namespace: &str) -> Value {
        json!({"name": name, "namespace": namespace, "uid": format!("{namespace}-{name}"), "resourceVersion": "7",
               "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"team": "blue"}})
    }

    fn pod(name: &str, node: Option<&str>, spec: Value, change: impl FnOnce(&mut Value)) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, "shop"),
            "spec": {"schedulerName": "muster", "containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Pending"}});
        for (key, value) in spec.as_object().cloned().unwrap_or_default() {
            pod["spec"][key] = value;
        }
        if let Some(node) = node {
            pod["spec"]["nodeName"] = node.into();
        }
        change(&mut pod);
        pod
    }

    fn pod_group(name: &str, min_count: i64, status: Value) -> Value {
        json!({"apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup", "metadata": meta(name, "shop"),
            "spec": {"schedulingPolicy": {"gang": {"minCount": min_count}}}, "status": status})
    }

    fn world() -> Gangs {
        let mut gangs = Gangs::default();
        let workload = json!({"apiVersion": "scheduling.k8s.io/v1alpha1", "kind": "Workload", "metadata": meta("train", "shop"),
            "spec": {"podGroups": [{"name": "workers", "policy": {"gang": {"minCount": 2}}},
                                   {"name": "lone", "policy": {"basic": {}}}]}});
        apply(&mut gangs, Kind::Workload, &workload);
        let waits = json!({"conditions": [{"type": "PodGroupInitiallyScheduled", "status": "False", "reason": "Unschedulable",
            "message": "no room", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        apply(&mut gangs, Kind::PodGroup, &pod_group("waits", 3, waits));
        apply(&mut gangs, Kind::PodGroup, &pod_group("nobody", 3, json!({})));
        let crd = json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": meta("crd", "shop"),
            "spec": {"minMember": 1}});
        apply(&mut gangs, Kind::CoschedulingPodGroup, &crd);
        let replica =
            |key: &str| json!({"workloadRef": {"name": "train", "podGroup": "workers", "podGroupReplicaKey": key}});
        for (name, node, key) in [("a0", Some("n"), "0"), ("a1", Some("n"), "0"), ("b0", None, "1")] {
            apply(&mut gangs, Kind::Pod, &pod(name, node, replica(key), |_| {}));
        }
        let member = |group: &str| json!({"schedulingGroup": {"podGroupName": group}});
        for (name, node) in [("w0", Some("n")), ("w1", None), ("w2", None)] {
            apply(&mut gangs, Kind::Pod, &pod(name, node, member("waits"), |_| {}));
        }
        apply(&mut gangs, Kind::Pod, &pod("lost", None, member("missing"), |_| {}));
        let labelled = |pod: &mut Value| {
            pod["metadata"]["labels"] = json!({"muster.dev/pod-group": "plain", "team": "red"});
            pod["metadata"]["annotations"] = json!({"muster.dev/min-count": "2"});
            pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False",
                "reason": "NotReadyForScheduling", "message": "1 of 2 members exist"}]);
        };
        apply(&mut gangs, Kind::Pod, &pod("p0", None, json!({}), labelled));
        let done = |pod: &mut Value| {
            pod["metadata"]["labels"] = json!({"scheduling.x-k8s.io/pod-group": "crd"});
            pod["status"]["phase"] = "Succeeded".into();
        };
        apply(&mut gangs, Kind::Pod, &pod("c0", Some("n"), json!({}), done));
        apply(&mut gangs, Kind::Pod, &pod("alone", None, json!({}), |_| {}));
        gangs
    }

    fn lines(rows: &[Gang]) -> String {
        let line = |gang: &Gang| {
            let min = gang.min_count.map_or("-".to_owned(), |min| min.to_string());
            format!(
                "{} {} {} {}/{}/{min} {} {} {:?} {}",
                gang.namespace,
                gang.name,
                gang.dialect,
                gang.bound,
                gang.members,
                gang.status.name(),
                gang.reason,
                gang.message,
                gang.object.as_deref().unwrap_or("-")
            )
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_row_for_each_group_of_each_dialect() {
        insta::assert_snapshot!(lines(&world().rows(&LabelSelector::default())));
    }

    #[test]
    fn selectors_ask_for_labels_of_the_object_or_else_of_members() {
        let names = |text: &str| {
            let rows = world().rows(&selector::parse(text).unwrap());
            rows.into_iter().map(|gang| gang.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("team=red"), "plain");
        assert_eq!(
            names("team=blue"),
            "crd nobody train/lone train/workers[0] train/workers[1] waits"
        );
        assert_eq!(names("!team"), "missing");
    }

    #[test]
    fn what_goes_is_gone() {
        let mut gangs = world();
        gangs.not_served(Kind::Workload);
        gangs.clear(Kind::Workload);
        gangs.remove(Kind::PodGroup, pod_group("nobody", 3, json!({})).to_string().as_bytes());
        let mut freed = pod("lost", None, json!({}), |_| {});
        apply(&mut gangs, Kind::Pod, &freed);
        freed["metadata"]["name"] = "p0".into();
        gangs.remove(Kind::Pod, freed.to_string().as_bytes());
        gangs.not_served(Kind::Workload);
        let rows = gangs.rows(&LabelSelector::default());
        let names: Vec<_> = rows.iter().map(|gang| (&*gang.name, &*gang.reason)).collect();
        assert_eq!(
            names,
            [
                ("crd", ""),
                ("train/workers[0]", ""),
                ("train/workers[1]", "KindNotServed"),
                ("waits", "Unschedulable")
            ]
        );
    }

    #[test]
    fn statuses() {
        let status = |pending, bound, succeeded, failed, min| {
            let counted = Counted {
                pending,
                bound,
                succeeded,
                failed,
            };
            counted.status(min)
        };
        assert_eq!(status(0, 0, 0, 0, None), Status::Empty);
        assert_eq!(status(0, 0, 0, 0, Some(2)), Status::Waiting);
        assert_eq!(status(2, 0, 0, 0, Some(2)), Status::Waiting);
        assert_eq!(status(1, 1, 0, 0, Some(2)), Status::Partial);
        assert_eq!(status(1, 1, 0, 0, None), Status::Partial);
        assert_eq!(status(1, 2, 0, 1, Some(2)), Status::Scheduled);
        assert_eq!(status(0, 2, 2, 1, Some(2)), Status::Finished);
        assert_eq!(status(0, 1, 1, 1, Some(2)), Status::Failed);
        assert_eq!(status(0, 0, 0, 1, None), Status::Failed);
    }
}
