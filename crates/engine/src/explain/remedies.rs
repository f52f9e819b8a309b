//! What would help: changes to a pod, a node or a group, each tried before it is offered.
//!
//! A remedy that needs filters to be asked is *proved*: with it, the pod has a node, or the gang places for as many members
//! as it needs, counting the places of the others. What only people can bring about (a policy object, a lifted gate, more
//! members) is asked for first, and what else it takes is tried on top of that.

use super::nodes::{Miss, Objection};
use super::what_if::{Edit, Wanted, WhatIf};
use super::{Explanation, Stage};
use crate::diagnosis::{self, amount_of};
use crate::engine::Engine;
use crate::groups::{GroupId, Hold};
use crate::plan::Plan;
use crate::pods::PodId;
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy};
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::record::{PodSpec, WhenUnsatisfiable};
use muster_framework::resource::ResourceOrd;
use muster_framework::selector::{Operator, Requirement};
use muster_framework::table::NodeOrd;
use muster_framework::taint::{Taint, TaintEffect};
use muster_framework::view::{Delta, View};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Remedies that are offered.
const OFFERED: usize = 8;
/// Near misses that remedies are looked for on.
const NODES: usize = 8;
/// Nodes whose pods may be asked to end, and how many pods that may be in all.
const NODES_TO_EMPTY: usize = 64;
const PODS_TO_END: usize = 512;
/// Amounts that a request may be lowered to are found among the room on so many nodes.
const AMOUNTS: usize = 512;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// A pod, and its twins, ask for less. Amounts are quantities, as Kubernetes reads them.
    LowerRequest {
        /// The pod's name.
        pod: Text,
        /// The resource.
        resource: Text,
        /// What it asks for.
        from: Text,
        /// What it could have.
        to: Text,
    },
    /// A pod, and its twins, tolerate a taint.
    Tolerate {
        /// The pod's name.
        pod: Text,
        /// `key=value:effect`.
        taint: Text,
    },
    /// A pod, and its twins, do without some of their rules.
    Drop {
        /// The pod's name.
        pod: Text,
        /// The field.
        field: Text,
    },
    /// A node loses a taint.
    RemoveTaint {
        /// The node.
        node: Text,
        /// `key=value:effect`.
        taint: Text,
    },
    /// A node takes pods again.
    Uncordon {
        /// The node.
        node: Text,
    },
    /// A node gets a label.
    Label {
        /// The node.
        node: Text,
        /// The key.
        key: Text,
        /// The value.
        value: Text,
    },
    /// A node has more of a resource.
    Enlarge {
        /// The node.
        node: Text,
        /// The resource.
        resource: Text,
        /// How much more, as a quantity.
        by: Text,
    },
    /// Pods end, whoever scheduled them.
    End {
        /// `namespace/name` of each.
        pods: Vec<Text>,
        /// The gangs that some of them are of; they end as a whole.
        gangs: Vec<Text>,
    },
    /// A group gets more members.
    AddMembers {
        /// The group.
        group: Text,
        /// How many.
        count: u32,
        /// A member that they are like.
        like: Text,
    },
    /// A gang makes do with fewer members.
    LowerMinCount {
        /// The group.
        group: Text,
        /// How many it needs.
        from: u32,
        /// How many it could need.
        to: u32,
    },
    /// Gates of pods are lifted.
    Ungate {
        /// The pods' names.
        pods: Vec<Text>,
        /// The gates.
        gates: Vec<Text>,
    },
    /// The object that holds a group's policy is made.
    CreatePolicy {
        /// In words: kind, name, and what has to be in it.
        object: Text,
    },
    /// Something is put right that makes no sense or cannot be honoured.
    Repair {
        /// What.
        what: Text,
    },
}

impl Change {
    /// The change in words, to follow "Needed:".
    pub fn text(&self) -> String {
        match self {
            Change::LowerRequest {
                pod,
                resource,
                from,
                to,
            } => {
                format!("pod {pod} asks for {to} {resource} in place of {from}")
            }
            Change::Tolerate { pod, taint } => format!("pod {pod} tolerates the taint {taint}"),
            Change::Drop { pod, field } => format!("pod {pod} does without {field}"),
            Change::RemoveTaint { node, taint } => format!("node {node} loses the taint {taint}"),
            Change::Uncordon { node } => format!("node {node} is uncordoned"),
            Change::Label { node, key, value } => format!("node {node} gets the label {key}={value}"),
            Change::Enlarge { node, resource, by } => format!("node {node} has {by} {resource} more"),
            Change::End { pods, gangs } if gangs.is_empty() && pods.len() <= 3 => {
                format!("the end of {}", listed("pod", pods))
            }
            Change::End { pods, gangs } if gangs.is_empty() => format!("the end of {} pods", pods.len()),
            Change::End { pods, gangs } => {
                format!("the end of {} pods, among them {}", pods.len(), listed("gang", gangs))
            }
            Change::AddMembers { group, count: 1, like } => format!("pod group {group} gets 1 more member like {like}"),
            Change::AddMembers { group, count, like } => {
                format!("pod group {group} gets {count} more members like {like}")
            }
            Change::LowerMinCount { group, from, to } => {
                format!("pod group {group} makes do with a minCount of {to} in place of {from}")
            }
            Change::Ungate { pods, gates } => format!(
                "{} {} gated by {} no more",
                listed("pod", pods),
                if pods.len() == 1 { "is" } else { "are" },
                gates.join(", ")
            ),
            Change::CreatePolicy { object } => format!("{object} is created"),
            Change::Repair { what } => what.to_string(),
        }
    }

