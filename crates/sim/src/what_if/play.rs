//! An engine at work on a world in which nothing happens but what it does itself.

use super::world::World;
use crate::journal::next_effect;
use muster_engine::{
    BindOutcome, Effect, EffectKind, Engine, Explanation, Input, Object, ObjectKey, Outcome, PodRead, PodState,
    Settings, Subject, Time,
};
use muster_framework::Text;
use muster_framework::record::{Kind, PodRecord, ResourceVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So much virtual time passes: backoffs and the delay before groups tell why they wait are over then, and what only
/// happens after minutes (volumes that are not made, gangs that stay broken) has not begun.
const WHILE: Duration = Duration::from_secs(30);
/// Virtual time goes on by this at least.
const STEP: Duration = Duration::from_millis(1);

/// A world and its scheduler.
#[derive(Debug)]
pub struct Play {
    engine: Engine,
    now: Time,
    pods: BTreeMap<Text, PodRecord>,
    version: ResourceVersion,
}

impl Play {
    /// An engine that knows a world, and has done nothing yet. Extenders are not asked.
    pub fn new(world: &World, settings: &Settings) -> Play {
        let settings = Settings {
            leads: true,
            extenders: Vec::new(),
            ..settings.clone()
        };
        let mut play = Play {
            engine: Engine::new(&settings),
            now: Time::ZERO,
            pods: BTreeMap::new(),
            version: 0,
        };
        let mut by_kind: BTreeMap<Kind, Vec<&Object>> = BTreeMap::new();
        for object in &world.objects {
            by_kind.entry(object.kind()).or_default().push(object);
        }
        let not_served: BTreeSet<Kind> = world.not_served.iter().copied().collect();
        for kind in Kind::ALL {
            if not_served.contains(&kind) {
                play.tell(Input::KindNotServed(kind));
                continue;
            }
            play.tell(Input::ListBegun(kind));
            for object in by_kind.remove(&kind).unwrap_or_default() {
                play.apply(object.clone());
            }
            play.tell(Input::ListDone(kind));
        }
        play.engine.remember_lost_nodes(play.now, &world.broken);
        play
    }

    /// Adds an object or changes it.
    pub fn apply(&mut self, object: Object) {
        if let Object::Pod(pod) = &object {
            self.version = self.version.max(pod.resource_version);
            self.pods.insert(pod.uid.clone(), (**pod).clone());
        }
        self.tell(Input::Applied(object));
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(self.now, input);
    }

    /// Lets the scheduler do all that it does at once.
    pub fn work_now(&mut self) {
        while let Some(effect) = next_effect(&mut self.engine, self.now) {
            self.carry_out(effect);
        }
    }

    /// Lets it work until everything has been tried and told.
    pub fn settle(&mut self) {
        let end = self.now + WHILE;
        loop {
            self.work_now();
            match self.engine.next_wakeup() {
                Some(next) if next <= end => self.now = next.max(self.now + STEP),
                _ => break,
            }
        }
        self.now = end;
        self.work_now();
    }

    fn carry_out(&mut self, effect: Effect) {
        let id = effect.id;
        let outcome = match effect.kind {
            EffectKind::Bind { pod, node, .. } => {
                if let Some(mut record) = self.pods.get(&pod.uid).cloned() {
                    record.resource_version = self.version + 1;
                    record.node_name = Some(node);
                    self.apply(Object::Pod(Box::new(record)));
                }
                Outcome::Bind(BindOutcome::Bound)
            }
            EffectKind::ReadPod { pod } => Outcome::PodRead(match self.pods.get(&pod.uid) {
                Some(pod) => PodRead::Found(Box::new(pod.clone())),
                None => PodRead::Gone,
            }),
            EffectKind::PodCondition { .. } | EffectKind::GroupStatus { .. } => Outcome::Written,
            EffectKind::Evict { pod } => {
                self.pods.remove(&pod.uid);
                self.version += 1;
                self.tell(Input::Deleted(ObjectKey {
                    kind: Kind::Pod,
                    namespace: pod.namespace,
                    name: pod.name,
                    uid: pod.uid,
                    resource_version: self.version,
                }));
                Outcome::Written
            }
            // Nobody makes volumes here: the place is held for as long as anybody looks. Extenders have been left out.
            EffectKind::ReserveVolume { .. } | EffectKind::SelectNode { .. } | EffectKind::AskExtender { .. } => return,
            EffectKind::Event { .. } => return,
        };
        self.tell(Input::EffectDone { id, outcome });
    }

    /// Where the scheduler's pods stand, by `namespace/name`, each with its group.
    pub fn standings(&self) -> BTreeMap<String, (Option<String>, PodState)> {
        let statuses = self.engine.pods().into_iter();
        statuses
            .map(|status| {
                let path = format!("{}/{}", status.pod.namespace, status.pod.name);
                (path, (status.group, status.state))
            })
            .collect()
    }

    /// The state of the pod with this uid; None: it is none of the scheduler's.
    pub(super) fn state_of(&self, uid: &Text) -> Option<PodState> {
        let mut all = self.engine.pods().into_iter();
        Some(all.find(|status| status.pod.uid == *uid)?.state)
    }

    /// Explains where a pod or a group stands now. None: there is no such thing.
    pub(super) fn explain(&mut self, subject: &Subject) -> Option<Explanation> {
        self.engine.explain(self.now, subject)
    }

    /// How many pods wait in the queue.
    pub fn waiting(&self) -> usize {
        self.engine.stats().pending.iter().sum()
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.engine.stats().nodes
    }
}
