//! Why pod groups wait, told where people look: the status of the group's object, one event, and a metric.
//!
//! A group waits for one *cause* at a time. It is told when the class of the cause changes, and not before it has lasted a
//! while: members arrive one by one, objects of different kinds by different watches, and most waits end at once. What only
//! changes numbers is told again at a slow pace. The detail stands with the group; its pods say in a sentence that does not
//! change as members arrive what they wait for, so that a group of thousands costs one write a pod and not one for every
//! arrival.

use crate::diagnosis::{self, Shortfall};
use crate::effect::{Effect, EffectKind, Regarding, Severity};
use crate::engine::{Awaited, Engine, Timer};
use crate::groups::{Group, GroupId, Hold};
use crate::input::Outcome;
use crate::observation::{Observation, Section, WaitReason};
use crate::outbox::Lane;
use crate::pods::{BindStage, PodId, Role};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::group::{CoschedulingPhase, GroupKey, GroupPolicy, GroupStatus};
use muster_framework::record::Kind;
use std::time::Duration;

/// How long a group waits for something that mostly comes at once before that is told.
const TELL_AFTER: Duration = Duration::from_secs(1);
/// The same, of what takes a while even if all is well: members are made, gates are lifted, volumes are provisioned, and a
/// bind that was refused succeeds the next time.
const TELL_SLOWLY_AFTER: Duration = Duration::from_secs(5);
/// A change from one lack of room to another is told no sooner than this after the last word.
const TELL_ROOM_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Numbers that changed are told of a group no sooner than this after the last word.
const REFRESH_AFTER: Duration = Duration::from_secs(60);
/// And to its pods no sooner than this, and this times their number.
const REFRESH_PODS_AFTER: Duration = Duration::from_secs(300);
const REFRESH_PODS_AFTER_PER_MEMBER: Duration = Duration::from_millis(100);
/// The pace of status writes that only count members, and the first rest after a failed one.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest rest after failed status writes.
const WRITE_AGAIN_AT_LAST_AFTER: Duration = Duration::from_secs(60);

/// What a group waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It may not be tried.
    Held(Hold),
    /// It was tried, and there is no room.
    NoRoom(NoRoom),
    /// Its members have places and wait for their volumes.
    Preparing,
    /// An attempt went wrong after places had been found.
    Failed {
        /// What happened.
        message: String,
        /// The API server refused a bind, or its answer was lost.
        api: bool,
    },
}

/// There is no room for `minCount` members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// The first member without a place.
    pub(crate) culprit: PodId,
    /// Why no node can take it: upstream's sentence, then ours.
    pub(crate) no_node: String,
    /// How far the plan came.
    pub(crate) shortfall: Shortfall,
}

/// What was said of a group: what has the same class need not be said at once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    reason: WaitReason,
    /// The same, but for a group that is broken what it waits for.
    cause: WaitReason,
    /// Words that matter; without numbers, where these change all the time.
    words: String,
}

/// Why a group waits.
#[derive(Debug)]
pub(crate) struct WhyGroupWaits {
    /// In one word.
    pub(crate) reason: WaitReason,
    /// In the word of conditions.
    pub(crate) of_condition: &'static str,
    /// In full.
    pub(crate) text: String,
}

/// What has been told of a group.
#[derive(Debug)]
struct Told {
    class: Class,
    at: Time,
    pods_at: Time,
}

/// What the status of a group's object ought to say, and what it says.
#[derive(Debug, Default)]
struct StatusReport {
    /// The uid of the object that this is about.
    uid: Option<Text>,
    wanted: Option<GroupStatus>,
    /// It has not been written since it was wanted.
    unwritten: bool,
    written: Option<GroupStatus>,
    writing: Option<GroupStatus>,
    write_after: Time,
    failures: u32,
}

