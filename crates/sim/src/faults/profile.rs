//! What can go wrong, and how often.

use std::fmt;

/// The sorts of faults. Each is counted; a run in which one never struck has not tested it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// A watch event comes long after its change.
    WatchLag,
    /// An event overtakes an earlier one of another kind. Not injected, but counted where it happens.
    Reordering,
    /// A watch ends, and is resumed from the version that it had come to.
    WatchDropped,
    /// A watch ends, and its version is too old to resume from: everything is listed again.
    Gone,
    /// A bookmark says that a watch has come further than its last event.
    Bookmark,
    /// A list fails and is asked for again.
    ListFailed,
    /// A list is read long before it is told: much has changed since.
    StaleList,
    /// A watch event or an item of a list cannot be read. A later one can.
    Undecodable,
    /// A write is answered with 409 and not done.
    Conflict,
    /// A write is answered with 429: the dispatcher sends it again.
    TooManyRequests,
    /// A write is answered with 500 or 503 and not done.
    ServerError,
    /// A write is refused by an admission webhook or a quota.
    RefusedByAdmission,
    /// A request never arrives; its sender gives up waiting.
    RequestLost,
    /// A write is done, but its answer is lost.
    AnswerLost,
    /// A write is done only after its sender has given up waiting.
    StoredLate,
    /// An answer takes so long that others overtake it.
    AnswerSlow,
    /// A read fails.
    ReadFailed,
    /// An eviction is refused by a disruption budget.
    EvictionRefused,
    /// The scheduler crashes when it has handed out an effect, which is still carried out.
    CrashAfterEffect,
    /// The scheduler crashes when it has handed out an effect, which dies with it.
    CrashWithEffect,
    /// The scheduler crashes when an answer reaches it.
    CrashAtAnswer,
    /// The scheduler stands still for a while.
    Pause,
    /// The scheduler's monotonic clock leaps forward. Only where it is alone: no election survives that.
    ClockJump,
    /// A request about the Lease fails.
    LeaseFailed,
    /// Another scheduler leads than before. Not injected, but counted where it happens.
    LeaderChange,
    /// A kubelet turns a pod away for a reason of its own: `UnexpectedAdmissionError`.
    KubeletRefuses,
    /// A running pod fails.
    PodFails,
    /// A rival binds a pod of its own, as far as there is room.
    RivalBind,
    /// A rival binds a pod of its own where there is no room.
    RivalCrowds,
    /// A rival binds a pod of ours.
    RivalTakesOurs,
    /// A node is cordoned, tainted, resized, or deleted, or comes back.
    NodeFlap,
    /// A user deletes a pod.
    PodDeleted,
    /// A user deletes a group's policy, and perhaps makes another.
    PolicyDeleted,
    /// A user changes `minCount`.
    MinCountChanged,
    /// A gate is lifted.
    Ungated,
    /// A member comes after the others.
    LateMember,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 36] = {
        use FaultKind::*;
        [
            WatchLag,
            Reordering,
            WatchDropped,
            Gone,
            Bookmark,
            ListFailed,
            StaleList,
            Undecodable,
            Conflict,
            TooManyRequests,
            ServerError,
            RefusedByAdmission,
            RequestLost,
            AnswerLost,
            StoredLate,
            AnswerSlow,
            ReadFailed,
            EvictionRefused,
            CrashAfterEffect,
            CrashWithEffect,
            CrashAtAnswer,
            Pause,
            ClockJump,
            LeaseFailed,
            LeaderChange,
            KubeletRefuses,
            PodFails,
            RivalBind,
            RivalCrowds,
            RivalTakesOurs,
            NodeFlap,
            PodDeleted,
            PolicyDeleted,
            MinCountChanged,
            Ungated,
            LateMember,
        ]
    };

    /// Its name in tables: that of the variant.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Why something that ought not to be was nobody's mistake. Counted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Excuse {
    /// A node was over-committed, and a rival had bound a pod there that we had not been told of.
    RivalUnseen,
    /// A node was over-committed, and it had become smaller, or another, without our being told.
    NodeChangedUnseen,
    /// A node was over-committed by a write that was stored after its sender had given it up.
    StoredLate,
    /// A node was over-committed because what we knew of it could not be read any more.
    Undecodable,
    /// A gang's `minCount` was raised while it departed.
    MinCountRaised,
}

impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How often things go wrong, and how long they go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    /// Of each ten thousand opportunities, how many are taken.
    rates: [u16; FaultKind::ALL.len()],
    /// The most schedulers that there are, of which one leads: some worlds have one, others two.
    pub schedulers: u64,
    /// When faults and actions stop, in milliseconds.
    pub calm_after_millis: u64,
}

impl Profile {
    /// The profiles that can be asked for.
    pub fn all() -> Vec<Profile> {
        vec![
            Profile::default(),
            Profile::calm(),
            Profile::storm(),
            Profile::crashes(),
        ]
    }

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::all().into_iter().find(|profile| profile.name == name)
    }

    /// People act and watches lag, but nothing fails.
    pub fn calm() -> Profile {
        use FaultKind::*;
        let mut profile = Profile {
            name: "calm",
            rates: [0; FaultKind::ALL.len()],
            ..Profile::default()
        };
        for kind in [WatchLag, Bookmark, AnswerSlow] {
            profile = profile.with(kind, 300);
        }
        profile
    }

    /// Everything three times as often.
    pub fn storm() -> Profile {
        let mut profile = Profile {
            name: "storm",
            ..Profile::default()
        };
        for rate in &mut profile.rates {
            *rate = rate.saturating_mul(3);
        }
        profile
    }

    /// A scheduler that hardly ever finishes what it began.
    pub fn crashes() -> Profile {
        use FaultKind::*;
        let profile = Profile {
            name: "crashes",
            ..Profile::default()
        };
        profile
            .with(CrashAfterEffect, 600)
            .with(CrashWithEffect, 600)
            .with(CrashAtAnswer, 600)
    }

    /// With another rate for one kind, of ten thousand opportunities.
    #[must_use]
    pub fn with(mut self, kind: FaultKind, rate: u16) -> Profile {
        self.rates[kind as usize] = rate;
        self
    }

    pub(super) fn rate(&self, kind: FaultKind) -> u16 {
        self.rates[kind as usize]
    }
}

impl Default for Profile {
    /// Everything, now and then.
    fn default() -> Profile {
        use FaultKind::*;
        let rates = [
            (WatchLag, 400),
            (WatchDropped, 60),
            (Gone, 3000),
            (Bookmark, 300),
            (ListFailed, 500),
            (StaleList, 1500),
            (Undecodable, 40),
            (Conflict, 150),
            (TooManyRequests, 200),
            (ServerError, 200),
            (RefusedByAdmission, 200),
            (RequestLost, 150),
            (AnswerLost, 250),
            (StoredLate, 100),
            (AnswerSlow, 400),
            (ReadFailed, 1000),
            (EvictionRefused, 2000),
            (CrashAfterEffect, 40),
            (CrashWithEffect, 40),
            (CrashAtAnswer, 40),
            (Pause, 40),
            (ClockJump, 40),
            (LeaseFailed, 600),
            (KubeletRefuses, 300),
            (PodFails, 300),
        ];
        let profile = Profile {
            name: "default",
            rates: [0; FaultKind::ALL.len()],
            schedulers: 2,
            calm_after_millis: 30_000,
        };
        rates
            .into_iter()
            .fold(profile, |profile, (kind, rate)| profile.with(kind, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_in_the_list_at_its_own_place() {
        for (at, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at, "{kind:?}");
        }
    }

    #[test]
    fn profiles_are_found_by_their_names() {
        for profile in Profile::all() {
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("none"), None);
    }
}
