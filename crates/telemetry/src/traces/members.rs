//! Which pods are members of which gang, so that their spans come into its trace.

use super::Point;
use muster_engine::PodRef;
use muster_framework::Text;
use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

/// So many members are known; the oldest are forgotten. A request to bind may end after its pod was seen on its node, and a
/// gang may be deleted while it waits: nobody says when the last span of a member has come.
const MEMBERS: usize = 1 << 16;

/// The gangs that are under way.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By uid: the number of the gang.
    known: HashMap<Text, u64>,
    /// Those who are known, the oldest first.
    order: VecDeque<Text>,
    /// By number. A gang that is here has members that are known.
    gangs: HashMap<u64, Gang>,
    /// The latest gang of each name.
    latest: HashMap<Text, u64>,
    last_number: u64,
}

#[derive(Debug)]
struct Gang {
    name: Text,
    /// Where its root stands, if it is sampled.
    root: Option<Point>,
    /// How many of those who are known belong to it.
    known: usize,
    commit: Option<Commit>,
    /// Members that go and are not bound yet.
    left: u32,
}

/// Enough members had places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    /// When the gang could first be tried.
    pub(super) began: SystemTime,
    /// How many members went.
    pub(super) members: u32,
}

/// What is known of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is nobody's member.
    None,
    /// It is a member of a gang of which there is no trace.
    NotSampled,
    /// It is a member of the gang whose root stands here.
    Sampled(Point),
}

impl Members {
    /// A gang was tried with these members. Says where its root stands: `root`, if it is a new one.
    pub(super) fn tried(
        &mut self,
        name: &Text,
        members: &[PodRef],
        root: impl FnOnce() -> Option<Point>,
    ) -> Option<Point> {
        let number = self.number(name, members, root);
        for member in members {
            match self.known.insert(member.uid.clone(), number) {
                Some(before) if before == number => continue,
                Some(before) => self.forget_one_of(before),
                None => self.order.push_back(member.uid.clone()),
            }
            if let Some(gang) = self.gangs.get_mut(&number) {
                gang.known += 1;
            }
        }
        let root = self.gangs.get(&number)?.root;
        while self.order.len() > MEMBERS {
            self.forget_oldest();
        }
        root
    }

    /// The number of the gang of this name that has one of these members, else of a new one: groups are deleted and made anew
    /// under their names, and latecomers make for a trace of their own.
    fn number(&mut self, name: &Text, members: &[PodRef], root: impl FnOnce() -> Option<Point>) -> u64 {
        if let Some(number) = self.latest.get(name)
            && members.iter().any(|member| self.known.get(&member.uid) == Some(number))
        {
            return *number;
        }
        self.last_number += 1;
        let gang = Gang {
            name: name.clone(),
            root: root(),
            known: 0,
            commit: None,
            left: 0,
        };
        self.gangs.insert(self.last_number, gang);
        self.latest.insert(name.clone(), self.last_number);
        self.last_number
    }

    /// So many members of the gang of this name go.
    pub(super) fn committed(&mut self, name: &str, members: u32, began: SystemTime) {
        if let Some(number) = self.latest.get(name)
            && let Some(gang) = self.gangs.get_mut(number)
        {
            gang.commit = Some(Commit { began, members });
            gang.left = members;
        }
    }

    /// A pod is bound. If it is the last one of a commit of which there is a trace: the gang's name, where its root stands,
    /// and the commit.
    pub(super) fn bound(&mut self, uid: &str) -> Option<(Text, Point, Commit)> {
        let gang = self.gangs.get_mut(self.known.get(uid)?)?;
        gang.left = gang.left.checked_sub(1)?;
        if gang.left > 0 {
            return None;
        }
        Some((gang.name.clone(), gang.root?, gang.commit.take()?))
    }

    pub(super) fn membership(&self, uid: &str) -> Membership {
        let gang = self.known.get(uid).and_then(|number| self.gangs.get(number));
        match gang.map(|gang| gang.root) {
            None => Membership::None,
            Some(None) => Membership::NotSampled,
            Some(Some(root)) => Membership::Sampled(root),
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front()
            && let Some(number) = self.known.remove(&oldest)
        {
            self.forget_one_of(number);
        }
    }

    fn forget_one_of(&mut self, number: u64) {
        let Some(gang) = self.gangs.get_mut(&number) else {
            return;
        };
        gang.known -= 1;
        if gang.known > 0 {
            return;
        }
        if let Some(gang) = self.gangs.remove(&number)
            && self.latest.get(&gang.name) == Some(&number)
        {
            self.latest.remove(&gang.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::{SpanId, TraceId};

    fn pod(uid: usize) -> PodRef {
        PodRef {
            namespace: "a".into(),
            name: uid.to_string().into(),
            uid: uid.to_string().into(),
        }
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut members = Members::default();
        for gang in 0..2 * MEMBERS / 100 {
            let pods: Vec<_> = (100 * gang..100 * (gang + 1)).map(pod).collect();
            members.tried(&format!("gang-{gang}").into(), &pods, || None);
        }
        assert_eq!((members.known.len(), members.order.len()), (MEMBERS, MEMBERS));
        assert!(members.gangs.len() <= MEMBERS / 100 + 1);
        assert_eq!(members.gangs.len(), members.latest.len());
        assert_eq!(members.membership("0"), Membership::None);
        let last = 2 * MEMBERS / 100 * 100 - 1;
        assert_eq!(members.membership(&last.to_string()), Membership::NotSampled);
    }

    #[test]
    fn a_group_of_the_same_name_is_another_gang() {
        let point = |n: u8| {
            Some(Point {
                trace: TraceId::from_bytes([n; 16]),
                span: SpanId::from_bytes([n; 8]),
            })
        };
        let (mut members, name) = (Members::default(), Text::from("a/gang"));
        assert_eq!(members.tried(&name, &[pod(1), pod(2)], || point(1)), point(1));
        assert_eq!(members.tried(&name, &[pod(2)], || point(2)), point(1));
        assert_eq!(members.tried(&name, &[pod(3)], || point(3)), point(3));
        members.committed("a/gang", 1, SystemTime::now());
        assert_eq!(members.bound("1"), None);
        let (_, root, commit) = members.bound("3").unwrap();
        assert_eq!((Some(root), commit.members), (point(3), 1));
        assert_eq!(members.bound("3"), None);
    }
}
