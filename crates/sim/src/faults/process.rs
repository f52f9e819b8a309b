//! One scheduler process: its engine, its clock, its watches, and what it was told.

use super::mirror::{Mirror, Policy};
use super::watches::Stream;
use muster_engine::election::Election;
use muster_engine::{Engine, Input, Settings, Time};
use muster_framework::Text;
use muster_framework::group::GroupKey;
use muster_framework::record::{Kind, ResourceVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A place that the scheduler has taken for a pod.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) node: Text,
    /// The version of the node that it knew of.
    pub(super) node_version: ResourceVersion,
    /// Uids of the pods that it knew to be on the node, or on their way.
    pub(super) beside: BTreeSet<Text>,
}

/// A scheduler process, or the place of one that has crashed.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: String,
    /// Grows with every start: what was meant for a former one is not heard.
    pub(super) incarnation: u64,
    pub(super) alive: bool,
    pub(super) engine: Engine,
    born: Time,
    jumped: Duration,
    /// It stands still until then.
    pub(super) paused_until: Time,
    /// Its part in the election; none where there is but one scheduler.
    pub(super) election: Option<Election>,
    /// When it looks at its election next.
    pub(super) elect_at: Option<Time>,
    /// It has been told that it leads.
    pub(super) leads: bool,
    pub(super) streams: [Stream; Kind::ALL.len()],
    pub(super) mirror: Mirror,
    /// Places that it has taken, until it knows better, by the uid of the pod.
    pub(super) taken: BTreeMap<Text, Taken>,
    /// Uids of pods that it has once called bound.
    pub(super) bound: BTreeSet<Text>,
    /// Groups whose policy it was told otherwise than before, and when.
    pub(super) policy_told: BTreeMap<GroupKey, Time>,
    /// It may have decided something: it leads, and everything has been listed.
    pub(super) decides: bool,
    /// Groups that it found half bound then, as statuses name them.
    pub(super) half_bound: BTreeSet<String>,
    /// Those of them that it has not tried since.
    pub(super) untried: BTreeSet<String>,
    pub(super) poll_at: Option<Time>,
    pub(super) idle_polls: u32,
    /// When the last of its writes arrives.
    pub(super) last_arrival: Time,
}

impl Process {
    pub(super) fn new(name: String, settings: &Settings) -> Process {
        Process {
            name,
            incarnation: 0,
            alive: false,
            engine: Engine::new(settings),
            born: Time::ZERO,
            jumped: Duration::ZERO,
            paused_until: Time::ZERO,
            election: None,
            elect_at: None,
            leads: settings.leads,
            streams: Default::default(),
            mirror: Mirror::default(),
            taken: BTreeMap::new(),
            bound: BTreeSet::new(),
            policy_told: BTreeMap::new(),
            decides: false,
            half_bound: BTreeSet::new(),
            untried: BTreeSet::new(),
            poll_at: None,
            idle_polls: 0,
            last_arrival: Time::ZERO,
        }
    }

    /// Starts anew, knowing nothing.
    pub(super) fn start(&mut self, now: Time, settings: &Settings) {
        *self = Process {
            incarnation: self.incarnation + 1,
            alive: true,
            born: now,
            last_arrival: self.last_arrival,
            ..Process::new(self.name.clone(), settings)
        };
    }

    /// Keeps a second time what it is told, and which policies change by it.
    pub(super) fn told(&mut self, now: Time, input: &Input) {
        let is_policy = match input {
            Input::Applied(object) => object.kind().holds_group_policies(),
            Input::Deleted(key) => key.kind.holds_group_policies(),
            Input::ListDone(kind) => kind.holds_group_policies(),
            _ => false,
        };
        let groups: BTreeSet<GroupKey> = if is_policy {
            let uids = self.mirror.pods.keys();
            uids.filter_map(|uid| self.mirror.group_of(uid)).collect()
        } else {
            BTreeSet::new()
        };
        let policies = |mirror: &Mirror| groups.iter().map(|group| mirror.policy(group)).collect::<Vec<_>>();
        let before = policies(&self.mirror);
        self.mirror.tell(input);
        let after = policies(&self.mirror);
        for (group, (before, after)) in groups.into_iter().zip(before.into_iter().zip(after)) {
            // What was no gang before cannot have departed as one.
            if before != after && before != Policy::Missing {
                self.policy_told.insert(group, now);
            }
        }
    }

    /// What its monotonic clock says.
    pub(super) fn clock(&self, now: Time) -> Time {
        Time::ZERO + now.since(self.born) + self.jumped
    }

    /// When its clock will say `clock`; now, if it has.
    pub(super) fn when(&self, now: Time, clock: Time) -> Time {
        now + clock.since(self.clock(now))
    }

    /// Its clock leaps.
    pub(super) fn jump(&mut self, by: Duration) {
        self.jumped += by;
    }

    /// How far its clock has leapt in all.
    pub(super) fn leapt(&self) -> Duration {
        self.jumped
    }

    /// How traces name it.
    pub(super) fn label(&self) -> String {
        format!("{}.{}", self.name, self.incarnation)
    }
}