/// What is told of a group.
#[derive(Debug, Default)]
pub(crate) struct GroupReport {
    /// What it waits for.
    cause: Option<Cause>,
    /// Since when it waits for something of this class; attempts in between do not count, until one has made it whole.
    since: Option<(Class, Time)>,
    /// The same in one word; set by [`Groups::set_reason`](crate::groups::Groups::set_reason), which counts.
    pub(crate) reason: Option<WaitReason>,
    told: Option<Told>,
    /// Its cause has changed since it was told.
    stale: bool,
    /// Members came while it waited for something that had not been told yet. Should that pass untold, they do not know what
    /// the others have been told before.
    pub(crate) untold: bool,
    /// When it is looked at next, if a timer is set.
    due: Option<Time>,
    status: StatusReport,
}

impl Cause {
    fn reason(&self) -> WaitReason {
        match self {
            Cause::Held(hold) => hold.reason(),
            Cause::NoRoom(_) => WaitReason::NoRoom,
            Cause::Preparing => WaitReason::Preparing,
            Cause::Failed { api: true, .. } => WaitReason::ApiErrors,
            Cause::Failed { api: false, .. } => WaitReason::BackingOff,
        }
    }

    fn words(&self) -> String {
        match self {
            Cause::Held(Hold::PolicyInvalid(problem)) => problem.to_string(),
            Cause::Held(Hold::Unsupported(problems)) => diagnosis::problems(problems),
            Cause::Held(Hold::MixedSchedulers(one, other)) => format!("{one} {other}"),
            Cause::Held(Hold::PodGroupMissing) => "of the Workload".to_owned(),
            Cause::NoRoom(no_room) => no_room.no_node.chars().filter(|c| !c.is_ascii_digit()).collect(),
            _ => String::new(),
        }
    }

    fn tell_after(&self) -> Duration {
        match self {
            Cause::Held(Hold::Quorum { .. } | Hold::MemberGated { .. }) | Cause::Preparing | Cause::Failed { .. } => {
                TELL_SLOWLY_AFTER
            }
            Cause::Held(_) => TELL_AFTER,
            Cause::NoRoom(_) => Duration::ZERO,
        }
    }

    /// The reason in the words of conditions. Autoscalers act on the first: only a group that is complete and has no room
    /// may have it.
    fn condition_reason(&self) -> &'static str {
        match self {
            Cause::NoRoom(_) => diagnosis::UNSCHEDULABLE,
            Cause::Held(Hold::MixedSchedulers(..) | Hold::MixedPriorities { .. }) | Cause::Failed { .. } => {
                diagnosis::SCHEDULER_ERROR
            }
            Cause::Held(_) | Cause::Preparing => diagnosis::NOT_READY,
        }
    }
}

// ---- causes come and go ------------------------------------------------------------------------------------------

impl Engine {
    /// A group may not be tried. Those of its members that were looked at are told what the others have been told.
    pub(crate) fn group_is_held(&mut self, now: Time, id: GroupId, hold: Hold, looked_at: &[PodId]) {
        self.group_waits(now, id, Cause::Held(hold));
        let Some(group) = self.groups.get(id) else { return };
        let Some(cause @ Cause::Held(hold)) = &group.report.cause else {
            return;
        };
        let told = group.report.told.as_ref();
        let is_told = told.is_some_and(|told| told.class == self.class(group, cause));
        let told = is_told.then(|| (group.key.clone(), hold.clone()));
        let Some(group) = self.groups.get_mut(id) else { return };
        let Some((key, hold)) = told else {
            group.report.untold |= !looked_at.is_empty();
            return;
        };
        if std::mem::take(&mut group.report.untold) {
            let pending: Vec<PodId> = group.pending.iter().copied().collect();
            self.tell_held_pods(now, &key, &hold, &pending);
        } else {
            self.tell_held_pods(now, &key, &hold, looked_at);
        }
    }

