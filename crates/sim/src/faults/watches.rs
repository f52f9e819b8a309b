//! Watches and lists: how a scheduler hears of what the API server has.

use super::chaos::subject;
use super::profile::FaultKind;
use super::world::{Occurrence, World};
use crate::cluster::Change;
use crate::object::ObjectKind;
use muster_engine::{Input, Object, ObjectKey, Time};
use muster_framework::record::{Kind, ResourceVersion};
use std::time::Duration;

/// What the API server has told, or would have, of one kind.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) events: Vec<(ResourceVersion, Input)>,
}

/// Where a watch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Course {
    /// The kind is not served.
    #[default]
    Unserved,
    /// It is listed.
    Listing,
    /// It is watched.
    Watching,
    /// The connection is broken.
    Broken,
}

/// A watch of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stream {
    /// Grows with every connection: what comes by a former one is not heard.
    pub(super) number: u64,
    pub(super) course: Course,
    /// Events of the history that are on their way or told.
    planned: usize,
    /// Events of the history that are told.
    pub(super) told: usize,
    /// When the last one on its way arrives: events of a kind never overtake each other.
    latest: Time,
    /// How far a bookmark said that it is.
    bookmark: usize,
    /// Something that was told could not be read.
    pub(super) blemished: bool,
}

/// Which watch of which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) process: usize,
    pub(super) incarnation: u64,
    pub(super) kind: Kind,
    pub(super) number: u64,
}

/// Where the watch of a kind is kept.
pub(super) fn slot(kind: Kind) -> usize {
    Kind::ALL.iter().position(|other| *other == kind).unwrap_or(0)
}

impl World {
    /// Enters a change into the history, and sends it on its way to who watches.
    pub(super) fn publish(&mut self, change: &Change) {
        let Some(kind) = change.stored().key.kind.watched() else {
            return;
        };
        let input = match &change.after {
            Some(stored) => match stored.record.clone() {
                Some(record) => Input::Applied(record),
                None => return,
            },
            None => {
                let mut key = change.stored().object_key(kind);
                key.resource_version = change.resource_version;
                Input::Deleted(key)
            }
        };
        self.histories[slot(kind)].events.push((change.resource_version, input));
        for process in 0..self.processes.len() {
            self.send_events(process, kind);
        }
    }

    /// Sends what a watch has not been sent yet.
    fn send_events(&mut self, process: usize, kind: Kind) {
        let of = &self.processes[process];
        let stream = &of.streams[slot(kind)];
        if !of.alive || stream.course != Course::Watching {
            return;
        }
        let (incarnation, number, from) = (of.incarnation, stream.number, stream.planned);
        let name = subject(&[&of.name, kind.name()]);
        for index in from..self.histories[slot(kind)].events.len() {
            let mut lag = Duration::from_micros(self.chaos.between(name, 500, 8000));
            if self.chaos.strikes(self.now, FaultKind::WatchLag, name) {
                lag += Duration::from_millis(self.chaos.between(name ^ 1, 50, 3000));
            }
            let stream = &mut self.processes[process].streams[slot(kind)];
            let at = (self.now + lag).max(stream.latest);
            stream.latest = at;
            stream.planned = index + 1;
            let watch = Watch {
                process,
                incarnation,
                kind,
                number,
            };
            self.agenda.plan(at, Occurrence::Tell { watch, index });
        }
    }

    fn is_heard(&self, watch: Watch) -> bool {
        let process = &self.processes[watch.process];
        process.alive
            && process.incarnation == watch.incarnation
            && process.streams[slot(watch.kind)].number == watch.number
    }

    /// A watch event arrives.
    pub(super) fn tell(&mut self, watch: Watch, index: usize) {
        if !self.is_heard(watch) {
            return;
        }
        let slot = slot(watch.kind);
        let (version, input) = self.histories[slot].events[index].clone();
        self.count_reordering(watch, version);
        let name = subject(&[&self.processes[watch.process].name, watch.kind.name(), "event"]);
        let input = self.perhaps_unreadable(name, input, watch);
        self.input(watch.process, input);
        let process = &mut self.processes[watch.process];
        process.streams[slot].told = index + 1;
        if self.chaos.strikes(self.now, FaultKind::Bookmark, name) {
            let process = &mut self.processes[watch.process];
            process.streams[slot].bookmark = process.streams[slot].told;
        }
        if self.chaos.strikes(self.now, FaultKind::WatchDropped, name) {
            self.break_watch(watch);
        }
    }

    fn count_reordering(&mut self, watch: Watch, version: ResourceVersion) {
        let process = &self.processes[watch.process];
        let overtaken = Kind::ALL.iter().any(|kind| {
            let stream = &process.streams[slot(*kind)];
            let next = self.histories[slot(*kind)].events.get(stream.told);
            *kind != watch.kind && stream.course == Course::Watching && next.is_some_and(|(next, _)| *next < version)
        });
        if overtaken {
            self.counted(FaultKind::Reordering);
        }
    }

    /// What a scheduler makes of an object that it cannot read.
    fn perhaps_unreadable(&mut self, name: u64, input: Input, watch: Watch) -> Input {
        let Input::Applied(object) = &input else { return input };
        if !self.chaos.strikes(self.now, FaultKind::Undecodable, name) {
            return input;
        }
        let Some(key) = key_of(object) else { return input };
        self.note(|world| {
            let label = world.processes[watch.process].label();
            format!("{label} cannot read {} {}", key.kind.name(), key.name)
        });
        self.processes[watch.process].streams[slot(watch.kind)].blemished = true;
        let error = "spec: a fault of the simulation".into();
        Input::Undecodable { key, error }
    }

