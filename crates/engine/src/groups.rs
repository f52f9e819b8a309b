//! Pod groups: who belongs to which, what its policy is, and whether it may be tried.
//!
//! Counts are kept as members come, change and go, so that the question "is there a quorum" costs nothing however large
//! the group is.

use crate::cluster::is_stale;
use crate::pods::{PodId, Role};
use crate::time::Time;
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy, WhenBroken};
use muster_framework::record::{Kind, PodGroupRecord, ResourceVersion, WorkloadRecord};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// A group as its ordinal. Ordinals of groups without members are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupId(pub(crate) u32);

/// Why a group may not be tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The cluster does not serve the kind that the members point at.
    KindNotServed,
    /// There is no such object.
    PolicyMissing,
    /// The Workload has no such pod group.
    PodGroupMissing,
    /// The policy makes no sense.
    PolicyInvalid(Text),
    /// Fewer members than a gang needs.
    Quorum {
        /// Members that count.
        have: u32,
        /// Members that it takes.
        min_count: u32,
        /// Members that would count, were they not gated or unsupported.
        held: u32,
        /// Members that name another scheduler and have no node.
        foreign: u32,
    },
}

impl Hold {
    /// Whether two holds are of one kind: only a change of kind is told to every member at once.
    pub(crate) fn same_class(&self, other: &Hold) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// When members were last told why they wait.
#[derive(Debug, Default)]
pub(crate) struct HoldReport {
    pub(crate) told: Option<Hold>,
    pub(crate) told_at: Option<Time>,
    /// When they are to be told next.
    pub(crate) due: Option<Time>,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    counts: [u32; Role::COUNT],
    /// Members in the order of their ordinals.
    pub(crate) members: BTreeSet<PodId>,
    /// Members that can be planned.
    pub(crate) pending: BTreeSet<PodId>,
    /// The highest priority among its pending members, once they have been looked at.
    pub(crate) priority: Option<i32>,
    /// A restart found it half bound, and it has not been tried since.
    pub(crate) recovering: bool,
    pub(crate) report: HoldReport,
}

impl Group {
    pub(crate) fn count(&self, role: Role) -> u32 {
        self.counts[role as usize]
    }

    /// Members that count towards the quorum without being planned.
    pub(crate) fn satisfied_by(&self) -> u32 {
        self.count(Role::Placed) + self.count(Role::Succeeded)
    }

    /// Whether some members have a place but too few of them.
    pub(crate) fn is_broken(&self, min_count: u32) -> bool {
        self.count(Role::Placed) > 0 && self.satisfied_by() < min_count
    }
}

/// An object that holds the policies of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyObject {
    Workload(WorkloadRecord),
    PodGroup(PodGroupRecord),
}

impl PolicyObject {
    fn key(&self) -> PolicyKey {
        match self {
            PolicyObject::Workload(record) => (Kind::Workload, record.namespace.clone(), record.name.clone()),
            PolicyObject::PodGroup(record) => (record.kind, record.namespace.clone(), record.name.clone()),
        }
    }

    fn resource_version(&self) -> ResourceVersion {
        match self {
            PolicyObject::Workload(record) => record.resource_version,
            PolicyObject::PodGroup(record) => record.resource_version,
        }
    }
}

/// Kind, namespace and name of an object that holds policies.
type PolicyKey = (Kind, Text, Text);

/// All groups, and the objects that hold their policies.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    slots: Vec<Option<Group>>,
    by_key: FxHashMap<GroupKey, GroupId>,
    free: Vec<GroupId>,
    /// Groups by every object that could hold their policy.
    by_policy: FxHashMap<PolicyKey, FxHashSet<GroupId>>,
    policies: FxHashMap<PolicyKey, (PolicyObject, u32)>,
    /// Kinds of policy objects that the cluster serves.
    served: FxHashSet<Kind>,
}