    /// A group was tried, and there is no room for enough of its members.
    pub(crate) fn group_finds_no_room(&mut self, now: Time, id: GroupId, no_room: NoRoom) {
        if no_room.shortfall.satisfied >= no_room.shortfall.min_count {
            // The gang has what it needs: members beyond that wait like single pods.
            return self.extra_members_find_no_room(now, id, &no_room);
        }
        self.group_waits(now, id, Cause::NoRoom(no_room));
        let Some(group) = self.groups.get(id) else { return };
        let Some(message) = self.no_room_of_pods(group) else {
            return;
        };
        // Members that came since the others were told.
        let newcomers = group.pending.iter().copied().filter(|pod| {
            let pod = self.cluster.pods.get(*pod);
            let wanted = pod.and_then(|pod| pod.report.wanted.as_ref());
            wanted.is_none_or(|wanted| &*wanted.reason != diagnosis::UNSCHEDULABLE)
        });
        for pod in newcomers.collect::<Vec<_>>() {
            self.want(now, pod, diagnosis::UNSCHEDULABLE, message.clone(), false);
        }
    }

    fn extra_members_find_no_room(&mut self, now: Time, id: GroupId, no_room: &NoRoom) {
        self.group_waits_no_more(id);
        let Some(group) = self.groups.get(id) else { return };
        let culprit = self.name_of(no_room.culprit);
        let message = diagnosis::gang_waits(
            &self.cluster.table,
            &group.key,
            &culprit,
            &no_room.no_node,
            no_room.shortfall,
        );
        let group_name: Text = group.key.to_string().into();
        let mut news = false;
        for pod in group.pending.iter().copied().collect::<Vec<_>>() {
            news |= self.want(now, pod, diagnosis::UNSCHEDULABLE, message.clone(), true);
        }
        if news {
            self.observations.push(Observation::GroupWaiting {
                group: group_name,
                reason: WaitReason::NoRoom,
                message: message.into(),
            });
        }
    }

    /// Places were found for enough members of a gang: for so many, and not for so many others.
    pub(crate) fn group_is_committed(
        &mut self,
        now: Time,
        id: GroupId,
        [members, without_place]: [u32; 2],
        prepares: bool,
    ) {
        let since = self.queue.first_enqueued(Entity::Group(id));
        let Some(group) = self.groups.get(id) else { return };
        self.observations.push(Observation::GroupCommitted {
            group: group.key.to_string().into(),
            members,
            without_place,
            waited: since.map_or(Duration::ZERO, |since| now.since(since)),
        });
        if prepares {
            self.group_waits(now, id, Cause::Preparing);
        } else {
            self.group_waits_no_more(id);
        }
    }

    /// An attempt at a pod's gang went wrong after places had been found; `api`: a bind was refused or its answer lost.
    pub(crate) fn group_fails(&mut self, now: Time, pod: PodId, message: &str, api: bool) {
        let Entity::Group(id) = self.entity_of(pod) else { return };
        // What keeps it from being tried at all is told instead.
        if self
            .groups
            .get(id)
            .is_some_and(|group| self.groups.ready(group).is_ok())
        {
            let message = message.to_owned();
            self.group_waits(now, id, Cause::Failed { message, api });
        }
    }

    /// Nothing keeps a group any more that kept it from being tried.
    pub(crate) fn group_may_be_tried(&mut self, id: GroupId) {
        let cause = self.groups.get(id).and_then(|group| group.report.cause.as_ref());
        if matches!(cause, Some(Cause::Held(_))) {
            self.group_waits_no_more(id);
        }
    }

    /// A group waits for nothing.
    pub(crate) fn group_waits_no_more(&mut self, id: GroupId) {
        self.groups.set_reason(id, None);
        if let Some(group) = self.groups.get_mut(id) {
            group.report.cause = None;
        }
    }

