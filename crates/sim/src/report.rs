//! What came of a simulation, as data: where every pod went, and why the others wait.

use crate::cluster::Stored;
use crate::ledger::{GroupLife, Happening, What, group_of, minimum, owner_name, policy};
use crate::object::ObjectKind;
use crate::simulation::{Counters, Simulation};
use muster_engine::{PodState, Time};
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupPolicy};
use muster_framework::record::{NodeRecord, PodPhase, PodRecord};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The version of the report's form: it grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// A virtual time, in seconds where it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Time);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Exact to the microsecond for the first two hundred years.
        #[expect(clippy::cast_precision_loss)]
        serializer.serialize_f64(self.0.micros() as f64 / 1e6)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// The seed that was used.
    pub seed: u64,
    /// When it ended: when the last thing changed, if it is at rest, and otherwise when virtual time was over.
    pub ended_at: Moment,
    /// Whether nothing can change any more.
    pub at_rest: bool,
    /// Counts.
    pub totals: Totals,
    /// Every pod that exists at the end, by namespace and name.
    pub pods: Vec<PodRow>,
    /// Every pod group that has pods, by name.
    pub groups: Vec<GroupRow>,
    /// Every node that exists at the end, by name.
    pub nodes: Vec<NodeRow>,
    /// What happened, in the order of time.
    pub timeline: Vec<Entry>,
    /// What the API server refused to store, in the order of time.
    pub refused: Vec<Refused>,
}

/// Counts at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Nodes.
    pub nodes: usize,
    /// Pods.
    pub pods: usize,
    /// Pods that run.
    pub running: usize,
    /// Pods that succeeded or failed.
    pub finished: usize,
    /// Pods that wait for this scheduler.
    pub waiting: usize,
    /// Pods that wait for another scheduler.
    pub not_ours: usize,
    /// Pods that were deleted, or lost with their node, on the way.
    pub deleted: usize,
    /// Binds that were asked for.
    pub binds: u64,
    /// Binds that were refused.
    pub binds_refused: u64,
}

/// Where a pod stands at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum State {
    /// It has no node.
    Waiting,
    /// It has no node, and names a scheduler that is not simulated.
    NotOurs,
    /// A bind is under way.
    Binding,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
}

impl State {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            State::Waiting => "Waiting",
            State::NotOurs => "NotOurs",
            State::Binding => "Binding",
            State::Running => "Running",
            State::Succeeded => "Succeeded",
            State::Failed => "Failed",
        }
    }
}

/// A pod at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRow {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// What made it, for example `Job default/train`; empty for a pod on its own.
    pub owner: String,
    /// Its group, as messages name it.
    pub group: Option<String>,
    /// The scheduler that it names.
    pub scheduler: Text,
    /// Its priority.
    pub priority: i32,
    /// Where it stands.
    pub state: State,
    /// Its node.
    pub node: Option<Text>,
    /// When it was created.
    pub created_at: Moment,
    /// When it got its node.
    pub bound_at: Option<Moment>,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// From its creation to its node, or to the end, in seconds.
    pub wait: Moment,
    /// Why it waits, in one word.
    pub reason: Text,
    /// Why it waits.
    pub message: Text,
}

/// A pod group at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRow {
    /// Its name, as messages name it.
    pub name: String,
    /// `gang`, `basic`, or `unknown` when the policy object is missing.
    pub policy: &'static str,
    /// How many pods it needs at once.
    pub minimum: Option<usize>,
    /// Its pods.
    pub members: usize,
    /// Those that have a node and did not fail.
    pub bound: usize,
    /// When it had what it needs for the first time.
    pub started_at: Option<Moment>,
}

/// How much of something is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// The resource.
    pub resource: Text,
    /// What pods take, as a quantity.
    pub used: String,
    /// What there is, as a quantity.
    pub allocatable: String,
}