    /// How much it asks of people, as far as that can be compared.
    fn size(&self) -> u64 {
        match self {
            Change::CreatePolicy { .. } | Change::AddMembers { .. } | Change::Ungate { .. } | Change::Repair { .. } => {
                10
            }
            Change::Tolerate { .. } | Change::Uncordon { .. } => 20,
            Change::RemoveTaint { .. } | Change::Label { .. } => 25,
            Change::LowerRequest { .. } => 30,
            Change::LowerMinCount { from, to, .. } => 40 + u64::from(from.saturating_sub(*to)),
            Change::Drop { .. } => 50,
            Change::Enlarge { .. } => 70,
            Change::End { pods, .. } => 60 + pods.len() as u64,
        }
    }
}

fn listed(kind: &str, names: &[Text]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let shown: Vec<&str> = names.iter().take(5).map(|name| &**name).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{kind}{plural} {}{more}", shown.join(", "))
}

/// Something that would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// All of this together.
    pub changes: Vec<Change>,
    /// It was tried: with it, there are places. If not, it is needed, but other things may be too.
    pub proved: bool,
}

impl Remedy {
    /// The remedy in words.
    pub fn text(&self) -> String {
        let changes: Vec<String> = self.changes.iter().map(Change::text).collect();
        changes.join(", and ")
    }
}

/// What is to be tried.
#[derive(Debug, Clone, Default)]
struct Candidate {
    changes: Vec<Change>,
    /// Of the pods that find no place.
    edits: Vec<Edit>,
    /// The edits stand for a change of this node: elsewhere the pods are what they are.
    node: Option<NodeOrd>,
    end: Vec<PodId>,
    /// How much of what it asked for a pod gives up, in hundredths: what is lost by a lower request.
    given_up: u64,
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

    fn size(&self) -> u64 {
        self.given_up + self.changes.iter().map(Change::size).sum::<u64>()
    }
}

/// Who wants places, and how it looks.
struct Situation {
    wanted: Vec<Wanted>,
    required: u32,
    /// The first kind that finds no place for all of its members.
    culprit: usize,
    culprit_name: Text,
    /// Members of that kind which have none, as far as they are needed.
    missing: u32,
    /// The places of the others.
    plan: Plan,
    misses: Vec<Miss>,
    /// Pods that must not be asked to end: members of the same group.
    own: BTreeSet<PodId>,
}

// ---- pods and groups ---------------------------------------------------------------------------------------------

/// What people have to do before anything is tried, and who wants places then.
#[derive(Default)]
struct Prelude {
    changes: Vec<Change>,
    /// Members that do not exist yet, and one that they are like.
    more: Option<(PodId, u32)>,
    /// That it suffices can be found out.
    is_provable: bool,
}

impl Engine {
    /// Looks at the nodes for a pod that is placed by itself.
    pub(super) fn look_for_pod(&mut self, id: PodId, explanation: &mut Explanation) {
        let mut prelude = Prelude {
            is_provable: true,
            ..Prelude::default()
        };
        match &explanation.stage {
            Stage::Gated { .. } => prelude.changes.extend(self.ungate([id].iter())),
            Stage::Unsupported => {
                prelude.changes.push(self.repair_spec(id));
                prelude.is_provable = false;
            }
            _ => {}
        }
        self.look(&[id], 1, prelude, BTreeSet::new(), explanation);
    }

