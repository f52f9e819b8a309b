//! What keeps a pod off the nodes: all of them by the first plugin that rejects, and those that lack least in detail.

use super::what_if::WhatIf;
use super::{NearMiss, NodeVerdicts, RejectedBy};
use crate::diagnosis::{self, amount_of};
use crate::plan::{Plan, Wish};
use crate::pods::PodId;
use muster_framework::Text;
use muster_framework::plugin::PodToPlace;
use muster_framework::rejection::{Reason, Rejections};
use muster_framework::resource::ResourceOrd;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::taint::{Taint, tolerated};
use muster_framework::view::View;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Names of nodes that are given of each plugin.
const EXAMPLES: usize = 3;
/// Near misses that are told.
const TOLD: usize = 5;

/// What one plugin has against a node, whatever the others say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) plugin: &'static str,
    /// Of resources: what is short, and by how much.
    pub(super) short: Vec<(ResourceOrd, i64)>,
    /// The taints that are not tolerated.
    pub(super) taints: Vec<Taint>,
    /// In words.
    pub(super) words: String,
}

/// A node that cannot take a pod, and everything that stands against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miss {
    pub(super) node: NodeOrd,
    pub(super) objections: Vec<Objection>,
}

impl WhatIf<'_> {
    /// All nodes by the first plugin that rejects a stand-in on top of a plan.
    pub(super) fn verdicts(&mut self, name: Text, stand_in: PodId, plan: &Plan) -> Option<(NodeVerdicts, String)> {
        self.spend(1);
        let (rejections, feasible) = self.engine.with_pod(
            Wish::of(stand_in, stand_in),
            plan,
            |pipeline, profile, pod, view, choice| {
                let rejections = pipeline.filter_in_detail(profile, pod, view, choice.nominated);
                (rejections, pipeline.feasible().len())
            },
        )?;
        let table = &self.engine.cluster.table;
        let verdicts = NodeVerdicts {
            pod: name,
            counting_others: plan.places.len() as u32,
            nodes: table.len() as u32,
            feasible: feasible as u32,
            rejected: rejected(table, &rejections),
        };
        Some((verdicts, diagnosis::no_node(table, &rejections)))
    }

    /// Everything that stands against each node for a stand-in on top of a plan, the nodes that lack least first. Nodes that
    /// only a promise to others keeps are left out.
    pub(super) fn misses(&mut self, stand_in: PodId, plan: &Plan) -> Vec<Miss> {
        // Every filter judges every node: about as much as a few passes, each of which stops at the first rejection.
        self.spend(4);
        let found = self
            .engine
            .with_pod(Wish::of(stand_in, stand_in), plan, |pipeline, profile, pod, view, _| {
                let mut nodes: BTreeMap<NodeOrd, Vec<Objection>> = BTreeMap::new();
                for (plugin, rejections) in pipeline.objections(profile, pod, view) {
                    for rejection in rejections.details() {
                        let objection = objection(plugin, pod, view, rejection.node, &rejection.reasons);
                        nodes.entry(rejection.node).or_default().push(objection);
                    }
                }
                let lack = |node: NodeOrd, objections: &[Objection]| -> i128 {
                    let short = objections.iter().flat_map(|objection| &objection.short);
                    let share = |(resource, lack): &(ResourceOrd, i64)| {
                        let all = view.table().allocatable(*resource)[node.index()].max(1);
                        i128::from(*lack) * 1_000_000 / i128::from(all)
                    };
                    short.map(share).sum()
                };
                let mut misses: Vec<_> = nodes
                    .into_iter()
                    .map(|(node, objections)| ((objections.len(), lack(node, &objections)), Miss { node, objections }))
                    .collect();
                misses.sort_by_key(|(key, miss)| (*key, miss.node));
                misses.into_iter().map(|(_, miss)| miss).collect()
            });
        found.unwrap_or_default()
    }

    /// The first few of the misses, for people.
    pub(super) fn told(&self, misses: &[Miss]) -> Vec<NearMiss> {
        let near = misses.iter().take(TOLD).map(|miss| NearMiss {
            node: self.engine.cluster.table.name(miss.node).clone(),
            lacks: miss
                .objections
                .iter()
                .map(|objection| (objection.plugin.into(), objection.words.clone()))
                .collect(),
        });
        near.collect()
    }
}

