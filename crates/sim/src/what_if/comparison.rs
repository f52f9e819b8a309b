//! Before and after, for people and for programs.

use super::capacity::Capacity;
use super::play::Play;
use crate::table::aligned;
use muster_api::snapshot::{API_VERSION, Header, Source};
use muster_engine::PodState;
use muster_framework::Text;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is called so in JSON.
const KIND: &str = "WhatIf";

/// The outcome with edits beside the outcome without.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The version of this form.
    pub api_version: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// Which snapshot.
    pub snapshot: SnapshotNote,
    /// The seed that broke ties.
    pub seed: u64,
    /// What was changed, in a sentence each.
    pub edits: Vec<String>,
    /// Counts without the edits.
    pub before: Counted,
    /// Counts with them.
    pub after: Counted,
    /// The scheduler's pods that wait before or after, or are elsewhere, or had no node in the snapshot.
    pub pods: Vec<PodChange>,
    /// How many more fit, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
}

/// Which snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotNote {
    /// When it was taken.
    pub taken_at: String,
    /// Where it is from.
    pub source: Source,
    /// The Kubernetes minor of the cluster.
    pub kubernetes: String,
}

impl SnapshotNote {
    /// Of a snapshot with this first line.
    pub fn of(header: &Header) -> SnapshotNote {
        SnapshotNote {
            taken_at: header.taken_at.to_string(),
            source: header.source,
            kubernetes: header.kubernetes.to_string(),
        }
    }
}

/// Counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// Nodes.
    pub nodes: usize,
    /// The scheduler's pods that have a node, or a place held on one.
    pub placed: usize,
    /// Those that wait.
    pub waiting: usize,
}

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its node, or the one on which it holds a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Text>,
    /// Why it waits, in one word.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Text,
    /// Why it waits.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Text,
}

/// A pod, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodChange {
    /// `namespace/name`.
    pub pod: String,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Without the edits; None: it is not there.
    pub before: Option<Standing>,
    /// With them; None likewise.
    pub after: Option<Standing>,
}

type Standings = BTreeMap<String, (Option<String>, PodState)>;

impl Comparison {
    /// Holds two settled worlds against each other. `waited` are the pods, as `namespace/name`, that had no node in the
    /// snapshot.
    pub fn of(
        snapshot: SnapshotNote,
        seed: u64,
        edits: Vec<String>,
        waited: &[String],
        before: &Play,
        after: &Play,
    ) -> Comparison {
        let (was, is) = (before.standings(), after.standings());
        let paths: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        let pods = paths.into_iter().filter_map(|path| {
            let (then, now) = (was.get(path), is.get(path));
            let change = PodChange {
                pod: path.clone(),
                group: now.or(then).and_then(|(group, _)| group.clone()),
                before: then.map(|(_, state)| Standing::of(state)),
                after: now.map(|(_, state)| Standing::of(state)),
            };
            let waits = |standing: &Option<Standing>| standing.as_ref().is_some_and(|standing| standing.node.is_none());
            let finished = matches!(now.or(then), Some((_, PodState::Finished)));
            let of_note = waited.contains(path) || change.before != change.after || waits(&change.after);
            (of_note && !finished).then_some(change)
        });
        Comparison {
            api_version: API_VERSION,
            kind: KIND,
            snapshot,
            seed,
            edits,
            pods: pods.collect(),
            before: counted(before, &was),
            after: counted(after, &is),
            capacity: None,
        }
    }