    /// Looks at the nodes for the members of a group that have no place.
    pub(super) fn look_for_group(&mut self, id: GroupId, explanation: &mut Explanation) {
        let Some(group) = self.groups.get(id) else { return };
        let (key, satisfied) = (group.key.clone(), group.satisfied_by());
        let own: BTreeSet<PodId> = group.members.keys().copied().collect();
        let pending: Vec<PodId> = group.pending.iter().copied().collect();
        let gated: Vec<PodId> = group.gated().iter().copied().collect();
        let quorum = self.groups.quorum(group);
        let required = quorum
            .map_or(pending.len() as u32, |quorum| quorum.saturating_sub(satisfied))
            .max(1);
        let mut prelude = Prelude {
            is_provable: true,
            ..Prelude::default()
        };
        let mut members = pending.clone();
        match self.hold_of(id) {
            None => {}
            Some(Hold::MemberGated { .. }) => {
                prelude.changes.extend(self.ungate(gated.iter()));
                members.extend(&gated);
            }
            Some(Hold::Quorum { have, min_count, .. }) => {
                let mut lacking = min_count - have;
                let of_gated = gated.len().min(lacking as usize);
                if of_gated > 0 {
                    prelude.changes.extend(self.ungate(gated[..of_gated].iter()));
                    members.extend(&gated[..of_gated]);
                    lacking -= of_gated as u32;
                }
                let like = members.first().or(own.first()).copied();
                if let Some(like) = like.filter(|_| lacking > 0) {
                    prelude.changes.push(Change::AddMembers {
                        group: key.to_string().into(),
                        count: lacking,
                        like: self.name_of(like),
                    });
                    prelude.more = Some((like, lacking));
                }
                self.offer_fewer(&key, &pending, [min_count, have, satisfied], &own, explanation);
            }
            Some(hold) => {
                prelude.changes.push(self.repair_group(&key, &hold));
                prelude.is_provable = matches!(hold, Hold::PolicyMissing | Hold::PodGroupMissing);
            }
        }
        self.look(&members, required, prelude, own.clone(), explanation);
        if let (None, Some(min_count)) = (self.hold_of(id), quorum) {
            let placed = explanation.nodes.as_ref().map_or(0, |nodes| nodes.counting_others);
            self.offer_fewer(
                &key,
                &pending,
                [min_count, satisfied + placed, satisfied],
                &own,
                explanation,
            );
        }
        explanation.remedies.sort_by_key(|remedy| {
            let size: u64 = remedy.changes.iter().map(Change::size).sum();
            (!remedy.proved, size)
        });
        explanation.remedies.truncate(OFFERED);
    }

    /// A gang could make do with the members that are there or have room.
    fn offer_fewer(
        &mut self,
        key: &GroupKey,
        pending: &[PodId],
        [min_count, to, satisfied]: [u32; 3],
        own: &BTreeSet<PodId>,
        explanation: &mut Explanation,
    ) {
        if to <= satisfied || to >= min_count {
            return;
        }
        let mut what_if = WhatIf::about(self, pending);
        let wanted = what_if.wanted(pending);
        if what_if.goes(&Delta::default(), &wanted, to - satisfied) {
            let change = Change::LowerMinCount {
                group: key.to_string().into(),
                from: min_count,
                to,
            };
            explanation.remedies.push(Remedy {
                changes: vec![change],
                proved: true,
            });
        }
        debug_assert!(pending.iter().all(|pod| own.contains(pod)));
    }