impl Groups {
    pub(crate) fn get(&self, id: GroupId) -> Option<&Group> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(at, group)| Some((GroupId(at as u32), group.as_ref()?)))
    }

    /// Adds a member in its role.
    pub(crate) fn join(&mut self, key: GroupKey, pod: PodId, role: Role) -> GroupId {
        let id = match self.by_key.get(&key) {
            Some(&id) => id,
            None => self.insert(key),
        };
        if let Some(group) = self.get_mut(id) {
            group.members.insert(pod);
            group.counts[role as usize] += 1;
            if role == Role::Pending {
                group.pending.insert(pod);
            }
        }
        id
    }

    /// Changes the role of a member.
    pub(crate) fn change(&mut self, id: GroupId, pod: PodId, from: Role, to: Role) {
        let Some(group) = self.get_mut(id) else { return };
        group.counts[from as usize] -= 1;
        group.counts[to as usize] += 1;
        if to == Role::Pending {
            group.pending.insert(pod);
        } else {
            group.pending.remove(&pod);
        }
    }

    /// Takes a member out; true when it was the last one and the group is gone.
    pub(crate) fn leave(&mut self, id: GroupId, pod: PodId, role: Role) -> bool {
        let Some(group) = self.get_mut(id) else { return false };
        group.counts[role as usize] -= 1;
        group.members.remove(&pod);
        group.pending.remove(&pod);
        if !group.members.is_empty() {
            return false;
        }
        if let Some(group) = self.slots[id.0 as usize].take() {
            for policy in policy_keys(&group.key) {
                if let Some(groups) = self.by_policy.get_mut(&policy) {
                    groups.remove(&id);
                    if groups.is_empty() {
                        self.by_policy.remove(&policy);
                    }
                }
            }
            self.by_key.remove(&group.key);
            self.free.push(id);
        }
        true
    }

    fn insert(&mut self, key: GroupKey) -> GroupId {
        let group = Some(Group {
            key: key.clone(),
            counts: [0; Role::COUNT],
            members: BTreeSet::new(),
            pending: BTreeSet::new(),
            priority: None,
            recovering: false,
            report: HoldReport::default(),
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = group;
                id
            }
            None => {
                self.slots.push(group);
                GroupId((self.slots.len() - 1) as u32)
            }
        };
        for policy in policy_keys(&key) {
            self.by_policy.entry(policy).or_default().insert(id);
        }
        self.by_key.insert(key, id);
        id
    }

    /// How many members have to have a place at once; None: it is no gang, or its policy is not known.
    pub(crate) fn quorum(&self, group: &Group) -> Option<u32> {
        match self.policy(group) {
            Ok(GroupPolicy::Gang { min_count }) => Some(min_count.max(1) as u32),
            _ => None,
        }
    }

    /// The object that holds a group's policy.
    pub(crate) fn policy_object(&self, group: &Group) -> Option<&PolicyObject> {
        let found = policy_keys(&group.key).find_map(|key| self.policies.get(&key));
        found.map(|(object, _)| object)
    }

    /// The policy of a group, or why there is none.
    pub(crate) fn policy(&self, group: &Group) -> Result<GroupPolicy, Hold> {
        let Some(object) = self.policy_object(group) else {
            let served = policy_keys(&group.key).any(|(kind, ..)| self.served.contains(&kind));
            return Err(if served {
                Hold::PolicyMissing
            } else {
                Hold::KindNotServed
            });
        };
        let policy = match (object, &group.key.link) {
            (PolicyObject::Workload(workload), GroupLink::Workload { pod_group, .. }) => {
                let found = workload.pod_groups.iter().find(|(name, _)| name == pod_group);
                &found.ok_or(Hold::PodGroupMissing)?.1
            }
            (PolicyObject::Workload(_), _) => return Err(Hold::PodGroupMissing),
            (PolicyObject::PodGroup(record), _) => &record.policy,
        };
        policy.clone().map_err(Hold::PolicyInvalid)
    }

    /// What a group's object says about what becomes of it when it is broken.
    pub(crate) fn when_broken(&self, group: &Group) -> Option<WhenBroken> {
        let said = match self.policy_object(group)? {
            PolicyObject::Workload(record) => &record.when_broken,
            PolicyObject::PodGroup(record) => &record.when_broken,
        };
        said.as_ref().and_then(|said| said.as_ref().ok().copied())
    }

    /// The policy of a group that may be tried, or why it may not.
    pub(crate) fn ready(&self, group: &Group) -> Result<GroupPolicy, Hold> {
        let policy = self.policy(group)?;
        if let GroupPolicy::Gang { min_count } = policy {
            let have = group.satisfied_by() + group.count(Role::Pending);
            let min_count = min_count.max(1) as u32;
            if have < min_count {
                let (held, foreign) = (group.count(Role::Held), group.count(Role::Foreign));
                return Err(Hold::Quorum {
                    have,
                    min_count,
                    held,
                    foreign,
                });
            }
        }
        Ok(policy)
    }

    /// Whether the cluster serves a kind of policy objects.
    pub(crate) fn is_served(&self, kind: Kind) -> bool {
        self.served.contains(&kind)
    }

    /// The groups whose policy could be held by an object of this kind, in order.
    pub(crate) fn that_may_refer_to(&self, kind: Kind) -> Vec<GroupId> {
        let refers = |group: &Group| policy_keys(&group.key).any(|(of, ..)| of == kind);
        self.iter()
            .filter(|(_, group)| refers(group))
            .map(|(id, _)| id)
            .collect()
    }

    /// The cluster serves a kind of policy objects, or does not.
    pub(crate) fn set_served(&mut self, kind: Kind, served: bool) {
        if served {
            self.served.insert(kind);
        } else {
            self.served.remove(&kind);
        }
    }

    /// Takes in a policy object; gives the groups that it concerns, in order.
    pub(crate) fn apply_policy(&mut self, object: PolicyObject, seen: u32) -> Vec<GroupId> {
        let key = object.key();
        if let Some((known, known_seen)) = self.policies.get_mut(&key) {
            *known_seen = seen;
            // A list says again what is known: that is no reason to try anything again.
            if is_stale(object.resource_version(), known.resource_version()) || *known == object {
                return Vec::new();
            }
        }
        self.policies.insert(key.clone(), (object, seen));
        self.groups_of(&key)
    }

    /// Forgets a policy object; gives the groups that it concerns, in order.
    pub(crate) fn delete_policy(&mut self, kind: Kind, namespace: &Text, name: &Text) -> Vec<GroupId> {
        let key = (kind, namespace.clone(), name.clone());
        self.policies.remove(&key);
        self.groups_of(&key)
    }

    /// A policy object is there, whatever it says.
    pub(crate) fn mark_policy(&mut self, kind: Kind, namespace: &Text, name: &Text, seen: u32) {
        if let Some((_, known)) = self.policies.get_mut(&(kind, namespace.clone(), name.clone())) {
            *known = seen;
        }
    }

    /// Policy objects of a kind not seen since list number `seen` began, by namespace and name, in order.
    pub(crate) fn policies_unseen(&self, kind: Kind, seen: u32) -> Vec<(Text, Text)> {
        let unseen = self
            .policies
            .iter()
            .filter(|((of, ..), (_, last))| *of == kind && *last < seen)
            .map(|((_, namespace, name), _)| (namespace.clone(), name.clone()));
        let mut unseen: Vec<_> = unseen.collect();
        unseen.sort();
        unseen
    }

    fn groups_of(&self, policy: &PolicyKey) -> Vec<GroupId> {
        let mut groups: Vec<GroupId> = self.by_policy.get(policy).into_iter().flatten().copied().collect();
        groups.sort();
        groups
    }
}

/// The objects that may hold a group's policy.
fn policy_keys(key: &GroupKey) -> impl Iterator<Item = PolicyKey> {
    let (kinds, name) = key
        .link
        .policy_object()
        .map_or((&[][..], None), |(kinds, name)| (kinds, Some(name)));
    let of = move |kind: &Kind| Some((*kind, key.namespace.clone(), name?.clone()));
    kinds.iter().filter_map(of)
}