/// A node at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Its name.
    pub name: Text,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Pods on it that have not finished.
    pub pods: i64,
    /// How many it may have.
    pub allowed_pods: i64,
    /// The use of its resources: CPU, memory, then the others by name.
    pub resources: Vec<Amount>,
}

/// Something notable; several of the same sort are one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// When it happened, or began to.
    pub from: Moment,
    /// When the last of the same sort happened.
    pub to: Moment,
    /// How many things it was.
    pub count: usize,
    /// What happened.
    pub text: String,
}

/// Something that the API server refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// When.
    pub at: Moment,
    /// What, and why.
    pub message: String,
}

/// The report of a simulation as it stands.
pub(crate) fn report(simulation: &Simulation) -> Report {
    let at_rest = simulation.is_at_rest();
    let ended_at = if at_rest {
        simulation.ledger().last_change
    } else {
        simulation.now().min(simulation.until())
    };
    let pods = pod_rows(simulation, ended_at);
    Report {
        version: VERSION,
        seed: simulation.settings().seed,
        ended_at: Moment(ended_at),
        at_rest,
        totals: totals(simulation, &pods),
        pods,
        groups: group_rows(simulation),
        nodes: simulation
            .cluster()
            .nodes()
            .map(|node| node_row(simulation, node))
            .collect(),
        timeline: timeline(&simulation.ledger().happenings),
        refused: simulation
            .refusals()
            .iter()
            .map(|(at, message)| Refused {
                at: Moment(*at),
                message: message.clone(),
            })
            .collect(),
    }
}

fn totals(simulation: &Simulation, pods: &[PodRow]) -> Totals {
    let Counters {
        binds, binds_refused, ..
    } = simulation.counters();
    let count = |states: &[State]| pods.iter().filter(|pod| states.contains(&pod.state)).count();
    Totals {
        nodes: simulation.cluster().nodes().count(),
        pods: pods.len(),
        running: count(&[State::Running]),
        finished: count(&[State::Succeeded, State::Failed]),
        waiting: count(&[State::Waiting, State::Binding]),
        not_ours: count(&[State::NotOurs]),
        deleted: simulation.ledger().deleted,
        binds,
        binds_refused,
    }
}

fn pod_rows(simulation: &Simulation, ended_at: Time) -> Vec<PodRow> {
    let statuses = simulation.engine().pods();
    let known: BTreeMap<Text, PodState> = statuses
        .into_iter()
        .map(|status| (status.pod.uid, status.state))
        .collect();
    let stored = simulation.cluster().list(ObjectKind::Pod);
    stored
        .filter_map(|stored| {
            Some(pod_row(
                simulation,
                stored,
                stored.pod()?,
                known.get(&stored.uid),
                ended_at,
            ))
        })
        .collect()
}

fn pod_row(
    simulation: &Simulation,
    stored: &Stored,
    pod: &PodRecord,
    known: Option<&PodState>,
    ended_at: Time,
) -> PodRow {
    let life = simulation.ledger().lives.get(&pod.uid);
    let created = life.map_or(Time::ZERO, |life| life.created);
    let bound = life.and_then(|life| life.bound);
    let ours = simulation
        .settings()
        .scheduler_names()
        .any(|name| *name == pod.scheduler_name);
    let state = match (pod.phase, &pod.node_name, known) {
        (PodPhase::Succeeded, ..) => State::Succeeded,
        (PodPhase::Failed, ..) => State::Failed,
        (PodPhase::Active, Some(_), _) => State::Running,
        (PodPhase::Active, None, _) if !ours => State::NotOurs,
        (PodPhase::Active, None, Some(PodState::Binding { .. })) => State::Binding,
        (PodPhase::Active, None, _) => State::Waiting,
    };
    let (reason, message) = match state {
        State::Waiting => reason(pod, known),
        State::NotOurs => {
            let message = format!(
                "spec.schedulerName is {:?}: that scheduler is not simulated",
                pod.scheduler_name
            );
            ("NotOurs".into(), message.into())
        }
        _ => (Text::from(""), Text::from("")),
    };
    PodRow {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        owner: owner_name(stored),
        group: group_of(pod).map(|group| group.to_string()),
        scheduler: pod.scheduler_name.clone(),
        priority: pod.priority.unwrap_or(0),
        state,
        node: pod.node_name.clone(),
        created_at: Moment(created),
        bound_at: bound.map(Moment),
        finished_at: life.and_then(|life| life.finished).map(Moment),
        wait: Moment(Time::ZERO + bound.unwrap_or(ended_at).since(created)),
        reason,
        message,
    }
}

