//! Pod groups: who belongs to which, what its policy is, and whether it may be tried.
//!
//! Every dialect comes down to one model: a group has members, each with its role, and a policy, which an object holds or,
//! in the dialect of labels, the members state themselves. What is asked of a group is counted as members come, change and
//! go, so that no question costs more for a large group than for a small one.

use crate::broken::LostOn;
use crate::cluster::is_stale;
use crate::diagnosis;
use crate::effect::GroupRef;
use crate::group_report::GroupReport;
use crate::observation::WaitReason;
use crate::pods::{PodId, Role};
use muster_framework::Text;
use muster_framework::group::{
    CoschedulingPhase, GroupKey, GroupLink, GroupPolicy, GroupStatus, GroupTerms, WhenBroken,
};
use muster_framework::record::{Kind, PodGroupRecord, ResourceVersion, Unsupported, WorkloadRecord};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// The object asks for something that Muster cannot honour.
    Unsupported(Box<[Unsupported]>),
    /// Members name different schedulers: these two, and perhaps others.
    MixedSchedulers(Text, Text),
    /// A member's priority is not that of the group's object.
    MixedPriorities {
        /// Of the member.
        member: i32,
        /// Of the object.
        group: i32,
    },
    /// A member is gated, and the API says that this holds the whole group.
    MemberGated {
        /// The first such member.
        first: PodId,
        /// How many there are.
        gated: u32,
    },
    /// Fewer members than a gang needs.
    Quorum {
        /// Members that count.
        have: u32,
        /// Members that it takes.
        min_count: u32,
        /// Members that would count, were they not gated.
        gated: u32,
        /// Members that would count, could their spec be honoured.
        unsupported: u32,
    },
}

impl Hold {
    /// The hold in one word.
    pub(crate) fn reason(&self) -> WaitReason {
        match self {
            Hold::KindNotServed => WaitReason::KindNotServed,
            Hold::PolicyMissing | Hold::PodGroupMissing => WaitReason::PolicyMissing,
            Hold::PolicyInvalid(_) => WaitReason::PolicyInvalid,
            Hold::Unsupported(_) => WaitReason::Unsupported,
            Hold::MixedSchedulers(..) => WaitReason::MixedSchedulers,
            Hold::MixedPriorities { .. } => WaitReason::MixedPriorities,
            Hold::MemberGated { .. } => WaitReason::MemberGated,
            Hold::Quorum { .. } => WaitReason::MembersMissing,
        }
    }
}

/// How the members of a group are queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// Not at all: the group is held.
    Held,
    /// Each by itself.
    OneByOne,
    /// As one entity.
    AsOne,
}

/// What a group counts of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) role: Role,
    /// It has a node in the API, as far as we know; only of those that have a place.
    pub(crate) bound: bool,
    pub(crate) running: bool,
    pub(crate) failed: bool,
    pub(crate) scheduler: Text,
    pub(crate) priority: i32,
    /// What it states of the policy, in the dialect of labels.
    pub(crate) terms: Option<GroupTerms>,
}

impl Member {
    /// Whether it has no node, and may still get one, be it from another scheduler.
    fn is_waiting(&self) -> bool {
        matches!(
            self.role,
            Role::Pending | Role::Gated | Role::Unsupported | Role::Foreign
        )
    }
}

/// How often each of some values occurs.
#[derive(Debug)]
struct Tally<K>(BTreeMap<K, u32>);

impl<K> Default for Tally<K> {
    fn default() -> Tally<K> {
        Tally(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Tally<K> {
    fn add(&mut self, value: &K) {
        match self.0.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(value.clone(), 1);
            }
        }
    }

    fn remove(&mut self, value: &K) {
        if let Some(count) = self.0.get_mut(value) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(value);
            }
        }
    }

    fn values(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }
}

/// What members state of the policy: a `minCount` (0: basic), or what is wrong.
type Stated = Result<i32, Text>;

/// What is asked of a group's members, counted as they come, change and go.
#[derive(Debug, Default)]
struct Counted {
    roles: [u32; Role::COUNT],
    bound: u32,
    running: u32,
    failed: u32,
    /// `schedulerName` of members without a node.
    waiting_schedulers: Tally<Text>,
    /// And of those with one.
    placed_schedulers: Tally<Text>,
    pending_priorities: Tally<i32>,
    placed_priorities: Tally<i32>,
    stated: Tally<Stated>,
    keep: u32,
    evict: u32,
}

