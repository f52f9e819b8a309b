//! Looks at the nodes for whoever waits: what people have to do before anything is tried, and what helps then.

use super::change::{Change, Remedy};
use super::remedies::OFFERED;
use super::what_if::{Wanted, WhatIf};
use super::{Explanation, Stage};
use crate::diagnosis;
use crate::engine::Engine;
use crate::groups::{GroupId, Hold};
use crate::plan::Plan;
use crate::pods::PodId;
use muster_framework::group::{GroupKey, GroupLink};
use muster_framework::view::Delta;
use std::collections::BTreeSet;

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
                self.offer_fewer(&key, &pending, [min_count, have, satisfied], explanation);
            }
            Some(hold) => {
                prelude.changes.push(self.repair_group(&key, &hold));
                prelude.is_provable = matches!(hold, Hold::PolicyMissing | Hold::PodGroupMissing);
            }
        }
        self.look(&members, required, prelude, own, explanation);
        if let (None, Some(min_count)) = (self.hold_of(id), quorum) {
            let placed = explanation.nodes.as_ref().map_or(0, |nodes| nodes.counting_others);
            self.offer_fewer(&key, &pending, [min_count, satisfied + placed, satisfied], explanation);
        }
        explanation.remedies.sort_by_key(|remedy| (!remedy.proved, remedy.size));
        explanation.remedies.truncate(OFFERED);
    }

    /// A gang could make do with the members that are there or have room.
    fn offer_fewer(
        &mut self,
        key: &GroupKey,
        pending: &[PodId],
        [min_count, to, satisfied]: [u32; 3],
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
            explanation.remedies.push(Remedy::of(vec![change], true));
        }
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
        let group = pods.first().and_then(|pod| self.cluster.pods.get(*pod)?.group);
        let is_broken = group.is_some_and(|(group, _)| self.is_broken(group));
        let mut what_if = WhatIf::about(self, pods);
        let mut wanted = what_if.wanted(pods);
        if let Some((like, more)) = prelude.more {
            match wanted.iter_mut().find(|kind| what_if.are_twins(kind.member, like)) {
                Some(kind) => kind.count += more,
                None => wanted.extend(what_if.stand_in(like, &[]).map(|stand_in| Wanted {
                    member: like,
                    members: Vec::new(),
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
            what_if.note_what_was_not_tried(explanation);
            if goes && tells_of_now && prelude.changes.is_empty() {
                explanation
                    .notes
                    .push("there is room for it now: it is tried again".to_owned());
            }
            if !prelude.changes.is_empty() {
                explanation.remedies.push(Remedy::of(prelude.changes, goes));
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
        what_if.note_what_was_not_tried(explanation);
        // What has to be done first is the cause, and so is a lost node of a gang that is broken; and so is a taint or a label, if
        // seeing to that is less than the end of a gang.
        if prelude.changes.is_empty() && !is_broken {
            let mut other_ways = found.iter().filter(|candidate| !candidate.only_asks_for_less());
            explanation.crowd = other_ways.next().and_then(|candidate| candidate.crowd.clone());
        }
        for mut candidate in found {
            candidate.changes.splice(0..0, prelude.changes.iter().cloned());
            explanation.remedies.push(Remedy {
                size: candidate.size(),
                changes: candidate.changes,
                proved: true,
            });
        }
        if !prelude.changes.is_empty() {
            explanation.remedies.push(Remedy::of(prelude.changes, false));
        }
    }
}

impl WhatIf<'_> {
    fn note_what_was_not_tried(&self, explanation: &mut Explanation) {
        if self.is_spent() {
            let note = "not everything that might help was tried: that would have held up decisions";
            explanation.notes.push(note.to_owned());
        }
    }
}