    fn group_waits(&mut self, now: Time, id: GroupId, cause: Cause) {
        let Some(group) = self.groups.get(id) else { return };
        let class = self.class(group, &cause);
        let since = match &group.report.since {
            Some((known, since)) if *known == class => *since,
            _ => now,
        };
        let changed = group.report.cause.as_ref() != Some(&cause);
        // None: nothing new to tell.
        let due = match &group.report.told {
            Some(told) if told.class == class => (changed || group.report.stale).then_some(told.at + REFRESH_AFTER),
            Some(told) if told.class.cause == class.cause && class.cause == WaitReason::NoRoom => {
                Some(told.at + TELL_ROOM_AGAIN_AFTER)
            }
            _ => Some(since + cause.tell_after()),
        };
        self.groups.set_reason(id, Some(class.reason));
        let Some(group) = self.groups.get_mut(id) else { return };
        group.report.stale |= changed;
        group.report.cause = Some(cause);
        group.report.since = Some((class, since));
        match due {
            Some(due) if due <= now => self.tell_group(now, id),
            Some(due) => self.look_at_group(due, id),
            None => {}
        }
    }

    fn class(&self, group: &Group, cause: &Cause) -> Class {
        let broken = self.groups.quorum(group).is_some_and(|quorum| group.is_broken(quorum));
        Class {
            reason: if broken { WaitReason::Broken } else { cause.reason() },
            cause: cause.reason(),
            words: cause.words(),
        }
    }

    /// Sets the group's timer, unless it is set to an earlier time.
    fn look_at_group(&mut self, due: Time, id: GroupId) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let before = group.report.due;
        if before.is_some_and(|before| before <= due) {
            return;
        }
        group.report.due = Some(due);
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::TellGroup(id)));
        }
        self.timers.insert((due, Timer::TellGroup(id)));
    }
}

// ---- telling -----------------------------------------------------------------------------------------------------

impl Engine {
    /// The group's timer.
    pub(crate) fn group_is_due(&mut self, now: Time, id: GroupId) {
        let Some(group) = self.groups.get_mut(id) else { return };
        // The timer may be that of another group that had this ordinal.
        if group.report.due.is_none_or(|due| due > now) {
            return;
        }
        group.report.due = None;
        let Some(cause) = self.groups.get(id).and_then(|group| self.cause_now(group)) else {
            return self.group_waits_no_more(id);
        };
        self.group_waits(now, id, cause);
    }

    /// What a group waits for, looked at afresh.
    fn cause_now(&self, group: &Group) -> Option<Cause> {
        let cause = group.report.cause.clone()?;
        match (cause, self.groups.ready(group)) {
            (Cause::Held(_), Ok(_)) => None,
            (Cause::Held(_) | Cause::Failed { .. }, Err(hold)) => Some(Cause::Held(hold)),
            (Cause::Preparing, _) if self.members_that_prepare(group) == 0 => None,
            (cause, _) => Some(cause),
        }
    }

    fn members_that_prepare(&self, group: &Group) -> usize {
        let prepares = |pod: &&PodId| {
            let place = self.cluster.pods.get(**pod).and_then(|pod| pod.place.as_ref());
            let stage = place.and_then(|place| place.bind).map(|bind| bind.stage);
            matches!(stage, Some(BindStage::Preparing | BindStage::Ready))
        };
        group.members.keys().filter(prepares).count()
    }

    /// Tells why a group waits. Nobody is told by who does not lead, or of what may just not have been listed.
    fn tell_group(&mut self, now: Time, id: GroupId) {
        if !self.leads {
            return;
        }
        if !self.is_synced() {
            return self.look_at_group(now + TELL_AFTER, id);
        }
        let Some((class, text)) = self.groups.get(id).and_then(|group| {
            let cause = group.report.cause.as_ref()?;
            Some((self.class(group, cause), self.group_text(now, id, group, cause)))
        }) else {
            return;
        };
        let Some(group) = self.groups.get_mut(id) else { return };
        let told = group.report.told.take();
        let same = told.as_ref().is_some_and(|told| told.class == class);
        let pace = REFRESH_PODS_AFTER.max(REFRESH_PODS_AFTER_PER_MEMBER.saturating_mul(group.members.len() as u32));
        let pods_at = told
            .filter(|told| told.class == class && told.pods_at + pace > now)
            .map(|told| told.pods_at);
        group.report.told = Some(Told {
            class: class.clone(),
            at: now,
            pods_at: pods_at.unwrap_or(now),
        });
        group.report.stale = false;
        let newcomers = std::mem::take(&mut group.report.untold);
        self.want_condition(now, id, text.clone());
        if !same {
            self.announce_group(id, class.reason, &text);
        }
        if pods_at.is_none() || newcomers {
            self.tell_pods_of_group(now, id);
        }
    }

