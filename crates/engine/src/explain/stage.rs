//! Where a pod or a group stands, and how far a group is.

use super::{Said, Subject};
use crate::diagnosis;
use crate::engine::Engine;
use crate::group_report::WhyGroupWaits;
use crate::groups::{Group, GroupId, Hold};
use crate::observation::{Section, WaitReason};
use crate::pods::{BindStage, Pod, PodId, Role};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::group::GroupPolicy;
use muster_framework::record::PodPhase;
use std::time::Duration;

/// Names of members that are listed at most.
const LISTED: usize = 10;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Another scheduler's: nothing is known of it here.
    OtherScheduler,
    /// A plugin keeps it out of the queue.
    Gated {
        /// The plugin.
        by: Text,
        /// What it says.
        message: Text,
    },
    /// A part of its spec cannot be honoured.
    Unsupported,
    /// Its group has too few members.
    WaitingForMembers,
    /// Its group may not be tried, for this reason.
    Held {
        /// Why.
        by: WaitReason,
    },
    /// It is tried when those ahead of it have been.
    Queued {
        /// How many are ahead.
        ahead: usize,
        /// How many are ready, itself among them.
        of: usize,
    },
    /// It is tried again when some time has passed.
    BackingOff {
        /// How much time, from now.
        ends_in: Duration,
    },
    /// It was tried, and waits for an event that could help.
    WaitingForRoom {
        /// When it is tried again even without one, from now. None: nobody has said when it was tried.
        tried_again_in: Option<Duration>,
    },
    /// Its gang is being planned now.
    Planning,
    /// Places are kept for it, while volumes are prepared or members wait for others.
    HoldingPlaces {
        /// Members with a place that is kept so, by node.
        nodes: Vec<Text>,
        /// When that ends at the latest, from now.
        ends_in: Option<Duration>,
    },
    /// Binds are on their way.
    Binding {
        /// To which nodes.
        nodes: Vec<Text>,
    },
    /// On its node; of a group: enough members are.
    Bound {
        /// Of a pod, the node.
        node: Option<Text>,
    },
    /// A group without a gang policy: its members go one by one.
    OneByOne,
    /// It has succeeded or failed.
    Finished,
    /// It is being deleted, and never had a node.
    Ending,
}

impl Stage {
    /// The stage in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Stage::OtherScheduler => "OtherScheduler",
            Stage::Gated { .. } => "Gated",
            Stage::Unsupported => "Unsupported",
            Stage::WaitingForMembers => "WaitingForMembers",
            Stage::Held { .. } => "Held",
            Stage::Queued { .. } => "Queued",
            Stage::BackingOff { .. } => "BackingOff",
            Stage::WaitingForRoom { .. } => "WaitingForRoom",
            Stage::Planning => "Planning",
            Stage::HoldingPlaces { .. } => "HoldingPlaces",
            Stage::Binding { .. } => "Binding",
            Stage::Bound { .. } => "Bound",
            Stage::OneByOne => "OneByOne",
            Stage::Finished => "Finished",
            Stage::Ending => "Ending",
        }
    }

    /// Whether a place is still to be found.
    pub fn waits(&self) -> bool {
        !matches!(
            self,
            Stage::OtherScheduler
                | Stage::HoldingPlaces { .. }
                | Stage::Binding { .. }
                | Stage::Bound { .. }
                | Stage::OneByOne
                | Stage::Finished
                | Stage::Ending
        )
    }

    /// Where a group stands that may not be tried.
    pub(super) fn of_held(hold: &Hold) -> Stage {
        match hold {
            Hold::Quorum { .. } => Stage::WaitingForMembers,
            hold => Stage::Held { by: hold.reason() },
        }
    }

    /// What is said of `it` where nothing is in its way that conditions speak of.
    pub fn sentence(&self, it: &str) -> String {
        let seconds = |time: &Duration| time.as_millis().div_ceil(1000);
        match self {
            Stage::OtherScheduler => format!("{it} names a scheduler that this Muster does not answer to"),
            Stage::Gated { message, .. } => message.to_string(),
            Stage::Unsupported => format!("a part of the spec of {it} could not be honoured"),
            Stage::WaitingForMembers | Stage::Held { .. } => format!("{it} waits for its group"),
            Stage::Queued { ahead, .. } => format!("{it} is ready to be tried, with {ahead} ahead of it"),
            Stage::BackingOff { ends_in } => format!("{it} is tried again in {} s", seconds(ends_in)),
            Stage::WaitingForRoom { .. } => format!("{it} waits for room"),
            Stage::Planning => format!("{it} is being planned"),
            Stage::HoldingPlaces { .. } => format!("{it} has places, and waits for volumes before any is bound"),
            Stage::Binding { .. } => format!("{it} is being bound"),
            Stage::Bound { node: Some(node) } => format!("{it} is on node {node}"),
            Stage::Bound { node: None } => format!("{it} has all that it needs on nodes"),
            Stage::OneByOne => format!("{it} is no gang: its members are placed one by one"),
            Stage::Finished => format!("{it} has finished"),
            Stage::Ending => format!("{it} is being deleted"),
        }
    }

    /// What is said of a pod or a group that stands here by the places that are held for it.
    pub fn said_of_places(&self, subject: &Subject) -> Said {
        match (self, subject) {
            (Stage::HoldingPlaces { nodes, .. }, Subject::Group { namespace, name }) => {
                let key = format!("{namespace}/{name}");
                Said::of_group(WhyGroupWaits {
                    reason: WaitReason::Preparing,
                    of_condition: diagnosis::NOT_READY,
                    text: diagnosis::prepares(&key, nodes.len()),
                })
            }
            _ => Said::only_here(self.sentence(&subject.to_string())),
        }
    }
}

