//! Who is woken by what: an event brings back the entities that it could help, and no others.
//!
//! Parked entities are indexed by *wait class*: pods of one spec that the same plugins rejected, and, where one of these
//! plugins reads labels, of one kin. A group is in the classes of its rejected members. An event asks each class once, and
//! only classes with a plugin that such events can move. What it asks: first the plugins' hints; then, if the event can
//! help on its own node only, whether that node could take the pod; if it can help anywhere, whether any node could, as
//! long as that is cheap. Nothing is done for single entities unless they are woken.
//!
//! A class that an event helped, but not enough, waits from then on also for the plugin that stands against it now: so
//! every node that is rejected stays rejected by a plugin whose events are heard. That is why no flush is needed.

use crate::engine::Engine;
use crate::facts::PodFacts;
use crate::pipeline::{EXTENDERS, ProfileOrd};
use crate::pods::{PodId, ShapeId};
use crate::queue::{Entity, Rejected};
use crate::time::Time;
use muster_framework::Text;
use muster_framework::event::{ClusterEvent, EventKinds, EventPod, Hint};
use muster_framework::labels::Labels;
use muster_framework::record::ControllerRef;
use muster_framework::table::NodeOrd;
use muster_framework::view::{Delta, View};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// How many classes an event looks at all nodes for. Beyond that it wakes without looking: a pass over all nodes is as
/// expensive as an attempt, but attempts are held back by backoff.
const MAX_PASSES_PER_EVENT: u32 = 8;

/// Pods that selectors and default spreading treat alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kin {
    namespace: Text,
    labels: Labels,
    terminating: bool,
    controller: Option<ControllerRef>,
}

impl Kin {
    fn of(pod: &PodFacts) -> Kin {
        Kin {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            terminating: pod.terminating,
            controller: pod.controller().cloned(),
        }
    }
}

/// What pods of a class have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClassKey {
    profile: ProfileOrd,
    /// The plugins that rejected them, as bits.
    plugins: u32,
    shape: ShapeId,
    /// They are members of gangs: others of their gang may be the company that they lack.
    in_gang: bool,
    /// None: none of the plugins looks at it.
    kin: Option<Kin>,
}

/// A class as its ordinal; ordinals of empty classes are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClassId(u32);

/// Somebody who waits: an entity, and the pod of it that was rejected.
type Waiter = (Entity, PodId);

#[derive(Debug)]
struct Class {
    key: ClassKey,
    waiters: BTreeSet<Waiter>,
}

/// Parked entities by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct WaitClasses {
    slots: Vec<Option<Class>>,
    free: Vec<ClassId>,
    /// Where newcomers go. A class whose plugins became more may have the key of an older one: it stays by itself, and takes
    /// no newcomers.
    by_key: FxHashMap<ClassKey, ClassId>,
    by_plugins: BTreeMap<(ProfileOrd, u32), BTreeSet<ClassId>>,
}

impl WaitClasses {
    /// Adds somebody; gives the class that it is in.
    pub(crate) fn join(&mut self, key: ClassKey, waiter: Waiter) -> ClassId {
        let id = match self.by_key.get(&key) {
            Some(&id) => id,
            None => self.insert(key),
        };
        if let Some(class) = &mut self.slots[id.0 as usize] {
            class.waiters.insert(waiter);
        }
        id
    }