    /// Why a group waits, as it would be told now.
    pub(crate) fn why_group_waits(&self, now: Time, id: GroupId) -> Option<WhyGroupWaits> {
        let group = self.groups.get(id)?;
        let cause = self
            .cause_now(group)
            .or_else(|| self.groups.ready(group).err().map(Cause::Held))?;
        Some(WhyGroupWaits {
            reason: self.class(group, &cause).reason,
            of_condition: cause.condition_reason(),
            text: self.group_text(now, id, group, &cause),
        })
    }

    fn gates_of(&self, id: PodId) -> &[Text] {
        let pod = self.cluster.pods.get(id);
        pod.map_or(&[], |pod| pod.record.scheduling_gates())
    }

    fn group_text(&self, now: Time, id: GroupId, group: &Group, cause: &Cause) -> String {
        let quorum = self.groups.quorum(group).unwrap_or(1);
        let text = match cause {
            Cause::Held(Hold::MemberGated { first, gated }) => {
                diagnosis::gated(&group.key, &self.name_of(*first), self.gates_of(*first), *gated)
            }
            Cause::Held(hold) => match group.first_gated().filter(|_| matches!(hold, Hold::Quorum { .. })) {
                Some(first) => {
                    let held = diagnosis::held(&group.key, hold);
                    diagnosis::of_whom_one_is_gated(held, &self.name_of(first), self.gates_of(first))
                }
                None => diagnosis::held(&group.key, hold),
            },
            Cause::NoRoom(no_room) => {
                let culprit = self.name_of(no_room.culprit);
                diagnosis::gang_waits(
                    &self.cluster.table,
                    &group.key,
                    &culprit,
                    &no_room.no_node,
                    no_room.shortfall,
                )
            }
            Cause::Preparing => diagnosis::prepares(&group.key.to_string(), self.members_that_prepare(group)),
            Cause::Failed { message, .. } => diagnosis::failed(&group.key, message),
        };
        let text = match self.queue.backoff_until(Entity::Group(id)) {
            Some(until) if self.queue.section(Entity::Group(id)) == Some(Section::Backoff) && until > now => {
                diagnosis::tried_again(text, until.since(now))
            }
            _ => text,
        };
        if group.is_broken(quorum) {
            let lost = self.lost_nodes(group);
            diagnosis::broken(&group.key, group.satisfied_by(), quorum, &lost, &text)
        } else {
            text
        }
    }

    pub(crate) fn name_of(&self, pod: PodId) -> Text {
        let pod = self.cluster.pods.get(pod);
        pod.map_or_else(|| "a member".into(), |pod| pod.record.name.clone())
    }

    /// One event speaks for all: about the object that holds the policy, or the first member where there is none.
    fn announce_group(&mut self, id: GroupId, reason: WaitReason, text: &str) {
        let Some(group) = self.groups.get(id) else { return };
        self.observations.push(Observation::GroupWaiting {
            group: group.key.to_string().into(),
            reason,
            message: text.into(),
        });
        self.group_event(id, Severity::Warning, reason.of_event(), text);
    }