    /// As text.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let source = match self.snapshot.source {
            Source::Scheduler => "the scheduler",
            Source::Api => "the API server",
        };
        let (taken_at, minor) = (&self.snapshot.taken_at, &self.snapshot.kubernetes);
        let _ = writeln!(text, "Snapshot of {taken_at}, taken from {source}, Kubernetes {minor}");
        for edit in &self.edits {
            let _ = writeln!(text, "what if {edit}");
        }
        if !self.pods.is_empty() {
            text.push('\n');
            text.push_str(&self.pod_table());
        }
        text.push('\n');
        self.reasons(&mut text);
        let Counted { nodes, placed, waiting } = self.after;
        let was = self.before;
        if self.edits.is_empty() {
            let _ = writeln!(text, "{placed} placed, {waiting} waiting; {}.", of_nodes(nodes));
        } else {
            let _ = writeln!(
                text,
                "Before → after: {} → {placed} placed, {} → {waiting} waiting; {} → {}.",
                was.placed,
                was.waiting,
                was.nodes,
                of_nodes(nodes)
            );
        }
        if let Some(capacity) = &self.capacity {
            capacity_line(capacity, &mut text);
        }
        text
    }

    fn pod_table(&self) -> String {
        let header: &[&str] = if self.edits.is_empty() {
            &["POD", "GROUP", "WOULD BE"]
        } else {
            &["POD", "GROUP", "BEFORE", "AFTER"]
        };
        let mut rows = vec![header.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
        rows.extend(self.pods.iter().map(|pod| {
            let mut row = vec![
                pod.pod.clone(),
                pod.group.clone().unwrap_or_else(|| "<none>".to_owned()),
            ];
            if !self.edits.is_empty() {
                row.push(cell(pod.before.as_ref()));
            }
            row.push(cell(pod.after.as_ref()));
            row
        }));
        aligned(&rows)
    }

    /// Those who wait in the end, by equal reason.
    fn reasons(&self, text: &mut String) {
        let mut by_reason: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for standing in self.pods.iter().filter_map(|pod| pod.after.as_ref()) {
            if standing.node.is_none() {
                *by_reason.entry((&standing.reason, &standing.message)).or_default() += 1;
            }
        }
        for ((reason, message), count) in by_reason {
            let wait = if count == 1 { "pod waits" } else { "pods wait" };
            let _ = writeln!(text, "{count} {wait} ({reason}): {message}");
        }
    }
}

fn of_nodes(count: usize) -> String {
    let nodes = if count == 1 { "node" } else { "nodes" };
    format!("{count} {nodes}")
}

fn capacity_line(capacity: &Capacity, text: &mut String) {
    let Capacity { fits, pods_each, .. } = capacity;
    let what = if *pods_each == 1 {
        "of the pod".to_owned()
    } else {
        format!("of the {pods_each} pods as a whole")
    };
    if capacity.limit_reached {
        let _ = writeln!(text, "{fits} more {what} fit, and so may more: the limit was reached.");
    } else {
        let _ = writeln!(
            text,
            "{fits} more {what} fit; the next one waits ({}): {}",
            capacity.reason, capacity.message
        );
    }
}

fn cell(standing: Option<&Standing>) -> String {
    match standing {
        None => "<gone>".to_owned(),
        Some(Standing { node: Some(node), .. }) => format!("on {node}"),
        Some(Standing { reason, .. }) if reason.is_empty() => "waits".to_owned(),
        Some(Standing { reason, .. }) => format!("waits ({reason})"),
    }
}

impl Standing {
    fn of(state: &PodState) -> Standing {
        let (node, reason, message) = match state {
            PodState::Queued { reason, message, .. } => (None, reason.clone(), message.clone()),
            PodState::Binding { node } | PodState::Bound { node } => (Some(node.clone()), "".into(), "".into()),
            PodState::Finished => (None, "".into(), "".into()),
        };
        Standing { node, reason, message }
    }
}

fn counted(play: &Play, standings: &Standings) -> Counted {
    let count = |wanted: fn(&PodState) -> bool| standings.values().filter(|(_, state)| wanted(state)).count();
    Counted {
        nodes: play.nodes(),
        placed: count(|state| matches!(state, PodState::Binding { .. } | PodState::Bound { .. })),
        waiting: count(|state| matches!(state, PodState::Queued { .. })),
    }
}
