//! An overview as JSON. Fields may be added to a version; none goes or means something else.

use super::paths::NAME;
use crate::kubectl::API_VERSION;
use muster_engine::{GroupAtAGlance, HeldPlace, Listed, Overview, PodAtAGlance, Section, WaitReason};
use muster_telemetry::{Counted, Distribution};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The kind of the JSON.
pub(crate) const KIND: &str = "Overview";

/// Everything that is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) leader: Leader,
    /// Nodes known; not told of one namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nodes: Option<usize>,
    /// The sections of the queue.
    pub(crate) queue: Vec<SectionOf>,
    /// Groups that wait, by reason; those that are none are left out.
    #[serde(default)]
    pub(crate) waiting_groups: BTreeMap<String, usize>,
    pub(crate) groups: List<GroupOf>,
    pub(crate) pods: List<PodOf>,
    pub(crate) places: List<PlaceOf>,
    /// What was counted since the process began; not told of one namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counters: Option<Counters>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    /// The namespace that it is about; empty: all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
}

/// Who answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Leader {
    /// No other process has or had it.
    pub(crate) identity: String,
    pub(crate) version: String,
    /// By a clock that only goes on: the times of two answers of one process can be subtracted.
    pub(crate) uptime_seconds: f64,
    /// What it leads by; none where nothing is elected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<Lease>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Lease {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// How long it could still write when it last tried to renew.
    pub(crate) margin_seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SectionOf {
    /// `active`, `backoff`, `unschedulable` or `gated`.
    pub(crate) name: String,
    /// Pods, members of gangs among them.
    pub(crate) pods: usize,
    /// What is tried as one: pods that are alone, and gangs.
    pub(crate) single_pods: usize,
    pub(crate) gangs: usize,
}

/// The first of some things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// How many more there are.
    #[serde(default)]
    pub(crate) left_out: usize,
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List {
            items: Vec::new(),
            left_out: 0,
        }
    }
}

impl<T> List<T> {
    /// With those that are left out.
    pub(crate) fn total(&self) -> usize {
        self.items.len().saturating_add(self.left_out)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GroupOf {
    pub(crate) namespace: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_count: Option<u32>,
    pub(crate) members: u32,
    pub(crate) with_places: u32,
    pub(crate) bound: u32,
    pub(crate) gated: u32,
    pub(crate) stage: String,
    pub(crate) attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting_seconds: Option<u64>,
    pub(crate) reason: String,
    pub(crate) cause: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodOf {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Of the queue.
    pub(crate) section: String,
    pub(crate) priority: i32,
    pub(crate) attempts: u32,
    pub(crate) waiting_seconds: u64,
    /// How much of its backoff is left.
    pub(crate) backoff_seconds: u64,
    pub(crate) reason: String,
    pub(crate) cause: String,
}

/// A place that is held for a pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PlaceOf {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// The pod's group; empty: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) group: String,
    pub(crate) node: String,
    /// How far the bind has come.
    pub(crate) stage: String,
    /// When something is done about it at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ends_in_seconds: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Counters {
    /// Pods tried, by how it ended.
    pub(crate) attempts: BTreeMap<String, u64>,
    pub(crate) bound: u64,
    pub(crate) bind_failures: u64,
    /// How long decisions took.
    pub(crate) attempt: Histogram,
    /// From when a pod could first have been tried to when it was bound.
    pub(crate) scheduling: Histogram,
    /// From when a member of a gang was known to when enough had places.
    pub(crate) gang_wait: Histogram,
    /// Requests to the API server.
    pub(crate) requests: Histogram,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Histogram {
    /// From low to high.
    pub(crate) buckets: Vec<Bucket>,
    /// With those above the last bucket.
    pub(crate) count: u64,
    pub(crate) sum_seconds: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Bucket {
    /// In seconds.
    pub(crate) upper_bound: f64,
    /// Values that are not above it.
    pub(crate) count: u64,
}

impl Document {
    /// What is told of all namespaces, or of one: then without what was counted of all.
    pub(crate) fn new(leader: Leader, namespace: Option<&str>, overview: Overview, counted: &Counted) -> Document {
        Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata {
                name: NAME.to_owned(),
                namespace: namespace.unwrap_or_default().to_owned(),
            },
            leader,
            nodes: overview.nodes,
            queue: sections(&overview),
            waiting_groups: waiting_groups(&overview),
            groups: list(overview.groups, group),
            pods: list(overview.pods, pod),
            places: list(overview.places, place),
            counters: namespace.is_none().then(|| counters(counted)),
        }
    }
}

fn sections(overview: &Overview) -> Vec<SectionOf> {
    let section = |section: Section| SectionOf {
        name: section.name().to_owned(),
        pods: overview.pending[section as usize],
        single_pods: overview.queued[0][section as usize],
        gangs: overview.queued[1][section as usize],
    };
    Section::ALL.map(section).into()
}

fn waiting_groups(overview: &Overview) -> BTreeMap<String, usize> {
    let counted = WaitReason::ALL.into_iter().zip(overview.waiting_groups);
    counted
        .filter(|(_, groups)| *groups > 0)
        .map(|(reason, groups)| (reason.name().to_owned(), groups))
        .collect()
}

fn list<T, U>(listed: Listed<T>, of: fn(T) -> U) -> List<U> {
    List {
        left_out: listed.left_out(),
        items: listed.items.into_iter().map(of).collect(),
    }
}

fn group(group: GroupAtAGlance) -> GroupOf {
    GroupOf {
        namespace: group.namespace.to_string(),
        name: group.name.to_string(),
        min_count: group.min_count,
        members: group.members,
        with_places: group.with_places,
        bound: group.bound,
        gated: group.gated,
        stage: group.stage.to_owned(),
        attempts: group.attempts,
        waiting_seconds: group.waiting.map(|waiting| waiting.as_secs()),
        reason: group.reason.to_owned(),
        cause: group.cause,
    }
}

fn pod(pod: PodAtAGlance) -> PodOf {
    PodOf {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        section: pod.section.name().to_owned(),
        priority: pod.priority,
        attempts: pod.attempts,
        waiting_seconds: pod.waiting.as_secs(),
        backoff_seconds: rounded_up(pod.backoff),
        reason: pod.reason.to_string(),
        cause: pod.cause,
    }
}

fn place(held: HeldPlace) -> PlaceOf {
    let place = held.reservation;
    PlaceOf {
        namespace: place.pod.namespace.to_string(),
        pod: place.pod.name.to_string(),
        group: held.group.map_or_else(String::new, |group| group.to_string()),
        node: place.node.to_string(),
        stage: place.stage.to_string(),
        ends_in_seconds: place.deadline.map(rounded_up),
    }
}

fn rounded_up(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn counters(counted: &Counted) -> Counters {
    Counters {
        attempts: counted
            .attempts
            .iter()
            .map(|(result, n)| ((*result).to_owned(), *n))
            .collect(),
        bound: counted.bound,
        bind_failures: counted.bind_failures,
        attempt: histogram(&counted.attempt),
        scheduling: histogram(&counted.scheduling),
        gang_wait: histogram(&counted.gang_wait),
        requests: histogram(&counted.requests),
    }
}

fn histogram(distribution: &Distribution) -> Histogram {
    let bucket = |(upper_bound, count): &(f64, u64)| Bucket {
        upper_bound: *upper_bound,
        count: *count,
    };
    Histogram {
        buckets: distribution.buckets.iter().map(bucket).collect(),
        count: distribution.count,
        sum_seconds: distribution.sum,
    }
}