    fn ungate<'a>(&self, pods: impl Iterator<Item = &'a PodId>) -> Option<Change> {
        let mut names = Vec::new();
        let mut gates = BTreeSet::new();
        for pod in pods.filter_map(|pod| self.cluster.pods.get(*pod)) {
            names.push(pod.record.name.clone());
            gates.extend(pod.record.scheduling_gates().iter().cloned());
        }
        (!names.is_empty()).then(|| Change::Ungate {
            pods: names,
            gates: gates.into_iter().collect(),
        })
    }

    fn repair_spec(&self, id: PodId) -> Change {
        let spec = self.cluster.pods.get(id).map(|pod| pod.record.spec.clone());
        let problems = spec.map_or_else(String::new, |spec| diagnosis::problems(&spec.unsupported));
        Change::Repair {
            what: format!(
                "pod {} is made without what cannot be honoured: {problems}",
                self.name_of(id)
            )
            .into(),
        }
    }

    fn repair_group(&self, key: &GroupKey, hold: &Hold) -> Change {
        match (hold, &key.link) {
            (
                Hold::PolicyMissing,
                GroupLink::Workload {
                    workload, pod_group, ..
                },
            ) => Change::CreatePolicy {
                object: format!("Workload {}/{workload} with the pod group {pod_group:?}", key.namespace).into(),
            },
            (Hold::PolicyMissing, GroupLink::PodGroup { name } | GroupLink::Coscheduling { name }) => {
                Change::CreatePolicy {
                    object: format!("PodGroup {}/{name}", key.namespace).into(),
                }
            }
            (
                Hold::PodGroupMissing,
                GroupLink::Workload {
                    workload, pod_group, ..
                },
            ) => Change::CreatePolicy {
                object: format!("the pod group {pod_group:?} of Workload {}/{workload}", key.namespace).into(),
            },
            _ => Change::Repair {
                what: diagnosis::held(key, hold).into(),
            },
        }
    }

    /// Fills in what is said of nodes, and what would help.
    fn look(
        &mut self,
        pods: &[PodId],
        required: u32,
        prelude: Prelude,
        own: BTreeSet<PodId>,
        explanation: &mut Explanation,
    ) {
        if !self.extenders.is_empty() {
            let note =
                "extenders have a say in pods here and were not asked: a node that is said to do may be refused by one";
            explanation.notes.push(note.to_owned());
        }
        let tells_of_now = matches!(explanation.stage, Stage::WaitingForRoom { .. });
        let mut what_if = WhatIf::about(self, pods);
        let mut wanted = what_if.wanted(pods);
        if let Some((like, more)) = prelude.more {
            match wanted
                .iter_mut()
                .find(|kind| what_if.engine.are_twins(kind.member, like))
            {
                Some(kind) => kind.count += more,
                None => wanted.extend(what_if.stand_in(like, &[]).map(|stand_in| Wanted {
                    member: like,
                    stand_in,
                    count: more,
                    elsewhere: None,
                })),
            }
        }
        let Some(first) = wanted.first() else { return };
        let first = first.clone();
        let goes = prelude.is_provable && what_if.goes(&Delta::default(), &wanted, required);
        let Some(situation) = what_if.situation(wanted, required, own).filter(|_| !goes) else {
            let name = what_if.engine.name_of(first.member);
            let verdicts = what_if.verdicts(name, first.stand_in, &Plan::default());
            explanation.nodes = verdicts.map(|(verdicts, _)| verdicts);
            if goes && tells_of_now && prelude.changes.is_empty() {
                explanation
                    .notes
                    .push("there is room for it now: it is tried again".to_owned());
            }
            if !prelude.changes.is_empty() {
                explanation.remedies.push(Remedy {
                    changes: prelude.changes,
                    proved: goes,
                });
            }
            return;
        };
        let culprit = &situation.wanted[situation.culprit];
        let verdicts = what_if.verdicts(situation.culprit_name.clone(), culprit.stand_in, &situation.plan);
        let misses = &situation.misses;
        explanation.nearest = what_if.told(misses);
        if let Some((verdicts, no_node)) = verdicts {
            explanation.nodes = Some(verdicts);
            if !prelude.changes.is_empty() {
                explanation.notes.push(format!("once it may be tried: {no_node}"));
            }
        }
        let found = if prelude.is_provable {
            what_if.remedies(&situation)
        } else {
            Vec::new()
        };
        if what_if.is_spent() {
            let note = "not everything that might help was tried: that would have held up decisions";
            explanation.notes.push(note.to_owned());
        }
        for mut candidate in found {
            candidate.changes.splice(0..0, prelude.changes.iter().cloned());
            explanation.remedies.push(Remedy {
                changes: candidate.changes,
                proved: true,
            });
        }
        if !prelude.changes.is_empty() {
            explanation.remedies.push(Remedy {
                changes: prelude.changes,
                proved: false,
            });
        }
    }

    fn are_twins(&self, one: PodId, other: PodId) -> bool {
        let pods = [one, other].map(|id| self.cluster.pods.get(id));
        matches!(pods, [Some(one), Some(other)] if one.shape == other.shape && one.record.labels == other.record.labels)
    }
}

// ---- candidates, and whether they help ---------------------------------------------------------------------------

impl WhatIf<'_> {
    /// How it looks as things are. None: all have places, or that cannot be found out.
    fn situation(&mut self, wanted: Vec<Wanted>, required: u32, own: BTreeSet<PodId>) -> Option<Situation> {
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
            culprit_name: self.engine.name_of(of_kind.member),
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
    fn remedies(&mut self, situation: &Situation) -> Vec<Candidate> {
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
    fn helps(&mut self, situation: &Situation, candidate: &Candidate) -> bool {
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
                self.edit_for(situation, spec, miss.node, objection, &mut candidate)?;
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
        node: NodeOrd,
        objection: &Objection,
        candidate: &mut Candidate,
    ) -> Option<()> {
        let pod = &situation.culprit_name;
        let drop = |candidate: &mut Candidate, edit: Edit, field: String| {
            candidate.edits.push(edit);
            candidate.changes.push(Change::Drop {
                pod: pod.clone(),
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
            "NodeUnschedulable" => {
                // To tolerate a cordon is nothing to advise: the node can be uncordoned.
                let _ = node;
                return None;
            }
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

// ---- pods that end -----------------------------------------------------------------------------------------------

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
    fn ends_of_pods(&mut self, situation: &Situation) -> Option<Candidate> {
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
        candidate.changes.push(Change::End {
            pods,
            gangs: ending().filter_map(|unit| unit.gang.clone()).collect(),
        });
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