    pub(crate) fn group_event(&mut self, id: GroupId, severity: Severity, reason: &'static str, text: &str) {
        let Some(group) = self.groups.get(id) else { return };
        let ours = |pod: &&PodId| self.cluster.pods.get(**pod).is_some_and(|pod| self.is_ours(pod));
        let speaker = group.pending.first().or_else(|| group.members.keys().find(ours));
        let Some(pod) = speaker.and_then(|pod| self.cluster.pods.get(*pod)) else {
            return;
        };
        let regarding = match self.groups.policy_object(group) {
            Some(object) => Regarding::Group(object.reference()),
            None => Regarding::Pod(pod.reference()),
        };
        let reporting_controller = pod.record.scheduler_name.clone();
        let event = EffectKind::Event {
            regarding,
            reporting_controller,
            severity,
            reason,
            action: "Scheduling",
            note: text.into(),
        };
        self.emit(Lane::Events, event);
    }

    fn tell_pods_of_group(&mut self, now: Time, id: GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        let pending: Vec<PodId> = group.pending.iter().copied().collect();
        let key = group.key.clone();
        match group.report.cause.clone() {
            Some(Cause::Held(hold)) => self.tell_held_pods(now, &key, &hold, &pending),
            Some(Cause::NoRoom(_)) => {
                let message = self.no_room_of_pods(group).unwrap_or_default();
                for pod in pending {
                    self.want(now, pod, diagnosis::UNSCHEDULABLE, message.clone(), false);
                }
            }
            // Whose bind failed has been told by who saw it; who has a place says nothing.
            Some(Cause::Failed { .. } | Cause::Preparing) | None => {}
        }
    }

    fn tell_held_pods(&mut self, now: Time, key: &GroupKey, hold: &Hold, pods: &[PodId]) {
        let reason = Cause::Held(hold.clone()).condition_reason();
        let message = diagnosis::held_member(key, hold);
        for pod in pods {
            self.want(now, *pod, reason, message.clone(), false);
        }
    }

    /// What every member says of a group without room.
    fn no_room_of_pods(&self, group: &Group) -> Option<String> {
        let Some(Cause::NoRoom(no_room)) = &group.report.cause else {
            return None;
        };
        let culprit = self.name_of(no_room.culprit);
        Some(diagnosis::gang_waits(
            &self.cluster.table,
            &group.key,
            &culprit,
            &no_room.no_node,
            no_room.shortfall,
        ))
    }

    /// This process leads from now on: what has not been told is told.
    pub(crate) fn tell_all_groups(&mut self, now: Time) {
        let waiting = self.groups.iter().filter(|(_, group)| group.report.cause.is_some());
        for id in waiting.map(|(id, _)| id).collect::<Vec<_>>() {
            self.look_at_group(now + TELL_AFTER, id);
        }
    }
}

// ---- the status of the group's object ----------------------------------------------------------------------------

impl Engine {
    /// The object that holds a group's policy was seen, or a member changed: what its status ought to say may be something
    /// else now.
    pub(crate) fn compare_group_status(&mut self, now: Time, id: GroupId) {
        let kind = self.observe_group_status(id);
        if !self.is_synced() {
            return;
        }
        let Some(group) = self.groups.get(id) else { return };
        let needed = match self.groups.policy(group) {
            Ok(GroupPolicy::Gang { min_count }) => min_count.max(1) as u32,
            Ok(GroupPolicy::Basic) => 1,
            Err(_) => return,
        };
        if kind == Some(Kind::CoschedulingPodGroup) {
            self.want_phase(now, id, needed);
        }
        let Some(group) = self.groups.get_mut(id) else { return };
        let bound = group.bound_or_succeeded();
        if bound < needed {
            return;
        }
        let has_condition = matches!(kind, Some(Kind::PodGroup | Kind::PodGroupV1Alpha2));
        let is_news = has_condition && !group.report.status.says_scheduled();
        let was_told = group.report.cause.is_none() && group.report.told.take().is_some();
        if group.report.cause.is_none() {
            group.report.since = None;
        }
        if !is_news && !was_told {
            return;
        }
        let message = diagnosis::scheduled(&group.key, bound, needed);
        if is_news {
            let condition = GroupStatus::Condition {
                scheduled: true,
                reason: "Scheduled".into(),
                message: message.as_str().into(),
            };
            self.want_status(now, id, condition);
        }
        if was_told && self.leads {
            self.group_event(id, Severity::Normal, "Scheduled", &message);
        }
    }

