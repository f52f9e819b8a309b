//! What would help: changes to a pod, a node or a group, each tried before it is offered.
//!
//! A remedy that needs filters to be asked is *proved*: with it, the pod has a node, or the gang places for as many members
//! as it needs, counting the places of the others. What only people can bring about (a policy object, a lifted gate, more
//! members) is asked for first, and what else it takes is tried on top of that.

use super::Crowd;
use super::change::Change;
use super::nodes::{Miss, Objection};
use super::what_if::{Edit, Wanted, WhatIf};
use crate::diagnosis::{self, amount_of};
use crate::plan::Plan;
use crate::pods::PodId;
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::record::{PodSpec, WhenUnsatisfiable};
use muster_framework::resource::ResourceOrd;
use muster_framework::selector::{Operator, Requirement};
use muster_framework::table::NodeOrd;
use muster_framework::taint::{Taint, TaintEffect};
use muster_framework::view::{Delta, View};
use std::collections::{BTreeMap, BTreeSet};

/// Remedies that are offered.
pub(super) const OFFERED: usize = 8;
/// Near misses that remedies are looked for on.
pub(super) const NODES: usize = 8;
/// Amounts that a request may be lowered to are found among the room on so many nodes.
const AMOUNTS: usize = 512;

/// What is to be tried.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidate {
    pub(super) changes: Vec<Change>,
    /// Of the pods that find no place.
    pub(super) edits: Vec<Edit>,
    /// The edits stand for a change of this node: elsewhere the pods are what they are.
    pub(super) node: Option<NodeOrd>,
    pub(super) end: Vec<PodId>,
    /// How much of what it asked for a pod gives up, in hundredths: what is lost by a lower request.
    pub(super) given_up: u64,
    /// Who ends, if whole gangs are among them.
    pub(super) crowd: Option<Crowd>,
}

impl Candidate {
    /// Whether the other asks for less of the same, and of nothing else.
    fn gives_up_less(&self, other: &Candidate) -> bool {
        let resources = |candidate: &Candidate| -> Option<Vec<Text>> {
            let resource = |change: &Change| match change {
                Change::LowerRequest { resource, .. } => Some(resource.clone()),
                _ => None,
            };
            candidate.changes.iter().map(resource).collect()
        };
        self.given_up > 0
            && self.given_up <= other.given_up
            && resources(self).is_some_and(|own| Some(own) == resources(other))
    }

    /// Whether all that it takes is smaller requests: that helps whatever the cause.
    pub(super) fn only_asks_for_less(&self) -> bool {
        let mut changes = self.changes.iter();
        changes.all(|change| matches!(change, Change::LowerRequest { .. }))
    }

    pub(super) fn size(&self) -> u64 {
        self.given_up + self.changes.iter().map(Change::size).sum::<u64>()
    }
}

/// Who wants places, and how it looks.
pub(super) struct Situation {
    pub(super) wanted: Vec<Wanted>,
    pub(super) required: u32,
    /// The first kind that finds no place for all of its members.
    pub(super) culprit: usize,
    pub(super) culprit_name: Text,
    /// How many others of that kind there are.
    pub(super) twins: u32,
    /// Members of that kind which have none, as far as they are needed.
    pub(super) missing: u32,
    /// The places of the others.
    pub(super) plan: Plan,
    pub(super) misses: Vec<Miss>,
    /// Pods that must not be asked to end: members of the same group.
    pub(super) own: BTreeSet<PodId>,
}