/// How far a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The group, as messages name it.
    pub group: String,
    /// How many members it takes; None: it is no gang, or that is not known.
    pub min_count: Option<u32>,
    /// Members that exist and count: with a place, succeeded, or ready to be planned.
    pub members: u32,
    /// Members that are on a node, or are going there, or have succeeded.
    pub with_places: u32,
    /// Members that the API shows on a node, or that have succeeded.
    pub bound: u32,
    /// Members that it takes and that are not there.
    pub missing: u32,
    /// Members that are gated, by name: the first few.
    pub gated: Vec<Text>,
    /// Members whose spec cannot be honoured, likewise.
    pub unsupported: Vec<Text>,
    /// Members that have failed or are being deleted, likewise.
    pub lost: Vec<Text>,
    /// Members that have no place yet, likewise.
    pub without_place: Vec<Text>,
}

impl Engine {
    /// Where a pod stands. None: there is no such pod.
    pub(super) fn stage_of_pod(&self, now: Time, id: PodId) -> Option<Stage> {
        let pod = self.cluster.pods.get(id)?;
        if pod.record.phase != PodPhase::Active {
            return Some(Stage::Finished);
        }
        if let Some(place) = &pod.place {
            let node = place.node_name.clone();
            return Some(match pod.stage() {
                None => Stage::Bound { node: Some(node) },
                Some(BindStage::Preparing | BindStage::Ready) => Stage::HoldingPlaces {
                    nodes: vec![node],
                    ends_in: self.deadline_of(id).map(|at| at.since(now)),
                },
                Some(_) => Stage::Binding { nodes: vec![node] },
            });
        }
        if !self.is_ours(pod) {
            return Some(Stage::OtherScheduler);
        }
        if pod.record.terminating {
            return Some(Stage::Ending);
        }
        if let Some(gated) = self.gated_by(pod) {
            return Some(gated);
        }
        if !pod.record.spec.unsupported.is_empty() {
            return Some(Stage::Unsupported);
        }
        if let Some((group, _)) = pod.group
            && (self.hold_of(group).is_some() || matches!(self.entity_of(id), Entity::Group(_)))
        {
            return self.stage_of_tried(now, group);
        }
        self.stage_in_queue(now, Entity::Pod(id))
    }