impl Counted {
    fn count(&mut self, member: &Member, labels: bool, add: bool) {
        let step = |count: &mut u32| if add { *count += 1 } else { *count -= 1 };
        step(&mut self.roles[member.role as usize]);
        if member.bound {
            step(&mut self.bound);
        }
        if member.running {
            step(&mut self.running);
        }
        if member.failed {
            step(&mut self.failed);
        }
        if member.is_waiting() {
            shift(&mut self.waiting_schedulers, &member.scheduler, add);
        }
        match member.role {
            Role::Pending => shift(&mut self.pending_priorities, &member.priority, add),
            Role::Placed => {
                shift(&mut self.placed_schedulers, &member.scheduler, add);
                shift(&mut self.placed_priorities, &member.priority, add);
            }
            _ => {}
        }
        if labels && member.role != Role::Lost {
            shift(&mut self.stated, &stated(member.terms.as_ref()), add);
            match member.terms.as_ref().and_then(|terms| terms.when_broken) {
                Some(WhenBroken::Keep) => step(&mut self.keep),
                Some(WhenBroken::Evict) => step(&mut self.evict),
                None => {}
            }
        }
    }
}

fn shift<K: Ord + Clone>(tally: &mut Tally<K>, value: &K, add: bool) {
    if add { tally.add(value) } else { tally.remove(value) }
}