impl WhatIf<'_> {
    /// How it looks as things are. None: all have places, or that cannot be found out.
    pub(super) fn situation(&mut self, wanted: Vec<Wanted>, required: u32, own: BTreeSet<PodId>) -> Option<Situation> {
        let outcome = self.pass(&Delta::default(), &wanted, false)?;
        let culprit = wanted
            .iter()
            .zip(&outcome.placed)
            .position(|(kind, placed)| *placed < kind.count)?;
        let (of_kind, placed) = (&wanted[culprit], outcome.placed[culprit]);
        let in_all = outcome.placed.iter().sum::<u32>();
        let missing = (of_kind.count - placed).min(required.saturating_sub(in_all)).max(1);
        let misses = self.misses(of_kind.stand_in, &outcome.plan);
        Some(Situation {
            culprit_name: self.engine.name_of(of_kind.nth(placed)),
            twins: of_kind.count - 1,
            required,
            culprit,
            missing,
            plan: outcome.plan,
            misses,
            own,
            wanted,
        })
    }

    /// What helps, the smallest first.
    pub(super) fn remedies(&mut self, situation: &Situation) -> Vec<Candidate> {
        let mut candidates = self.edits_by_node(situation);
        candidates.extend(self.changes_of_nodes(situation));
        candidates.extend(self.single_rules(situation));
        candidates.sort_by_key(Candidate::size);
        let mut found: Vec<Candidate> = Vec::new();
        found.extend(self.lower_requests(situation));
        found.extend(self.ends_of_pods(situation));
        for candidate in candidates {
            let is_more = |known: &Candidate| known.changes.iter().all(|change| candidate.changes.contains(change));
            if found.len() >= OFFERED
                || found.iter().any(is_more)
                || found.iter().any(|known| known.gives_up_less(&candidate))
            {
                continue;
            }
            if self.helps(situation, &candidate) {
                found.push(candidate);
            }
        }
        found.sort_by_key(Candidate::size);
        found
    }

    /// Whether enough find places with it.
    pub(super) fn helps(&mut self, situation: &Situation, candidate: &Candidate) -> bool {
        let mut wanted = situation.wanted.clone();
        let culprit = &mut wanted[situation.culprit];
        if !candidate.edits.is_empty() {
            let Some(edited) = self.stand_in(culprit.member, &candidate.edits) else {
                return false;
            };
            match candidate.node {
                Some(node) => culprit.elsewhere = Some((edited, [node].into_iter().collect::<NodeSet>())),
                None => culprit.stand_in = edited,
            }
        }
        let base = self.without(&candidate.end);
        self.goes(&base, &wanted, situation.required)
    }

    fn spec<'a>(&'a self, situation: &Situation) -> Option<&'a PodSpec> {
        let member = situation.wanted[situation.culprit].member;
        Some(&*self.engine.cluster.pods.get(member)?.record.spec)
    }

    /// For each near miss: what the pod would have to be for that node.
    fn edits_by_node(&self, situation: &Situation) -> Vec<Candidate> {
        let Some(spec) = self.spec(situation) else {
            return Vec::new();
        };
        let misses = situation.misses.iter().take(NODES);
        let of_node = |miss: &Miss| {
            let mut candidate = Candidate::default();
            for objection in &miss.objections {
                self.edit_for(situation, spec, objection, &mut candidate)?;
            }
            Some(candidate)
        };
        misses.filter_map(of_node).collect()
    }

    /// What the pod would have to change that one objection falls. None: nothing that is known helps.
    fn edit_for(
        &self,
        situation: &Situation,
        spec: &PodSpec,
        objection: &Objection,
        candidate: &mut Candidate,
    ) -> Option<()> {
        let pod = &situation.culprit_name;
        let drop = |candidate: &mut Candidate, edit: Edit, field: String| {
            candidate.edits.push(edit);
            candidate.changes.push(Change::Drop {
                pod: pod.clone(),
                twins: situation.twins,
                field: field.into(),
            });
        };
        match objection.plugin {
            "NodeResourcesFit" if !objection.short.is_empty() => {
                for &(resource, lack) in &objection.short {
                    let need = self.need(situation, resource)?;
                    self.lower(situation, resource, need - lack, candidate)?;
                }
            }
            "TaintToleration" => {
                for taint in &objection.taints {
                    candidate.edits.push(Edit::Tolerate(taint.clone()));
                    candidate.changes.push(Change::Tolerate {
                        pod: pod.clone(),
                        twins: situation.twins,
                        taint: diagnosis::taint(taint).into(),
                    });
                }
            }
            "NodeAffinity" => drop(
                candidate,
                Edit::NoNodeRules,
                "its node selector and node affinity".to_owned(),
            ),
            "NodePorts" => drop(candidate, Edit::NoHostPorts, "its host ports".to_owned()),
            "InterPodAffinity" => {
                for (at, term) in spec.anti_affinity.iter().enumerate() {
                    drop(candidate, Edit::NoAntiAffinity(at), anti_affinity(&term.topology_key));
                }
                for (at, term) in spec.affinity.iter().enumerate() {
                    drop(candidate, Edit::NoAffinity(at), affinity(&term.topology_key));
                }
            }
            "PodTopologySpread" => {
                let hard = spec.spread.iter().enumerate();
                let hard = hard.filter(|(_, rule)| rule.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule);
                for (at, rule) in hard {
                    drop(candidate, Edit::NoSpread(at), spread(&rule.pods.topology_key));
                }
            }
            // To tolerate a cordon is nothing to advise: the node can be uncordoned.
            _ => return None,
        }
        Some(())
    }

    fn need(&self, situation: &Situation, resource: ResourceOrd) -> Option<i64> {
        let stand_in = situation.wanted[situation.culprit].stand_in;
        let pod = self.engine.cluster.to_place(stand_in)?;
        let found = pod.compiled.needs.iter().find(|(of, _)| *of == resource);
        found.map(|(_, need)| *need)
    }

    /// The pod asks for no more than so much. None: that would be nothing, or it is no request.
    fn lower(&self, situation: &Situation, resource: ResourceOrd, to: i64, candidate: &mut Candidate) -> Option<()> {
        let need = self.need(situation, resource)?;
        if to <= 0 || resource == ResourceOrd::PODS {
            return None;
        }
        candidate.edits.push(Edit::Request(resource, to));
        candidate.given_up += u64::try_from(i128::from(need - to) * 100 / i128::from(need)).unwrap_or(0);
        candidate.changes.push(Change::LowerRequest {
            pod: situation.culprit_name.clone(),
            twins: situation.twins,
            resource: self.engine.cluster.table.resource_name(resource).into(),
            from: amount_of(resource, need).into(),
            to: amount_of(resource, to).into(),
        });
        Some(())
    }

    /// For each near miss: what the node would have to be for the pod.
    fn changes_of_nodes(&self, situation: &Situation) -> Vec<Candidate> {
        let Some(spec) = self.spec(situation) else {
            return Vec::new();
        };
        let misses = situation.misses.iter().take(NODES);
        let of_node = |miss: &Miss| {
            let mut candidate = Candidate {
                node: Some(miss.node),
                ..Candidate::default()
            };
            for objection in &miss.objections {
                self.change_of_node(situation, spec, miss.node, objection, &mut candidate)?;
            }
            Some(candidate)
        };
        misses.filter_map(of_node).collect()
    }

    fn change_of_node(
        &self,
        situation: &Situation,
        spec: &PodSpec,
        node: NodeOrd,
        objection: &Objection,
        candidate: &mut Candidate,
    ) -> Option<()> {
        let table = &self.engine.cluster.table;
        let name = table.name(node);
        match objection.plugin {
            "NodeResourcesFit" if !objection.short.is_empty() => {
                let view = View::new(table, &situation.plan.delta);
                for &(resource, _) in &objection.short {
                    let need = self.need(situation, resource)?;
                    let (free, missing) = (view.free(node, resource), i64::from(situation.missing));
                    // Asking for less in its stead proves nothing where there is nothing at all.
                    let share = free.checked_div(missing).filter(|share| *share > 0)?;
                    if resource == ResourceOrd::PODS {
                        return None;
                    }
                    candidate.edits.push(Edit::Request(resource, share));
                    candidate.changes.push(Change::Enlarge {
                        node: name.clone(),
                        resource: table.resource_name(resource).into(),
                        by: amount_of(resource, need.checked_mul(missing)?.checked_sub(free)?).into(),
                    });
                }
            }
            "TaintToleration" => {
                for taint in &objection.taints {
                    candidate.edits.push(Edit::Tolerate(taint.clone()));
                    candidate.changes.push(Change::RemoveTaint {
                        node: name.clone(),
                        taint: diagnosis::taint(taint).into(),
                    });
                }
            }
            "NodeUnschedulable" => {
                candidate.edits.push(Edit::Tolerate(Taint {
                    key: "node.kubernetes.io/unschedulable".into(),
                    value: "".into(),
                    effect: TaintEffect::NoSchedule,
                }));
                candidate.changes.push(Change::Uncordon { node: name.clone() });
            }
            "NodeAffinity" => {
                candidate.edits.push(Edit::NoNodeRules);
                for (key, value) in labels_for(spec, table.labels(node))? {
                    candidate.changes.push(Change::Label {
                        node: name.clone(),
                        key,
                        value,
                    });
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Rules of the pod by themselves: of several it may be one that stands in the way.
    fn single_rules(&self, situation: &Situation) -> Vec<Candidate> {
        let Some(spec) = self.spec(situation) else {
            return Vec::new();
        };
        let pod = &situation.culprit_name;
        let drop = |edit: Edit, field: String| Candidate {
            edits: vec![edit],
            changes: vec![Change::Drop {
                pod: pod.clone(),
                twins: situation.twins,
                field: field.into(),
            }],
            ..Candidate::default()
        };
        let mut candidates = Vec::new();
        let objects = |plugin: &str| {
            let misses = situation.misses.iter();
            misses
                .flat_map(|miss| &miss.objections)
                .any(|objection| objection.plugin == plugin)
        };
        if objects("InterPodAffinity") {
            let anti = spec.anti_affinity.iter().enumerate();
            candidates.extend(anti.map(|(at, term)| drop(Edit::NoAntiAffinity(at), anti_affinity(&term.topology_key))));
            let wanted = spec.affinity.iter().enumerate();
            candidates.extend(wanted.map(|(at, term)| drop(Edit::NoAffinity(at), affinity(&term.topology_key))));
        }
        if objects("PodTopologySpread") {
            let rules = spec.spread.iter().enumerate();
            let hard = rules.filter(|(_, rule)| rule.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule);
            candidates.extend(hard.map(|(at, rule)| drop(Edit::NoSpread(at), spread(&rule.pods.topology_key))));
        }
        candidates
    }

    /// The largest request, of each resource that is short somewhere, with which it goes: if there is one that does alone.
    fn lower_requests(&mut self, situation: &Situation) -> Vec<Candidate> {
        let short = situation
            .misses
            .iter()
            .flat_map(|miss| &miss.objections)
            .flat_map(|objection| &objection.short);
        let short: BTreeSet<ResourceOrd> = short.map(|(resource, _)| *resource).collect();
        let mut found = Vec::new();
        for resource in short {
            let amounts = self.amounts(situation, resource);
            let mut candidates: Vec<Candidate> = Vec::new();
            for to in amounts {
                let mut candidate = Candidate::default();
                if self.lower(situation, resource, to, &mut candidate).is_some() {
                    candidates.push(candidate);
                }
            }
            // Less always goes where more does: the border is found by halving.
            let (mut goes, mut fails) = (0, candidates.len());
            while goes < fails {
                let middle = goes + (fails - goes) / 2;
                if self.helps(situation, &candidates[middle]) {
                    goes = middle + 1;
                } else {
                    fails = middle;
                }
            }
            if let Some(best) = goes.checked_sub(1) {
                found.push(candidates.swap_remove(best));
            }
        }
        found
    }

    /// Amounts that fill nodes with one member or several, in ascending order: the largest that goes is one of them.
    fn amounts(&self, situation: &Situation, resource: ResourceOrd) -> Vec<i64> {
        let table = &self.engine.cluster.table;
        let empty = Delta::default();
        let views = [View::new(table, &situation.plan.delta), View::new(table, &empty)];
        let Some(need) = self.need(situation, resource) else {
            return Vec::new();
        };
        let count = i64::from(situation.wanted[situation.culprit].count.min(64));
        let mut amounts = BTreeSet::new();
        'nodes: for miss in &situation.misses {
            for free in views.map(|view| view.free(miss.node, resource)) {
                amounts.extend(
                    (1..=count)
                        .map(|members| free / members)
                        .filter(|amount| (1..need).contains(amount)),
                );
            }
            if amounts.len() > AMOUNTS {
                break 'nodes;
            }
        }
        amounts.into_iter().collect()
    }
}

fn anti_affinity(key: &str) -> String {
    format!("its required anti-affinity by {key}")
}

fn affinity(key: &str) -> String {
    format!("its required affinity by {key}")
}

fn spread(key: &str) -> String {
    format!("its hard spread constraint by {key}")
}

/// The labels that a node lacks to be one that the pod's rules allow. None: labels alone do not do it, or they say where
/// the node is.
fn labels_for(spec: &PodSpec, labels: &Labels) -> Option<Vec<(Text, Text)>> {
    let spread = spec.spread.iter().map(|rule| &rule.pods.topology_key);
    let company = spec
        .affinity
        .iter()
        .chain(&spec.anti_affinity)
        .map(|term| &term.topology_key);
    let topology: Vec<&Text> = spread.chain(company).collect();
    let is_place = |key: &Text| &**key == "kubernetes.io/hostname" || topology.contains(&key);
    let mut missing: BTreeMap<Text, Text> = BTreeMap::new();
    for (key, value) in spec
        .node_selector
        .iter()
        .filter(|(key, value)| labels.get(key) != Some(value))
    {
        missing.insert(key.clone(), value.clone());
    }
    if let Some(terms) = &spec.node_affinity {
        let for_term = terms.iter().find_map(|term| {
            let stated = !term.match_expressions.is_empty() && term.match_fields.is_empty();
            let mut added = missing.clone();
            for requirement in term.match_expressions.iter().filter(|_| stated) {
                let value = |added: &BTreeMap<Text, Text>| {
                    added.get(&requirement.key).or(labels.get(&requirement.key)).cloned()
                };
                if !matches(requirement, value(&added).as_ref()) {
                    added.insert(requirement.key.clone(), satisfying(requirement)?);
                }
            }
            let after = |key: &Text| added.get(key).or(labels.get(key));
            let all = term
                .match_expressions
                .iter()
                .all(|requirement| matches(requirement, after(&requirement.key)));
            let selector = spec.node_selector.iter().all(|(key, value)| after(key) == Some(value));
            (stated && all && selector).then_some(added)
        });
        missing = for_term?;
    }
    let any_place = missing.keys().any(is_place);
    (!missing.is_empty() && !any_place).then(|| missing.into_iter().collect())
}

fn matches(requirement: &Requirement, value: Option<&Text>) -> bool {
    requirement.matches(value.map(|value| &**value))
}

/// A value that a requirement takes.
fn satisfying(requirement: &Requirement) -> Option<Text> {
    match requirement.operator {
        Operator::In => requirement.values.first().cloned(),
        Operator::Exists => Some("true".into()),
        _ => None,
    }
}