    fn break_watch(&mut self, watch: Watch) {
        self.note(|world| {
            let label = world.processes[watch.process].label();
            format!("{label} loses its watch of {}", watch.kind.name())
        });
        let process = &mut self.processes[watch.process];
        let stream = &mut process.streams[slot(watch.kind)];
        stream.number += 1;
        stream.course = Course::Broken;
        let watch = Watch {
            number: stream.number,
            ..watch
        };
        let name = subject(&[&process.name, watch.kind.name(), "away"]);
        let away = Duration::from_millis(self.chaos.between(name, 10, 3000));
        self.agenda.plan(self.now + away, Occurrence::Reconnect(watch));
    }

    /// A broken watch is taken up again: from where it was, or by a list.
    pub(super) fn reconnect(&mut self, watch: Watch) {
        if !self.is_heard(watch) {
            return;
        }
        let length = self.histories[slot(watch.kind)].events.len();
        let process = &mut self.processes[watch.process];
        let name = subject(&[&process.name, watch.kind.name(), "again"]);
        let stream = &mut process.streams[slot(watch.kind)];
        let is_recent = stream.bookmark == length;
        if !is_recent && self.chaos.strikes(self.now, FaultKind::Gone, name) {
            return self.list(watch.process, watch.kind);
        }
        stream.course = Course::Watching;
        stream.planned = stream.told;
        stream.latest = self.now;
        self.send_events(watch.process, watch.kind);
    }

    /// Begins to list a kind.
    pub(super) fn list(&mut self, process: usize, kind: Kind) {
        let stream = &mut self.processes[process].streams[slot(kind)];
        stream.number += 1;
        if ObjectKind::watched_as(kind).is_none() {
            return self.input(process, Input::KindNotServed(kind));
        }
        stream.course = Course::Listing;
        let number = stream.number;
        let watch = Watch {
            process,
            incarnation: self.processes[process].incarnation,
            kind,
            number,
        };
        self.note(|world| format!("{} lists {}", world.processes[process].label(), kind.name()));
        self.input(process, Input::ListBegun(kind));
        let name = subject(&[&self.processes[process].name, kind.name(), "list"]);
        let latency = Duration::from_micros(self.chaos.between(name, 500, 5000));
        self.agenda.plan(self.now + latency, Occurrence::ListRead(watch));
    }

    /// A list reaches the API server and is read there.
    pub(super) fn list_read(&mut self, watch: Watch) {
        let Some(simulated) = ObjectKind::watched_as(watch.kind).filter(|_| self.is_heard(watch)) else {
            return;
        };
        let name = subject(&[&self.processes[watch.process].name, watch.kind.name(), "read"]);
        if self.chaos.strikes(self.now, FaultKind::ListFailed, name) {
            let again = Duration::from_millis(self.chaos.between(name, 100, 1500));
            self.agenda.plan(self.now + again, Occurrence::ListAgain(watch));
            return;
        }
        let records = self.cluster.list(simulated).filter_map(|stored| stored.record.clone());
        let objects: Vec<Object> = records.collect();
        let upto = self.histories[slot(watch.kind)].events.len();
        let mut latency = Duration::from_micros(self.chaos.between(name, 500, 5000));
        if self.chaos.strikes(self.now, FaultKind::StaleList, name) {
            latency += Duration::from_millis(self.chaos.between(name ^ 1, 100, 4000));
        }
        self.agenda
            .plan(self.now + latency, Occurrence::ListTold { watch, objects, upto });
    }

    /// A failed list is asked for again.
    pub(super) fn list_again(&mut self, watch: Watch) {
        if self.is_heard(watch) {
            self.list(watch.process, watch.kind);
        }
    }

    /// The items of a list arrive, and the watch goes on from there.
    pub(super) fn list_told(&mut self, watch: Watch, objects: Vec<Object>, upto: usize) {
        if !self.is_heard(watch) {
            return;
        }
        let stream = &mut self.processes[watch.process].streams[slot(watch.kind)];
        *stream = Stream {
            number: stream.number,
            course: Course::Watching,
            planned: upto,
            told: upto,
            latest: self.now,
            bookmark: upto,
            blemished: false,
        };
        let name = subject(&[&self.processes[watch.process].name, watch.kind.name(), "item"]);
        for object in objects {
            let input = self.perhaps_unreadable(name, Input::Applied(object), watch);
            self.input(watch.process, input);
        }
        self.input(watch.process, Input::ListDone(watch.kind));
        self.send_events(watch.process, watch.kind);
    }
}

fn key_of(object: &Object) -> Option<ObjectKey> {
    let (namespace, name, uid, resource_version) = match object {
        Object::Pod(pod) => (
            pod.namespace.clone(),
            pod.name.clone(),
            pod.uid.clone(),
            pod.resource_version,
        ),
        Object::Node(node) => ("".into(), node.name.clone(), "".into(), node.resource_version),
        Object::Workload(workload) => (
            workload.namespace.clone(),
            workload.name.clone(),
            workload.uid.clone(),
            workload.resource_version,
        ),
        _ => return None,
    };
    Some(ObjectKey {
        kind: object.kind(),
        namespace,
        name,
        uid,
        resource_version,
    })
}