/// Why a pod waits: what the scheduler says, or else what stands in the pod's status.
fn reason(pod: &PodRecord, known: Option<&PodState>) -> (Text, Text) {
    match known {
        Some(PodState::Queued { reason, message, .. }) if !message.is_empty() => (reason.clone(), message.clone()),
        _ => match &pod.condition {
            Some(condition) => (condition.reason.clone(), condition.message.clone()),
            None => ("NotTried".into(), "the scheduler has not tried it yet".into()),
        },
    }
}

fn group_rows(simulation: &Simulation) -> Vec<GroupRow> {
    let groups = simulation
        .ledger()
        .groups
        .iter()
        .filter(|(_, group)| !group.members.is_empty());
    groups.map(|(key, group)| group_row(simulation, key, group)).collect()
}

fn group_row(simulation: &Simulation, key: &GroupKey, group: &GroupLife) -> GroupRow {
    GroupRow {
        name: key.to_string(),
        policy: match policy(simulation.cluster(), key) {
            Some(GroupPolicy::Gang { .. }) => "gang",
            Some(GroupPolicy::Basic) => "basic",
            None => "unknown",
        },
        minimum: minimum(simulation.cluster(), key),
        members: group.members.len(),
        bound: group.bound.len(),
        started_at: group.started.map(Moment),
    }
}

fn node_row(simulation: &Simulation, node: &NodeRecord) -> NodeRow {
    let (used, pods) = simulation.cluster().usage_of(&node.name);
    let has = &node.allocatable;
    let amount = |resource: &str, used: String, allocatable: String| Amount {
        resource: resource.into(),
        used,
        allocatable,
    };
    let mut resources = vec![
        amount("cpu", milli(used.milli_cpu), milli(has.milli_cpu)),
        amount("memory", bytes(used.memory), bytes(has.memory)),
    ];
    if 0 < used.ephemeral_storage || 0 < has.ephemeral_storage {
        resources.push(amount(
            "ephemeral-storage",
            bytes(used.ephemeral_storage),
            bytes(has.ephemeral_storage),
        ));
    }
    let names: BTreeSet<&Text> = used.scalars.iter().chain(&has.scalars).map(|(name, _)| name).collect();
    for name in names {
        resources.push(amount(
            name,
            used.scalar(name).to_string(),
            has.scalar(name).to_string(),
        ));
    }
    NodeRow {
        name: node.name.clone(),
        unschedulable: node.unschedulable,
        pods,
        allowed_pods: node.allowed_pods,
        resources,
    }
}

/// Thousandths as a quantity.
fn milli(amount: i64) -> String {
    if amount % 1000 == 0 {
        (amount / 1000).to_string()
    } else {
        format!("{amount}m")
    }
}