    fn insert(&mut self, key: ClassKey) -> ClassId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            ClassId((self.slots.len() - 1) as u32)
        });
        self.by_key.insert(key.clone(), id);
        self.by_plugins
            .entry((key.profile, key.plugins))
            .or_default()
            .insert(id);
        self.slots[id.0 as usize] = Some(Class {
            key,
            waiters: BTreeSet::new(),
        });
        id
    }

    /// Takes somebody out; the class goes with the last.
    pub(crate) fn leave(&mut self, id: ClassId, waiter: Waiter) {
        let Some(class) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        class.waiters.remove(&waiter);
        if class.waiters.is_empty()
            && let Some(class) = self.slots[id.0 as usize].take()
        {
            self.unlist(id, &class.key);
            self.free.push(id);
        }
    }

    /// The class waits for these plugins too, from now on.
    fn wait_also(&mut self, id: ClassId, plugins: u32) {
        let Some(mut class) = self.slots.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        self.unlist(id, &class.key);
        class.key.plugins |= plugins;
        self.by_key.entry(class.key.clone()).or_insert(id);
        let listed = self.by_plugins.entry((class.key.profile, class.key.plugins));
        listed.or_default().insert(id);
        self.slots[id.0 as usize] = Some(class);
    }

    fn unlist(&mut self, id: ClassId, key: &ClassKey) {
        if self.by_key.get(key) == Some(&id) {
            self.by_key.remove(key);
        }
        let plugins = (key.profile, key.plugins);
        if let Some(ids) = self.by_plugins.get_mut(&plugins) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_plugins.remove(&plugins);
            }
        }
    }

    /// The waiters of each class, by profile and by the plugins that rejected them, as bits.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (ProfileOrd, u32, usize)> + '_ {
        let classes = self.slots.iter().flatten();
        classes.map(|class| (class.key.profile, class.key.plugins, class.waiters.len()))
    }

    fn is_empty(&self) -> bool {
        self.by_plugins.is_empty()
    }

    fn get(&self, id: ClassId) -> Option<&Class> {
        self.slots[id.0 as usize].as_ref()
    }
}

/// How many events are kept for an entity that is being tried. Of more, only the kinds are known.
const MAX_EVENTS_IN_FLIGHT: usize = 256;

/// What happened while an entity was being tried: its own placements among it, which members that stay behind may have been
/// waiting for, and whatever came while a large group was planned in several turns.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) entity: Entity,
    events: Vec<(ClusterEvent, &'static str)>,
    kinds: EventKinds,
}

impl InFlight {
    pub(crate) fn of(entity: Entity) -> InFlight {
        InFlight {
            entity,
            events: Vec::new(),
            kinds: EventKinds::NONE,
        }
    }

    fn note(&mut self, event: &ClusterEvent, label: &'static str) {
        self.kinds = self.kinds.and(event.kinds());
        if self.events.len() < MAX_EVENTS_IN_FLIGHT {
            self.events.push((event.clone(), label));
        }
    }
}

/// What an event does for a class.
enum Help {
    /// Nothing.
    No,
    /// Trying any of them again may find it a place.
    Yes,
    /// It helped, but these plugins stand against all of them now.
    NotYet(u32),
    /// It helps some, and others not yet.
    Differs {
        woken: Vec<Entity>,
        not_yet: Vec<(Waiter, u32)>,
    },
}

/// What an event wants of the queue.
#[derive(Default)]
struct Verdicts {
    woken: BTreeSet<Entity>,
    classes_not_yet: Vec<(ClassId, u32)>,
    waiters_not_yet: Vec<(Waiter, u32)>,
}

impl Engine {
    /// After an attempt that found no place: waits for an event that could help.
    pub(crate) fn park(&mut self, now: Time, entity: Entity, size: u32, rejected: SmallVec<[Rejected; 1]>) {
        let missed = self.queue.in_flight.take_if(|in_flight| in_flight.entity == entity);
        let mut waits: SmallVec<[(PodId, ClassId); 1]> = SmallVec::new();
        for rejected in rejected {
            if let Some(key) = self.class_key(entity, rejected) {
                let class = self.queue.waiting.join(key, (entity, rejected.pod));
                waits.push((rejected.pod, class));
            }
        }
        self.queue.park(now, entity, size, waits);
        if let Some(missed) = missed {
            self.hear_what_was_missed(now, entity, &missed);
        }
    }

    /// An entity has been parked for reasons that may be older than these events: it is held against them now.
    fn hear_what_was_missed(&mut self, now: Time, entity: Entity, missed: &InFlight) {
        if missed.events.len() == MAX_EVENTS_IN_FLIGHT {
            let is_moved = |class| {
                let key = self.queue.waiting.get(class).map(|class| &class.key);
                key.is_some_and(|key| self.pipeline.moved(key.profile, key.plugins, missed.kinds) != 0)
            };
            let moved = self.queue.classes_of(entity).any(is_moved);
            if moved {
                self.queue.wake(now, entity, "ScheduleAttemptFailure");
            }
            return;
        }
        for (event, label) in &missed.events {
            let classes: BTreeSet<ClassId> = self.queue.classes_of(entity).collect();
            self.wake_among(now, event, label, Some(&classes));
        }
    }