fn stated(terms: Option<&GroupTerms>) -> Stated {
    match terms.map(|terms| &terms.policy) {
        Some(Ok(GroupPolicy::Gang { min_count })) => Ok((*min_count).max(1)),
        Some(Ok(GroupPolicy::Basic)) => Ok(0),
        Some(Err(problem)) => Err(problem.clone()),
        None => Err("annotation muster.dev/min-count: is missing".into()),
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    /// The object that holds its policy, kept here because it is asked for several times for every member that comes.
    policy: Option<Arc<PolicyObject>>,
    counted: Counted,
    succeeded_count: bool,
    /// Members in the order of their ordinals.
    pub(crate) members: BTreeMap<PodId, Member>,
    /// Members that can be planned.
    pub(crate) pending: BTreeSet<PodId>,
    gated: BTreeSet<PodId>,
    /// How its members are queued since it was last looked at.
    pub(crate) stance: Option<Stance>,
    /// Whoever took over found it half bound, and it has not been planned to the end since.
    pub(crate) recovering: bool,
    /// Its `minCount` was raised above what it has while it was whole: no member was lost, so it is not broken.
    outgrown: bool,
    /// Where members were that have been lost since it was whole, each node once.
    pub(crate) lost_on: Vec<LostOn>,
    pub(crate) report: GroupReport,
}

impl Group {
    /// Members that are gated.
    pub(crate) fn gated(&self) -> &BTreeSet<PodId> {
        &self.gated
    }

    pub(crate) fn count(&self, role: Role) -> u32 {
        self.counted.roles[role as usize]
    }

    /// Members that count towards the quorum without being planned.
    pub(crate) fn satisfied_by(&self) -> u32 {
        self.count(Role::Placed) + self.succeeded()
    }

    /// Members that the API shows on a node, and those that count for having succeeded.
    pub(crate) fn bound_or_succeeded(&self) -> u32 {
        self.counted.bound + self.succeeded()
    }

    /// Members that count towards the quorum, or could be planned.
    pub(crate) fn could_go(&self) -> u32 {
        self.satisfied_by() + self.count(Role::Pending)
    }

    fn succeeded(&self) -> u32 {
        if self.succeeded_count {
            self.count(Role::Succeeded)
        } else {
            0
        }
    }

    /// The first member that is gated.
    pub(crate) fn first_gated(&self) -> Option<PodId> {
        self.gated.first().copied()
    }

    /// Whether some members have a place but too few of them, because a member was lost. A group whose `minCount` was
    /// raised while it ran is not broken.
    pub(crate) fn is_broken(&self, min_count: u32) -> bool {
        !self.outgrown && self.count(Role::Placed) > 0 && self.satisfied_by() < min_count
    }

    fn count_member(&mut self, pod: PodId, member: &Member, add: bool) {
        let labels = matches!(self.key.link, GroupLink::Labels { .. });
        self.counted.count(member, labels, add);
        let set = match member.role {
            Role::Pending => &mut self.pending,
            Role::Gated => &mut self.gated,
            _ => return,
        };
        if add {
            set.insert(pod);
        } else {
            set.remove(&pod);
        }
    }

    /// What the coscheduling CRD's controller says of a group that needs so many members, so that two writers agree.
    ///
    /// Source: `pkg/controllers.PodGroupReconciler` of scheduler-plugins.
    pub(crate) fn phase(&self, min_member: u32) -> GroupStatus {
        let (running, succeeded, failed) = (self.counted.running, self.count(Role::Succeeded), self.counted.failed);
        let phase = if (self.members.len() as u32) < min_member {
            CoschedulingPhase::Pending
        } else if succeeded >= min_member {
            CoschedulingPhase::Finished
        } else if failed > 0 && failed + running + succeeded >= min_member {
            CoschedulingPhase::Failed
        } else if running + succeeded >= min_member {
            CoschedulingPhase::Running
        } else {
            CoschedulingPhase::Scheduling
        };
        GroupStatus::Phase {
            phase,
            running,
            succeeded,
            failed,
        }
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

    /// The groups whose policy it holds; of a `Workload` those without a replica key.
    fn groups(&self) -> Vec<GroupKey> {
        let (kind, namespace, name) = self.key();
        let links = match self {
            PolicyObject::Workload(record) => {
                let of_group = |(pod_group, _): &(Text, _)| GroupLink::Workload {
                    workload: name.clone(),
                    pod_group: pod_group.clone(),
                    replica_key: "".into(),
                };
                record.pod_groups.iter().map(of_group).collect()
            }
            PolicyObject::PodGroup(_) if kind == Kind::CoschedulingPodGroup => vec![GroupLink::Coscheduling { name }],
            PolicyObject::PodGroup(_) => vec![GroupLink::PodGroup { name }],
        };
        let with_namespace = |link| GroupKey {
            namespace: namespace.clone(),
            link,
        };
        links.into_iter().map(with_namespace).collect()
    }

    /// It, for effects.
    pub(crate) fn reference(&self) -> GroupRef {
        let (kind, namespace, name) = self.key();
        let uid = match self {
            PolicyObject::Workload(record) => record.uid.clone(),
            PolicyObject::PodGroup(record) => record.uid.clone(),
        };
        GroupRef {
            kind,
            namespace,
            name,
            uid,
        }
    }

    /// Whether both say the same of how groups are to be scheduled: what a status says is no reason to try anything again.
    fn asks_the_same(&self, other: &PolicyObject) -> bool {
        match (self, other) {
            (PolicyObject::Workload(old), PolicyObject::Workload(new)) => {
                (&old.uid, &old.pod_groups, &old.when_broken) == (&new.uid, &new.pod_groups, &new.when_broken)
            }
            (PolicyObject::PodGroup(old), PolicyObject::PodGroup(new)) => {
                (&old.uid, &old.policy, &old.when_broken, old.priority, &old.unsupported)
                    == (&new.uid, &new.policy, &new.when_broken, new.priority, &new.unsupported)
            }
            _ => false,
        }
    }
}

/// What an object that was taken in means for the groups whose policy it may hold, all in order.
#[derive(Debug, Default)]
pub(crate) struct PolicyNews {
    /// Groups of which it says something else than before.
    pub(crate) to_evaluate: Vec<GroupId>,
    /// Groups of which only its status may have changed.
    pub(crate) to_compare: Vec<GroupId>,
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
    policies: FxHashMap<PolicyKey, (Arc<PolicyObject>, u32)>,
    /// Kinds of policy objects that the cluster serves.
    served: FxHashSet<Kind>,
    /// Whether members that have succeeded count.
    succeeded_count: bool,
    waiting: [usize; WaitReason::ALL.len()],
}

impl Groups {
    /// None yet.
    pub(crate) fn new(succeeded_count: bool) -> Groups {
        Groups {
            succeeded_count,
            ..Groups::default()
        }
    }

    /// How many groups wait, in the order of [`WaitReason::ALL`].
    pub(crate) fn waiting(&self) -> [usize; WaitReason::ALL.len()] {
        self.waiting
    }

    /// Counts a group among those that wait for a reason, or for none any more.
    pub(crate) fn set_reason(&mut self, id: GroupId, reason: Option<WaitReason>) {
        let Some(group) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let before = std::mem::replace(&mut group.report.reason, reason);
        if let Some(before) = before {
            self.waiting[before as usize] -= 1;
        }
        if let Some(reason) = reason {
            self.waiting[reason as usize] += 1;
        }
    }

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

    /// All objects that hold policies, whether any group follows them or not, in no order that means anything.
    pub(crate) fn policy_objects(&self) -> impl Iterator<Item = &PolicyObject> {
        self.policies.values().map(|(object, _)| &**object)
    }

    /// The groups of a namespace whose objects are there, and that no pod belongs to.
    pub(crate) fn that_nobody_is_in(&self, namespace: &str) -> Vec<Group> {
        let here = self.policy_objects().filter(|object| *object.key().1 == *namespace);
        let keys = here.flat_map(PolicyObject::groups);
        keys.filter(|key| !self.by_key.contains_key(key))
            .map(|key| self.empty(key))
            .collect()
    }

    /// Adds a member.
    pub(crate) fn join(&mut self, key: GroupKey, pod: PodId, member: Member) -> GroupId {
        let id = match self.by_key.get(&key) {
            Some(&id) => id,
            None => self.insert(key),
        };
        if let Some(group) = self.get_mut(id) {
            group.count_member(pod, &member, true);
            group.members.insert(pod, member);
        }
        id
    }

    /// Changes what is counted of a member.
    pub(crate) fn change(&mut self, id: GroupId, pod: PodId, change: impl FnOnce(&mut Member)) {
        let outgrown = self.get(id).filter(|group| group.outgrown);
        let quorum = outgrown.and_then(|group| self.quorum(group));
        let Some(group) = self.get_mut(id) else { return };
        let before = group.satisfied_by();
        let mut members = std::mem::take(&mut group.members);
        if let Some(member) = members.get_mut(&pod) {
            group.count_member(pod, member, false);
            change(member);
            member.bound &= member.role == Role::Placed;
            group.count_member(pod, member, true);
        }
        group.members = members;
        let now = group.satisfied_by();
        group.outgrown &= now >= before && quorum.is_some_and(|quorum| now < quorum);
    }

    /// Takes a member out; true when it was the last one and the group is gone.
    pub(crate) fn leave(&mut self, id: GroupId, pod: PodId) -> bool {
        let Some(group) = self.get_mut(id) else { return false };
        let Some(member) = group.members.remove(&pod) else {
            return false;
        };
        group.count_member(pod, &member, false);
        group.outgrown &= member.role != Role::Placed;
        if !group.members.is_empty() {
            return false;
        }
        self.set_reason(id, None);
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

    fn empty(&self, key: GroupKey) -> Group {
        Group {
            policy: self.find_policy(&key),
            key,
            counted: Counted::default(),
            succeeded_count: self.succeeded_count,
            members: BTreeMap::new(),
            pending: BTreeSet::new(),
            gated: BTreeSet::new(),
            stance: None,
            recovering: false,
            outgrown: false,
            lost_on: Vec::new(),
            report: GroupReport::default(),
        }
    }

    fn insert(&mut self, key: GroupKey) -> GroupId {
        let group = Some(self.empty(key.clone()));
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
    pub(crate) fn policy_object<'a>(&self, group: &'a Group) -> Option<&'a PolicyObject> {
        group.policy.as_deref()
    }

    fn find_policy(&self, key: &GroupKey) -> Option<Arc<PolicyObject>> {
        let found = policy_keys(key).find_map(|key| self.policies.get(&key));
        found.map(|(object, _)| object.clone())
    }

    /// The object that holds a group's policy, if it is a `PodGroup`.
    pub(crate) fn pod_group<'a>(&self, group: &'a Group) -> Option<&'a PodGroupRecord> {
        match self.policy_object(group)? {
            PolicyObject::PodGroup(record) => Some(record),
            PolicyObject::Workload(_) => None,
        }
    }

    /// The policy of a group, or why there is none.
    pub(crate) fn policy(&self, group: &Group) -> Result<GroupPolicy, Hold> {
        if matches!(group.key.link, GroupLink::Labels { .. }) {
            return stated_policy(&group.counted.stated);
        }
        let Some(object) = self.policy_object(group) else {
            let served = policy_keys(&group.key).any(|(kind, ..)| self.served.contains(&kind));
            return Err(if served {
                Hold::PolicyMissing
            } else {
                Hold::KindNotServed
            });
        };
        let (policy, when_broken) = match (object, &group.key.link) {
            (PolicyObject::Workload(workload), GroupLink::Workload { pod_group, .. }) => {
                let found = workload.pod_groups.iter().find(|(name, _)| name == pod_group);
                (&found.ok_or(Hold::PodGroupMissing)?.1, &workload.when_broken)
            }
            (PolicyObject::Workload(_), _) => return Err(Hold::PodGroupMissing),
            (PolicyObject::PodGroup(record), _) if !record.unsupported.is_empty() => {
                return Err(Hold::Unsupported(record.unsupported.clone()));
            }
            (PolicyObject::PodGroup(record), _) => (&record.policy, &record.when_broken),
        };
        if let Some(Err(problem)) = when_broken {
            return Err(Hold::PolicyInvalid(problem.clone()));
        }
        policy.clone().map_err(Hold::PolicyInvalid)
    }

    /// What a group's object, or its members, say about what becomes of it when it is broken. Members that disagree are
    /// kept: that can be taken back.
    pub(crate) fn when_broken(&self, group: &Group) -> Option<WhenBroken> {
        let of_object = match self.policy_object(group) {
            Some(PolicyObject::Workload(record)) => &record.when_broken,
            Some(PolicyObject::PodGroup(record)) => &record.when_broken,
            None => {
                let Counted { keep, evict, .. } = group.counted;
                return match (keep, evict) {
                    (0, 0) => None,
                    (0, _) => Some(WhenBroken::Evict),
                    _ => Some(WhenBroken::Keep),
                };
            }
        };
        of_object.as_ref().and_then(|said| said.as_ref().ok().copied())
    }

    /// How urgent a group is: as its object says, else as its most urgent pending member.
    pub(crate) fn priority(&self, group: &Group) -> i32 {
        let of_object = self.pod_group(group).and_then(|record| record.priority);
        let of_members = || group.counted.pending_priorities.values().next_back().copied();
        of_object.or_else(of_members).unwrap_or(0)
    }

    /// The policy of a group that may be tried, or why it may not.
    pub(crate) fn ready(&self, group: &Group) -> Result<GroupPolicy, Hold> {
        let policy = self.policy(group)?;
        let kind = self.pod_group(group).map(|record| record.kind);
        if policy != GroupPolicy::Basic || matches!(kind, Some(Kind::PodGroup | Kind::PodGroupV1Alpha2)) {
            one_scheduler(&group.counted, kind)?;
        }
        if kind == Some(Kind::PodGroup) {
            self.ready_for_1_37(group)?;
        }
        if let GroupPolicy::Gang { min_count } = policy {
            let have = group.could_go();
            let min_count = min_count.max(1) as u32;
            if have < min_count {
                return Err(Hold::Quorum {
                    have,
                    min_count,
                    gated: group.count(Role::Gated),
                    unsupported: group.count(Role::Unsupported),
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

    /// What 1.37 asks of a group beside its policy: one priority, and no gated member.
    ///
    /// Sources: `pkg/scheduler.validatePodGroup`, and `runPreEnqueuePlugins` of the queue: one gated member gates the entity.
    fn ready_for_1_37(&self, group: &Group) -> Result<(), Hold> {
        let of_object = self.pod_group(group).and_then(|record| record.priority).unwrap_or(0);
        for of_members in [&group.counted.pending_priorities, &group.counted.placed_priorities] {
            // Of values in order, the first or the last is another one if any is.
            let ends = [of_members.values().next(), of_members.values().next_back()];
            if let Some(member) = ends.into_iter().flatten().find(|member| **member != of_object) {
                return Err(Hold::MixedPriorities {
                    member: *member,
                    group: of_object,
                });
            }
        }
        match group.gated.first() {
            Some(first) => Err(Hold::MemberGated {
                first: *first,
                gated: group.gated.len() as u32,
            }),
            None => Ok(()),
        }
    }

    /// The cluster serves a kind of policy objects, or does not.
    pub(crate) fn set_served(&mut self, kind: Kind, served: bool) {
        if served {
            self.served.insert(kind);
        } else {
            self.served.remove(&kind);
        }
    }

    /// Takes in a policy object.
    pub(crate) fn apply_policy(&mut self, object: PolicyObject, seen: u32) -> PolicyNews {
        let key = object.key();
        let mut same = false;
        if let Some((known, known_seen)) = self.policies.get_mut(&key) {
            *known_seen = seen;
            // A list says again what is known: that is no reason to try anything again.
            if is_stale(object.resource_version(), known.resource_version()) || **known == object {
                return PolicyNews::default();
            }
            same = known.asks_the_same(&object);
        }
        let groups = self.groups_of(&key);
        if same {
            self.set_policy(key, object, seen, &groups);
            return PolicyNews {
                to_compare: groups,
                ..PolicyNews::default()
            };
        }
        let whole: Vec<bool> = groups.iter().map(|id| self.is_whole(*id)).collect();
        self.set_policy(key, object, seen, &groups);
        for (id, was_whole) in groups.iter().zip(whole) {
            let lacks = !self.is_whole(*id);
            if let Some(group) = self.get_mut(*id) {
                group.outgrown = lacks && (was_whole || group.outgrown);
            }
        }
        PolicyNews {
            to_evaluate: groups,
            ..PolicyNews::default()
        }
    }

    fn set_policy(&mut self, key: PolicyKey, object: PolicyObject, seen: u32, groups: &[GroupId]) {
        self.policies.insert(key, (Arc::new(object), seen));
        self.find_policies_again(groups);
    }

    /// An object came, changed or went that may hold the policy of these groups.
    fn find_policies_again(&mut self, groups: &[GroupId]) {
        for id in groups {
            let policy = self.get(*id).and_then(|group| self.find_policy(&group.key));
            if let Some(group) = self.get_mut(*id) {
                group.policy = policy;
            }
        }
    }

    fn is_whole(&self, id: GroupId) -> bool {
        let group = self.get(id);
        group.is_some_and(|group| self.quorum(group).is_some_and(|quorum| group.satisfied_by() >= quorum))
    }

    /// Forgets a policy object; gives the groups that it concerns, in order.
    pub(crate) fn delete_policy(&mut self, kind: Kind, namespace: &Text, name: &Text) -> Vec<GroupId> {
        let key = (kind, namespace.clone(), name.clone());
        self.policies.remove(&key);
        let groups = self.groups_of(&key);
        self.find_policies_again(&groups);
        groups
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

/// The policy that members state themselves: all the same.
fn stated_policy(stated: &Tally<Stated>) -> Result<GroupPolicy, Hold> {
    let mut values = stated.values();
    let (Some(first), second) = (values.next(), values.next()) else {
        return Err(Hold::PolicyMissing);
    };
    match (first, second) {
        (Ok(0), None) => Ok(GroupPolicy::Basic),
        (Ok(min_count), None) => Ok(GroupPolicy::Gang { min_count: *min_count }),
        (Err(problem), None) => Err(Hold::PolicyInvalid(problem.clone())),
        (Ok(one), Some(Ok(other))) => Err(Hold::PolicyInvalid(diagnosis::members_disagree(*one, *other))),
        (_, Some(Err(problem))) | (Err(problem), _) => Err(Hold::PolicyInvalid(problem.clone())),
    }
}

/// Members that wait must name one scheduler, whoever it is: nobody can place the members of two schedulers as a whole.
/// 1.37 asks that of those that have a node as well.
///
/// Sources: `pkg/scheduler.frameworkForPodGroup` of 1.36, `validatePodGroup` of 1.37.
fn one_scheduler(counted: &Counted, kind: Option<Kind>) -> Result<(), Hold> {
    let placed = (kind == Some(Kind::PodGroup)).then_some(&counted.placed_schedulers);
    let mut names = counted.waiting_schedulers.values();
    let Some(first) = names.next() else { return Ok(()) };
    let others = names.chain(placed.into_iter().flat_map(Tally::values));
    match others.into_iter().find(|name| *name != first) {
        Some(other) => Err(Hold::MixedSchedulers(first.clone(), other.clone())),
        None => Ok(()),
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