/// Bytes as a quantity, in the largest unit that is exact.
fn bytes(amount: i64) -> String {
    let units = [("Ti", 1i64 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    match units.into_iter().find(|(_, unit)| amount != 0 && amount % unit == 0) {
        Some((name, unit)) => format!("{}{name}", amount / unit),
        None => amount.to_string(),
    }
}

/// What is further apart than this is told apart, even if it is of one sort.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Happenings of one sort that follow each other, or share an instant, become one entry.
fn timeline(happenings: &[Happening]) -> Vec<Entry> {
    let mut runs: Vec<Vec<&Happening>> = Vec::new();
    for happening in happenings {
        let same = |run: &&mut Vec<&Happening>| run.last().is_some_and(|last| is_same_sort(last, happening));
        let last = runs.len().saturating_sub(1);
        // Only the runs that reach into this instant, and the very last one, can take it in.
        let open = runs.iter_mut().enumerate().rev();
        let open = open.take_while(|(n, run)| *n == last || run.last().is_some_and(|h| h.at == happening.at));
        match open.map(|(_, run)| run).find(same) {
            Some(run) => run.push(happening),
            None => runs.push(vec![happening]),
        }
    }
    runs.iter().filter_map(|run| entry(run)).collect()
}

fn is_same_sort(last: &Happening, next: &Happening) -> bool {
    (last.what, &last.of) == (next.what, &next.of)
        && (last.what != What::PodWaits || last.detail == next.detail)
        && next.at.since(last.at) <= LONGEST_GAP
}

fn entry(run: &[&Happening]) -> Option<Entry> {
    let (first, last) = (*run.first()?, *run.last()?);
    // A gang's latest count says all that its former ones do.
    let whole = matches!(first.what, What::GroupBound | What::GroupBroken);
    let text = if run.len() == 1 || whole {
        one(last)
    } else {
        many(run.len(), first, last)
    };
    Some(Entry {
        from: Moment(first.at),
        to: Moment(last.at),
        count: run.len(),
        text,
    })
}

fn one(happening: &Happening) -> String {
    let Happening {
        what, subject, detail, ..
    } = happening;
    match what {
        What::NodeAppeared => format!("node {subject} added"),
        What::NodeGone => format!("node {subject} gone"),
        What::NodeClosed => format!("node {subject} cordoned"),
        What::NodeOpened => format!("node {subject} uncordoned"),
        What::NodeChanged => format!("node {subject} changed"),
        What::PodBound => format!("pod {subject} bound to {detail}"),
        What::PodWaits => format!("pod {subject} waits: {detail}"),
        What::PodSucceeded => format!("pod {subject} succeeded"),
        What::PodFailed => format!("pod {subject} failed"),
        What::PodDeleted => format!("pod {subject} deleted"),
        What::PodLost => format!("pod {subject} lost with node {detail}"),
        What::GroupBound => format!("gang {subject}: {detail}"),
        What::GroupBroken => format!("gang {subject} broken: {detail}"),
        What::JobEnded => format!("job {subject} {detail}"),
        What::BindRefused => format!("bind of pod {subject} refused: {detail}"),
    }
}

fn many(count: usize, first: &Happening, last: &Happening) -> String {
    let (from, to) = (&first.subject, &last.subject);
    let of = if first.of.is_empty() {
        format!(" ({from} … {to})")
    } else {
        format!(" of {}", first.of)
    };
    match first.what {
        What::NodeAppeared => format!("{count} nodes added ({from} … {to})"),
        What::NodeGone => format!("{count} nodes gone ({from} … {to})"),
        What::NodeClosed => format!("{count} nodes cordoned ({from} … {to})"),
        What::NodeOpened => format!("{count} nodes uncordoned ({from} … {to})"),
        What::NodeChanged => format!("{count} changes of nodes ({from} … {to})"),
        What::PodBound => format!("{count} pods{of} bound"),
        What::PodWaits => format!("{count} pods{of} wait: {}", last.detail),
        What::PodSucceeded => format!("{count} pods{of} succeeded"),
        What::PodFailed => format!("{count} pods{of} failed"),
        What::PodDeleted => format!("{count} pods{of} deleted"),
        What::PodLost => format!("{count} pods lost with node {}", first.of),
        What::JobEnded => format!("{count} jobs {} ({from} … {to})", first.detail),
        What::BindRefused => format!("{count} binds refused: {}", last.detail),
        What::GroupBound | What::GroupBroken => one(last),
    }
}