fn rejected(table: &NodeTable, rejections: &Rejections) -> Vec<RejectedBy> {
    if let Some(pod) = rejections.of_pod() {
        let n = table.len() as u32;
        return vec![RejectedBy {
            plugin: pod.plugin.into(),
            nodes: n,
            reasons: pod.reasons.iter().map(|reason| (reason.text(table), n)).collect(),
            examples: Vec::new(),
        }];
    }
    let of_plugin = |&(plugin, nodes): &(&'static str, u32)| {
        let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
        let details = || rejections.details().iter().filter(|detail| detail.plugin == plugin);
        for reason in details().flat_map(|detail| &detail.reasons) {
            *reasons.entry(reason.text(table)).or_default() += 1;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| Reverse(*count));
        RejectedBy {
            plugin: plugin.into(),
            nodes,
            reasons,
            examples: details()
                .take(EXAMPLES)
                .map(|detail| table.name(detail.node).clone())
                .collect(),
        }
    };
    rejections.by_plugin().iter().map(of_plugin).collect()
}

fn objection(
    plugin: &'static str,
    pod: &PodToPlace<'_>,
    view: &View<'_>,
    node: NodeOrd,
    reasons: &[Reason],
) -> Objection {
    let table = view.table();
    let short: Vec<(ResourceOrd, i64)> = match plugin {
        "NodeResourcesFit" => lacking(pod, view, node).collect(),
        _ => Vec::new(),
    };
    let taints: Vec<Taint> = match plugin {
        "TaintToleration" => untolerated(pod, table, node).cloned().collect(),
        _ => Vec::new(),
    };
    let of_resources = short.iter().map(|&(resource, lack)| {
        let name = if resource == ResourceOrd::PODS {
            "pods"
        } else {
            table.resource_name(resource)
        };
        let [lack, free, all] = [
            lack,
            view.free(node, resource),
            table.allocatable(resource)[node.index()],
        ]
        .map(|amount| amount_of(resource, amount));
        format!("lacks {lack} {name} ({free} of {all} is free)")
    });
    let of_taints = taints
        .iter()
        .map(|taint| format!("taint {} is not tolerated", diagnosis::taint(taint)));
    let mut words: Vec<String> = of_resources.chain(of_taints).collect();
    let unknown = |reason: &&Reason| words_are_missing(plugin, reason);
    words.extend(
        reasons
            .iter()
            .filter(unknown)
            .map(|reason| reason.text(table))
            .collect::<Vec<_>>(),
    );
    Objection {
        plugin,
        short,
        taints,
        words: words.join(", "),
    }
}

/// Whether amounts or taints do not say the same already.
fn words_are_missing(plugin: &str, reason: &Reason) -> bool {
    match plugin {
        "NodeResourcesFit" => !matches!(reason, Reason::Insufficient(_)),
        "TaintToleration" => false,
        _ => true,
    }
}

/// What a pod needs and a node has not left.
fn lacking<'a>(pod: &'a PodToPlace<'a>, view: &'a View<'a>, node: NodeOrd) -> impl Iterator<Item = (ResourceOrd, i64)> {
    let needs = pod.compiled.needs.iter();
    let lack = move |&(resource, need): &(ResourceOrd, i64)| (resource, need.saturating_sub(view.free(node, resource)));
    needs.map(lack).filter(|(_, lack)| *lack > 0)
}

fn untolerated<'a>(pod: &'a PodToPlace<'a>, table: &'a NodeTable, node: NodeOrd) -> impl Iterator<Item = &'a Taint> {
    let taints = table.taint_sets().nth(table.taint_set(node)).unwrap_or(&[]);
    let keeps_off = |taint: &&Taint| taint.effect.keeps_off() && !tolerated(&pod.spec.tolerations, taint);
    taints.iter().filter(keeps_off)
}
