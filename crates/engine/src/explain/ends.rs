//! Pods whose end would make room: the least urgent and the fewest, gangs as a whole.

use super::Crowd;
use super::change::Change;
use super::nodes::Miss;
use super::remedies::{Candidate, NODES, Situation};
use super::what_if::WhatIf;
use crate::groups::GroupId;
use crate::pods::PodId;
use muster_framework::Text;
use muster_framework::group::GroupPolicy;
use muster_framework::table::NodeOrd;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Nodes whose pods may be asked to end, and how many pods that may be in all.
const NODES_TO_EMPTY: usize = 64;
const PODS_TO_END: usize = 512;

/// Pods that end together.
#[derive(Debug, Clone)]
struct Unit {
    pods: Vec<PodId>,
    priority: i32,
    gang: Option<Text>,
}

/// What pods can stand in the way of.
const MADE_BY_PODS: [&str; 6] = [
    "NodeResourcesFit",
    "NodePorts",
    "InterPodAffinity",
    "PodTopologySpread",
    "NodeVolumeLimits",
    "VolumeRestrictions",
];

impl WhatIf<'_> {
    /// The pods whose end would make room: of one node if that will do, the least urgent and the fewest.
    pub(super) fn ends_of_pods(&mut self, situation: &Situation) -> Option<Candidate> {
        let by_pods = |miss: &&Miss| {
            miss.objections
                .iter()
                .all(|objection| MADE_BY_PODS.contains(&objection.plugin))
        };
        let nodes: Vec<NodeOrd> = situation.misses.iter().filter(by_pods).map(|miss| miss.node).collect();
        let mut best: Option<((i32, usize), Candidate)> = None;
        if situation.missing == 1 {
            for node in nodes.iter().take(NODES) {
                let units = self.units(situation, &[*node]);
                best = best
                    .into_iter()
                    .chain(self.fewest(situation, units))
                    .min_by_key(|(cost, _)| *cost);
            }
        }
        if best.is_none() {
            let nodes: Vec<NodeOrd> = if nodes.is_empty() {
                Vec::new()
            } else {
                // Pods elsewhere in the domain may be in the way, too.
                let others = self
                    .engine
                    .cluster
                    .table
                    .live()
                    .iter()
                    .filter(|node| !nodes.contains(node));
                nodes
                    .iter()
                    .copied()
                    .chain(others.collect::<Vec<_>>())
                    .take(NODES_TO_EMPTY)
                    .collect()
            };
            let units = self.units(situation, &nodes);
            best = self.fewest(situation, units);
        }
        best.map(|(_, candidate)| candidate)
    }

    /// What could end on these nodes, gangs as a whole; first what is best kept.
    fn units(&self, situation: &Situation, nodes: &[NodeOrd]) -> Vec<Unit> {
        let cluster = &self.engine.cluster;
        let mut units: BTreeMap<(Option<GroupId>, Option<PodId>), Unit> = BTreeMap::new();
        let names = nodes.iter().map(|node| cluster.table.name(*node));
        let here = names
            .flat_map(|name| cluster.pods_on(name))
            .filter(|pod| !situation.own.contains(pod));
        for id in here.take(PODS_TO_END) {
            let Some(pod) = cluster.pods.get(id) else { continue };
            let gang = pod.group.map(|(group, _)| group).filter(|group| {
                let group = self.engine.groups.get(*group);
                group.is_some_and(|group| matches!(self.engine.groups.policy(group), Ok(GroupPolicy::Gang { .. })))
            });
            let key = (gang, gang.is_none().then_some(id));
            if units.contains_key(&key) {
                continue;
            }
            let group = gang.and_then(|gang| self.engine.groups.get(gang));
            let placed = |pod: &PodId| cluster.pods.get(*pod).is_some_and(|pod| pod.place.is_some());
            let pods = match group {
                Some(group) => group.members.keys().copied().filter(placed).collect(),
                None => vec![id],
            };
            units.insert(
                key,
                Unit {
                    pods,
                    priority: cluster.priority(&pod.record),
                    gang: group.map(|group| group.key.to_string().into()),
                },
            );
        }
        let mut units: Vec<Unit> = units.into_values().collect();
        units.sort_by_key(|unit| (Reverse(unit.priority), Reverse(unit.pods.len())));
        units
    }

    /// The units that have to end, when as many as possible are kept, those that come first before others. None: not even
    /// the end of all of them helps.
    fn fewest(&mut self, situation: &Situation, units: Vec<Unit>) -> Option<((i32, usize), Candidate)> {
        if units.is_empty() {
            return None;
        }
        let mut ends = vec![true; units.len()];
        if !self.helps(situation, &ending(&units, &ends)) {
            return None;
        }
        let mut ranges = Vec::from([(0, units.len())]);
        while let Some((start, end)) = ranges.pop() {
            ends[start..end].fill(false);
            if self.helps(situation, &ending(&units, &ends)) {
                continue;
            }
            ends[start..end].fill(true);
            if end - start > 1 {
                let middle = start + (end - start) / 2;
                ranges.push((middle, end));
                ranges.push((start, middle));
            }
        }
        let mut candidate = ending(&units, &ends);
        let ending = || units.iter().zip(&ends).filter(|(_, ends)| **ends).map(|(unit, _)| unit);
        let pods = candidate.end.iter().filter_map(|pod| self.engine.reference_of(*pod));
        let pods: Vec<Text> = pods
            .map(|pod| format!("{}/{}", pod.namespace, pod.name).into())
            .collect();
        if pods.is_empty() {
            return None;
        }
        let priority = ending().map(|unit| unit.priority).max().unwrap_or(0);
        let cost = (priority, pods.len());
        let gangs: Vec<Text> = ending().filter_map(|unit| unit.gang.clone()).collect();
        candidate.crowd = (!gangs.is_empty()).then(|| Crowd {
            gangs: gangs.clone(),
            others: ending().filter(|unit| unit.gang.is_none()).count() as u32,
        });
        candidate.changes.push(Change::End { pods, gangs });
        Some((cost, candidate))
    }
}

fn ending(units: &[Unit], ends: &[bool]) -> Candidate {
    let ending = units.iter().zip(ends).filter(|(_, ends)| **ends);
    Candidate {
        end: ending.flat_map(|(unit, _)| unit.pods.iter().copied()).collect(),
        ..Candidate::default()
    }
}