    /// Takes over what the status of a group's `PodGroup` says; gives the object's kind.
    fn observe_group_status(&mut self, id: GroupId) -> Option<Kind> {
        let record = self.groups.pod_group(self.groups.get(id)?)?;
        let (kind, uid, observed) = (record.kind, record.uid.clone(), record.status.clone());
        let report = &mut self.groups.get_mut(id)?.report;
        if report.status.uid.as_ref() != Some(&uid) {
            report.status = StatusReport {
                uid: Some(uid),
                ..StatusReport::default()
            };
            report.told = None;
        }
        if report.status.writing.is_none() {
            // Somebody else may write it too: it is not written again before we have something else to say.
            report.status.written = observed;
            report.status.unwritten &= report.status.written != report.status.wanted;
        }
        Some(kind)
    }

    /// Counts of members change with every bind: they are written at a pace, and a new phase at once.
    fn want_phase(&mut self, now: Time, id: GroupId, min_member: u32) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let wanted = group.phase(min_member);
        let status = &mut group.report.status;
        if status.wanted.as_ref() == Some(&wanted) || status.says_ended() {
            return;
        }
        let same_phase = match (&status.wanted, &wanted) {
            (Some(GroupStatus::Phase { phase: old, .. }), GroupStatus::Phase { phase: new, .. }) => old == new,
            _ => false,
        };
        if same_phase && status.write_after <= now {
            status.write_after = now + WRITE_AGAIN_AFTER;
            self.timers
                .insert((now + WRITE_AGAIN_AFTER, Timer::WriteGroupAgain(id)));
        }
        self.want_status(now, id, wanted);
    }

    /// The condition of a group that waits. What was scheduled once stays so.
    fn want_condition(&mut self, now: Time, id: GroupId, message: String) {
        let Some(group) = self.groups.get(id) else { return };
        let kind = self.groups.pod_group(group).map(|record| record.kind);
        let Some(cause) = group.report.cause.as_ref() else {
            return;
        };
        if !matches!(kind, Some(Kind::PodGroup | Kind::PodGroupV1Alpha2)) || group.report.status.says_scheduled() {
            return;
        }
        let condition = GroupStatus::Condition {
            scheduled: false,
            reason: cause.condition_reason().into(),
            message: message.into(),
        };
        self.want_status(now, id, condition);
    }

    fn want_status(&mut self, now: Time, id: GroupId, wanted: GroupStatus) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let status = &mut group.report.status;
        if status.wanted.as_ref() == Some(&wanted) {
            return;
        }
        status.unwritten = status.written.as_ref() != Some(&wanted);
        status.wanted = Some(wanted);
        self.write_group_again(now, id);
    }

    /// Puts a group among those whose status is to be written, if it is.
    pub(crate) fn write_group_again(&mut self, now: Time, id: GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        let status = &group.report.status;
        if status.unwritten && status.writing.is_none() && status.write_after <= now {
            self.unreported_groups.insert(id);
        }
    }

    /// The next write of a group's status, if one is due.
    pub(crate) fn next_group_report(&mut self) -> Option<Effect> {
        while let Some(id) = self.unreported_groups.pop_first() {
            let Some(group) = self.groups.get(id) else { continue };
            let Some((object, generation)) = self.groups.policy_object(group).zip(self.groups.pod_group(group)) else {
                continue;
            };
            let (reference, observed_generation) = (object.reference(), generation.generation);
            let Some(group) = self.groups.get_mut(id) else { continue };
            let report = &mut group.report.status;
            let due = report.unwritten && report.writing.is_none() && report.uid.as_ref() == Some(&reference.uid);
            let Some(status) = report.wanted.clone().filter(|_| due) else {
                continue;
            };
            let turns = report.turns(&status);
            report.writing = Some(status.clone());
            report.unwritten = false;
            let uid = reference.uid.clone();
            let effect = self.number(EffectKind::GroupStatus {
                group: reference,
                observed_generation,
                status,
                turns,
            });
            self.awaited.insert(effect.id, Awaited::GroupStatus(id, uid));
            return Some(effect);
        }
        None
    }

    /// A write of a group's status has been answered.
    pub(crate) fn group_status_done(&mut self, now: Time, id: GroupId, uid: &Text, outcome: &Outcome) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let status = &mut group.report.status;
        // Another object has the name now, or another group the ordinal.
        if status.uid.as_ref() != Some(uid) {
            return;
        }
        let Some(writing) = status.writing.take() else { return };
        match outcome {
            Outcome::Written => {
                status.written = Some(writing);
                status.failures = 0;
            }
            Outcome::ObjectGone => status.unwritten = false,
            _ => {
                status.unwritten = true;
                let rest = WRITE_AGAIN_AFTER.saturating_mul(1 << status.failures.min(6));
                status.failures += 1;
                status.write_after = now + rest.min(WRITE_AGAIN_AT_LAST_AFTER);
                let timer = (status.write_after, Timer::WriteGroupAgain(id));
                self.timers.insert(timer);
            }
        }
        self.write_group_again(now, id);
    }
}

