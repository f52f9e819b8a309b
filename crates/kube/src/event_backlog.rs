//! The events that wait to be written: a bounded queue in which a newer event takes the place of an older one about the
//! same object and of the same reason. Who reads it later is told what holds, once.

use crate::events::Event;
use jiff::Timestamp;
use muster_engine::Regarding;
use std::collections::{HashMap, VecDeque};

/// The events in the order in which the first of their like came. No clock and no task.
#[derive(Debug)]
pub(crate) struct EventBacklog {
    waiting: VecDeque<(Timestamp, Event)>,
    room: usize,
    /// So many have been taken: the event with this number, counted from the first ever, is at the front.
    n_taken: u64,
    /// The numbers of those that wait.
    numbers: HashMap<(Regarding, &'static str), u64>,
}

/// Too many events wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl EventBacklog {
    /// Room for so many events; at least one.
    pub(crate) fn new(room: usize) -> EventBacklog {
        EventBacklog {
            waiting: VecDeque::new(),
            room: room.max(1),
            n_taken: 0,
            numbers: HashMap::new(),
        }
    }

    /// Puts an event at the end, or in the place of its like.
    pub(crate) fn put(&mut self, at: Timestamp, event: Event) -> Result<(), NoRoom> {
        let key = (event.regarding.clone(), event.reason);
        if let Some(number) = self.numbers.get(&key)
            && let Ok(place) = usize::try_from(number - self.n_taken)
            && let Some(older) = self.waiting.get_mut(place)
        {
            *older = (at, event);
            return Ok(());
        }
        if self.waiting.len() >= self.room {
            return Err(NoRoom);
        }
        self.numbers.insert(key, self.n_taken + self.waiting.len() as u64);
        self.waiting.push_back((at, event));
        Ok(())
    }

    /// Takes the event that has waited longest.
    pub(crate) fn take(&mut self) -> Option<(Timestamp, Event)> {
        let (at, event) = self.waiting.pop_front()?;
        self.n_taken += 1;
        let key = (event.regarding, event.reason);
        self.numbers.remove(&key);
        let (regarding, _) = key;
        Some((at, Event { regarding, ..event }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_engine::{PodRef, Severity};

    fn event(pod: &str, reason: &'static str, note: &str) -> Event {
        Event {
            regarding: Regarding::Pod(PodRef {
                namespace: "shop".into(),
                name: pod.into(),
                uid: format!("uid-{pod}").into(),
            }),
            reporting_controller: "muster".into(),
            severity: Severity::Warning,
            reason,
            action: "Scheduling",
            note: note.into(),
        }
    }

    fn put(backlog: &mut EventBacklog, second: i64, pod: &str, reason: &'static str, note: &str) -> Result<(), NoRoom> {
        let at = Timestamp::from_second(second).unwrap();
        backlog.put(at, event(pod, reason, note))
    }

    fn take(backlog: &mut EventBacklog) -> Option<(i64, String)> {
        let (at, event) = backlog.take()?;
        Some((at.as_second(), event.note.to_string()))
    }

    #[test]
    fn the_newer_of_two_alike_takes_the_place_of_the_older() {
        let mut backlog = EventBacklog::new(10);
        put(&mut backlog, 1, "a", "FailedScheduling", "0/3 nodes").unwrap();
        put(&mut backlog, 2, "b", "FailedScheduling", "0/3 nodes of b").unwrap();
        put(&mut backlog, 3, "a", "Scheduled", "to n1").unwrap();
        put(&mut backlog, 4, "a", "FailedScheduling", "0/4 nodes").unwrap();
        assert_eq!(take(&mut backlog), Some((4, "0/4 nodes".to_owned())));
        assert_eq!(take(&mut backlog), Some((2, "0/3 nodes of b".to_owned())));
        // What has been taken is on its way: its like is an event of its own.
        put(&mut backlog, 5, "a", "FailedScheduling", "0/5 nodes").unwrap();
        assert_eq!(take(&mut backlog), Some((3, "to n1".to_owned())));
        put(&mut backlog, 6, "a", "FailedScheduling", "0/6 nodes").unwrap();
        assert_eq!(take(&mut backlog), Some((6, "0/6 nodes".to_owned())));
        assert_eq!(take(&mut backlog), None);
        assert!(backlog.numbers.is_empty());
    }

    #[test]
    fn a_full_backlog_still_takes_news_of_what_waits() {
        let mut backlog = EventBacklog::new(2);
        put(&mut backlog, 1, "a", "Scheduled", "a").unwrap();
        put(&mut backlog, 1, "b", "Scheduled", "b").unwrap();
        assert_eq!(put(&mut backlog, 1, "c", "Scheduled", "c"), Err(NoRoom));
        assert_eq!(put(&mut backlog, 2, "b", "Scheduled", "newer"), Ok(()));
        take(&mut backlog);
        assert_eq!(put(&mut backlog, 3, "c", "Scheduled", "c"), Ok(()));
        assert_eq!(take(&mut backlog), Some((2, "newer".to_owned())));
    }
}