    fn class_key(&self, entity: Entity, rejected: Rejected) -> Option<ClassKey> {
        let pod = self.cluster.pods.get(rejected.pod)?;
        let profile = self.pipeline.profile_of(&pod.record.scheduler_name)?;
        let reads_identity = rejected.plugins & self.pipeline.identity_readers(profile) != 0;
        Some(ClassKey {
            profile,
            plugins: rejected.plugins,
            shape: pod.shape,
            in_gang: entity.is_group(),
            kin: reads_identity.then(|| Kin::of(&pod.record)),
        })
    }

    /// Brings back the entities that an event could help, and no others.
    pub(crate) fn wake(&mut self, now: Time, event: &ClusterEvent, label: &'static str) {
        if let Some(in_flight) = &mut self.queue.in_flight {
            in_flight.note(event, label);
        }
        self.wake_among(now, event, label, None);
    }

    /// As [`Engine::wake`], among these classes only, or among all.
    fn wake_among(&mut self, now: Time, event: &ClusterEvent, label: &'static str, only: Option<&BTreeSet<ClassId>>) {
        if self.queue.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.queue.waiting);
        let verdicts = self.judge(&waiting, event, only);
        self.queue.waiting = waiting;
        for (class, plugins) in verdicts.classes_not_yet {
            self.wait_also(class, plugins);
        }
        for (waiter, plugins) in verdicts.waiters_not_yet {
            self.waiter_waits_also(waiter, plugins);
        }
        for entity in verdicts.woken {
            self.queue.wake(now, entity, label);
        }
    }

    fn judge(&mut self, waiting: &WaitClasses, event: &ClusterEvent, only: Option<&BTreeSet<ClassId>>) -> Verdicts {
        let mut verdicts = Verdicts::default();
        let mut passes = MAX_PASSES_PER_EVENT;
        for ((profile, plugins), classes) in &waiting.by_plugins {
            let moved = self.pipeline.moved(*profile, *plugins, event.kinds());
            // Without any plugin there was no node at all.
            let first_node = *plugins == 0 && matches!(event, ClusterEvent::NodeAdd(_));
            if moved == 0 && !first_node {
                continue;
            }
            for id in classes.iter().filter(|id| only.is_none_or(|only| only.contains(id))) {
                let Some(class) = waiting.get(*id) else { continue };
                let help = if first_node {
                    Help::Yes
                } else {
                    self.help(class, moved, event, &mut passes)
                };
                match help {
                    Help::No => {}
                    Help::Yes => verdicts.woken.extend(class.waiters.iter().map(|(entity, _)| *entity)),
                    Help::NotYet(plugins) => verdicts.classes_not_yet.push((*id, plugins)),
                    Help::Differs { woken, not_yet } => {
                        verdicts.woken.extend(woken);
                        verdicts.waiters_not_yet.extend(not_yet);
                    }
                }
            }
        }
        verdicts
    }

    /// What an event does for a class, asked of one pod of it; `moved` are those of its plugins that may be moved.
    fn help(&mut self, class: &Class, moved: u32, event: &ClusterEvent, passes: &mut u32) -> Help {
        let Some((_, pod)) = class.waiters.first() else {
            return Help::No;
        };
        self.cluster.compile(*pod);
        let Engine { cluster, pipeline, .. } = &mut *self;
        let Some(pod) = cluster.to_place(*pod) else {
            return Help::Yes;
        };
        let delta = Delta::default();
        let view = View::new(&cluster.table, &delta);
        let ClassKey { profile, plugins, .. } = class.key;
        // Others of its gang may be the company that it lacks: nobody knows before they are planned.
        let spared = if class.key.in_gang {
            pipeline.company_readers(profile, &pod, &view)
        } else {
            0
        };
        // Twins get the same answer as long as nobody looks at their labels.
        let alike = class.key.kin.is_some() || !cluster.table.looks_at_pods();
        let not_yet = |by: Option<u32>| by.map_or(Help::Yes, Help::NotYet);
        // What was missed may be about a node that is gone by now.
        let node = event.node().filter(|node| cluster.table.live().contains(*node));
        match (pipeline.hint(profile, &pod, moved, event, &view), node) {
            (Hint::Skip, _) | (Hint::OnEventNode, None) => Help::No,
            (Hint::Queue, _) if alike && spared == 0 && *passes > 0 && moved & EXTENDERS == 0 => {
                *passes -= 1;
                not_yet(pipeline.rejects_everywhere(profile, &pod, &view))
            }
            (Hint::Queue, _) => Help::Yes,
            (Hint::OnEventNode, Some(node)) if alike => {
                not_yet(pipeline.keeps_off(profile, &pod, &view, node, [plugins, !spared]))
            }
            (Hint::OnEventNode, Some(node)) => {
                let readers = pipeline.identity_readers(profile);
                match pipeline.keeps_off(profile, &pod, &view, node, [plugins, !spared & !readers]) {
                    Some(by) => Help::NotYet(by),
                    None => self.help_by_kin(class, node, readers & !spared),
                }
            }
        }
    }

    /// The node could take pods of the class, if it were not for their labels: `readers` are asked once for each kin.
    fn help_by_kin(&mut self, class: &Class, node: NodeOrd, readers: u32) -> Help {
        let mut known: FxHashMap<Kin, Option<u32>> = FxHashMap::default();
        let (mut woken, mut not_yet) = (Vec::new(), Vec::new());
        for waiter in &class.waiters {
            let Some(kin) = self.cluster.pods.get(waiter.1).map(|pod| Kin::of(&pod.record)) else {
                woken.push(waiter.0);
                continue;
            };
            let by = match known.get(&kin) {
                Some(by) => *by,
                None => {
                    let by = self.keeps_off(class.key.profile, waiter.1, node, readers);
                    known.insert(kin, by);
                    by
                }
            };
            match by {
                None => woken.push(waiter.0),
                Some(by) => not_yet.push((*waiter, by)),
            }
        }
        Help::Differs { woken, not_yet }
    }

    fn keeps_off(&mut self, profile: ProfileOrd, pod: PodId, node: NodeOrd, filters: u32) -> Option<u32> {
        self.cluster.compile(pod);
        let pod = self.cluster.to_place(pod)?;
        let delta = Delta::default();
        let view = View::new(&self.cluster.table, &delta);
        self.pipeline.keeps_off(profile, &pod, &view, node, [0, filters])
    }

    /// Everybody of a class waits for these plugins too.
    fn wait_also(&mut self, id: ClassId, plugins: u32) {
        let Some(class) = self.queue.waiting.get(id) else {
            return;
        };
        if class.key.plugins | plugins == class.key.plugins {
            return;
        }
        let readers = self.pipeline.identity_readers(class.key.profile);
        if class.key.kin.is_some() || plugins & readers == 0 {
            return self.queue.waiting.wait_also(id, plugins);
        }
        let waiters: Vec<Waiter> = class.waiters.iter().copied().collect();
        for waiter in waiters {
            self.waiter_waits_also(waiter, plugins);
        }
    }

    /// One of a class waits for these plugins too: in another class.
    fn waiter_waits_also(&mut self, (entity, pod): Waiter, plugins: u32) {
        let Some(old) = self.queue.class_of(entity, pod) else {
            return;
        };
        let Some(before) = self.queue.waiting.get(old).map(|class| class.key.plugins) else {
            return;
        };
        let plugins = before | plugins;
        if plugins == before {
            return;
        }
        if let Some(key) = self.class_key(entity, Rejected { pod, plugins }) {
            let new = self.queue.waiting.join(key, (entity, pod));
            self.queue.change_class(entity, pod, old, new);
        }
    }

    /// A pod as events carry it.
    pub(crate) fn event_pod(&self, facts: &PodFacts) -> EventPod {
        EventPod {
            namespace: facts.namespace.clone(),
            namespace_labels: self.cluster.namespaces.get(&facts.namespace).cloned(),
            labels: facts.labels.clone(),
            terminating: facts.terminating,
            spec: facts.spec.clone(),
        }
    }
}