impl StatusReport {
    /// Whether the object says, or will say, that the group is scheduled: that is the last word.
    fn says_scheduled(&self) -> bool {
        let says =
            |status: &Option<GroupStatus>| matches!(status, Some(GroupStatus::Condition { scheduled: true, .. }));
        says(&self.written) || says(&self.writing) || says(&self.wanted)
    }

    /// Whether the object says that the group has ended: that is its controller's last word too.
    fn says_ended(&self) -> bool {
        use CoschedulingPhase::{Failed, Finished};
        matches!(
            self.written,
            Some(GroupStatus::Phase {
                phase: Finished | Failed,
                ..
            })
        )
    }

    /// Whether a condition becomes another than the object carries.
    fn turns(&self, to: &GroupStatus) -> bool {
        let scheduled = |status: &GroupStatus| match status {
            GroupStatus::Condition { scheduled, .. } => Some(*scheduled),
            GroupStatus::Phase { .. } => None,
        };
        self.written.as_ref().and_then(scheduled) != scheduled(to)
    }
}

// ---- members turned away -----------------------------------------------------------------------------------------

impl Engine {
    /// A kubelet turned away a pod of ours that we had bound.
    pub(crate) fn turned_away(&mut self, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id).filter(|pod| self.is_ours(pod)) else {
            return;
        };
        let (Some(reason), Some(node)) = (pod.record.turned_away(), &pod.record.node_name) else {
            return;
        };
        let (reason, node, pod, group) = (reason.clone(), node.clone(), pod.reference(), pod.group);
        if let Some((group, _)) = group
            && self.leads
            && self.is_synced()
            && let Some(key) = self.groups.get(group).map(|group| group.key.clone())
        {
            let text = diagnosis::turned_away(&key, &pod.name, &node, &reason);
            self.group_event(group, Severity::Warning, "TurnedAway", &text);
        }
        self.observations.push(Observation::TurnedAway { pod, node, reason });
    }

    /// A member got a node in the API.
    pub(crate) fn member_is_bound(&mut self, now: Time, id: PodId) {
        let Some((group, Role::Placed)) = self.cluster.pods.get(id).and_then(|pod| pod.group) else {
            return;
        };
        self.groups.change(group, id, |member| member.bound = true);
        self.look_again_at_broken(now, group);
        let cause = self.groups.get(group).and_then(|group| group.report.cause.as_ref());
        if matches!(cause, Some(Cause::Preparing)) {
            self.group_waits_no_more(group);
        }
        self.compare_group_status(now, group);
    }
}