    /// What keeps a pod out of the queue.
    fn gated_by(&self, pod: &Pod) -> Option<Stage> {
        let profile = self.pipeline.profile_of(&pod.record.scheduler_name)?;
        let (by, message) = self.pipeline.held_by(profile, &pod.record.to_enqueue())?;
        Some(Stage::Gated { by: by.into(), message })
    }

    /// Where a group stands.
    pub(crate) fn stage_of_group(&self, now: Time, id: GroupId) -> Option<Stage> {
        let group = self.groups.get(id)?;
        if self.hold_of(id).is_none() {
            if matches!(self.groups.policy(group), Ok(GroupPolicy::Basic)) {
                return Some(Stage::OneByOne);
            }
            if let Some(stage) = self.stage_of_places(now, id) {
                return Some(stage);
            }
        }
        self.stage_of_tried(now, id)
    }

    /// Where a group stands that has places for all that it needs.
    fn stage_of_places(&self, now: Time, id: GroupId) -> Option<Stage> {
        let group = self.groups.get(id)?;
        if group.satisfied_by() < self.groups.quorum(group)? || self.is_planning(id) {
            return None;
        }
        let mut holding = Vec::new();
        let mut binding = Vec::new();
        let mut ends_in: Option<Duration> = None;
        for member in group.members.keys() {
            let Some(pod) = self.cluster.pods.get(*member) else {
                continue;
            };
            let (Some(place), Some(stage)) = (&pod.place, pod.stage()) else {
                continue;
            };
            match stage {
                BindStage::Preparing | BindStage::Ready => {
                    let left = self.deadline_of(*member).map(|at| at.since(now));
                    ends_in = ends_in.into_iter().chain(left).min();
                    holding.push(place.node_name.clone());
                }
                _ => binding.push(place.node_name.clone()),
            }
        }
        Some(if !holding.is_empty() {
            Stage::HoldingPlaces {
                nodes: holding,
                ends_in,
            }
        } else if !binding.is_empty() {
            Stage::Binding { nodes: binding }
        } else {
            Stage::Bound { node: None }
        })
    }

    /// Where a group stands, or a member without a place, that is tried as a whole.
    fn stage_of_tried(&self, now: Time, id: GroupId) -> Option<Stage> {
        match self.hold_of(id) {
            Some(hold) => Some(Stage::of_held(&hold)),
            None if self.is_planning(id) => Some(Stage::Planning),
            None => self.stage_in_queue(now, Entity::Group(id)),
        }
    }

    fn stage_in_queue(&self, now: Time, entity: Entity) -> Option<Stage> {
        match self.queue.section(entity) {
            Some(Section::Active) => {
                let (ahead, of) = self.queue.position(entity);
                Some(Stage::Queued { ahead, of })
            }
            Some(Section::Backoff) => Some(Stage::BackingOff {
                ends_in: self.queue.backoff_until(entity)?.since(now),
            }),
            Some(Section::Unschedulable) => Some(Stage::WaitingForRoom {
                tried_again_in: Some(self.queue.flushed_at(entity)?.since(now)),
            }),
            // In a turn, or on its way out of the queue: it is about to be tried.
            Some(Section::Gated) | None => Some(Stage::Queued { ahead: 0, of: 1 }),
        }
    }

    /// How far a group is.
    pub(super) fn quorum_of(&self, group: &Group) -> Quorum {
        let of_role = |role: Role| {
            let members = group.members.iter().filter(move |(_, member)| member.role == role);
            let names = members.filter_map(|(pod, _)| Some(self.cluster.pods.get(*pod)?.record.name.clone()));
            names.take(LISTED).collect::<Vec<Text>>()
        };
        let min_count = self.groups.quorum(group);
        let members = group.satisfied_by() + group.count(Role::Pending);
        Quorum {
            group: group.key.to_string(),
            min_count,
            members,
            with_places: group.satisfied_by(),
            bound: group.bound_or_succeeded(),
            missing: min_count.map_or(0, |min| min.saturating_sub(members)),
            gated: of_role(Role::Gated),
            unsupported: of_role(Role::Unsupported),
            lost: of_role(Role::Lost),
            without_place: of_role(Role::Pending),
        }
    }
}
