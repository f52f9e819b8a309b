//! An engine, and an API server played by hand: objects go in, and what the engine wants is done, refused or lost.

use crate::cluster::Cluster;
use crate::features::{self, GANG, Surroundings};
use crate::tally::Tally;
use muster_engine::{
    BindOutcome, Effect, EffectKind, Engine, Input, Object, ObjectKey, Observation, Outcome, PodRead, PodRef, Time,
};
use muster_framework::Text;
use muster_framework::record::{Kind, NodeRecord, PodRecord};
use muster_oracle::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// After so many polls an engine that has not come to rest never will.
const MOST_POLLS: usize = 200_000;

/// The world of one history.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    /// Grows with every object that is written.
    pub(crate) version: u64,
    pub(crate) nodes: Vec<NodeRecord>,
    pub(crate) pods: BTreeMap<Text, PodRecord>,
    pub(crate) owners: Vec<Object>,
    pub(crate) others: Vec<Object>,
    pub(crate) templates: Vec<PodRecord>,
    /// How many pods were ever made.
    pub(crate) made: usize,
    /// Templates in whose profiles other pods are judged, too: those of gangs with several classes.
    pub(crate) mixed: BTreeMap<usize, BTreeSet<usize>>,
    profiles: Vec<muster_plugins::ProfileSpec>,
    features: Vec<BTreeSet<&'static str>>,
    /// Pods that are bound, and of which no watch has told.
    untold: Vec<Text>,
    /// A hash of all effects so far.
    effects: DefaultHasher,
    pub(crate) tally: Tally,
    /// The first verdict that was contradicted.
    pub(crate) contradiction: Option<String>,
}

impl World {
    /// The world in which the cluster has been listed.
    pub(crate) fn new(cluster: Cluster) -> World {
        let mut world = World {
            engine: Engine::new(&cluster.settings),
            now: Time::ZERO,
            version: 1,
            nodes: vec![],
            pods: BTreeMap::new(),
            owners: vec![],
            others: vec![],
            templates: cluster.templates,
            made: 0,
            mixed: BTreeMap::new(),
            profiles: cluster.settings.profiles,
            features: vec![],
            untold: vec![],
            effects: DefaultHasher::new(),
            tally: Tally::default(),
            contradiction: None,
        };
        for object in cluster.others.iter().chain(&cluster.owners) {
            world.apply(object.clone());
        }
        (world.others, world.owners) = (cluster.others, cluster.owners);
        cluster.nodes.into_iter().for_each(|node| world.put_node(node));
        cluster.placed.into_iter().for_each(|pod| world.put_pod(pod));
        for kind in Kind::ALL {
            world.engine.handle(world.now, Input::ListDone(kind));
        }
        world
    }

    pub(crate) fn apply(&mut self, object: Object) {
        self.engine.handle(self.now, Input::Applied(object));
    }

    /// Adds a node or changes it.
    pub(crate) fn put_node(&mut self, mut node: NodeRecord) {
        self.version += 1;
        node.resource_version = self.version;
        self.apply(Object::Node(node.clone()));
        match self.nodes.iter_mut().find(|known| known.name == node.name) {
            Some(known) => *known = node,
            None => self.nodes.push(node),
        }
    }

    /// Adds a pod or changes it.
    pub(crate) fn put_pod(&mut self, mut pod: PodRecord) {
        self.version += 1;
        pod.resource_version = self.version;
        self.pods.insert(pod.uid.clone(), pod.clone());
        self.apply(Object::Pod(Box::new(pod)));
    }

    pub(crate) fn delete_pod(&mut self, uid: &Text) {
        if let Some(pod) = self.pods.remove(uid) {
            self.delete(Kind::Pod, &pod.namespace, &pod.name, uid);
        }
    }

    pub(crate) fn delete(&mut self, kind: Kind, namespace: &str, name: &str, uid: &str) {
        self.version += 1;
        let key = ObjectKey {
            kind,
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
            resource_version: self.version,
        };
        self.engine.handle(self.now, Input::Deleted(key));
    }

    /// Looks anew which features the templates have, as the cluster is now.
    pub(crate) fn look_at_features(&mut self) {
        let placed: Vec<&PodRecord> = self.pods.values().filter(|pod| pod.node_name.is_some()).collect();
        let of = |template: usize| {
            let around = Surroundings {
                profile: &self.profiles[template],
                nodes: &self.nodes,
                owners: &self.owners,
                placed: &placed,
            };
            features::features(&self.templates[template], &around)
        };
        let each: Vec<BTreeSet<&'static str>> = (0..self.templates.len()).map(of).collect();
        // What is counted of a profile in which several templates are judged is only what they all have.
        let shared = |template: usize| {
            let others = self.mixed.get(&template).into_iter().flatten();
            others.fold(each[template].clone(), |all, other| {
                all.intersection(&each[*other]).copied().collect()
            })
        };
        self.features = (0..self.templates.len()).map(shared).collect();
    }

    /// Polls at most so many times, and does what is wanted. Gives whether the engine rests.
    pub(crate) fn poll(&mut self, most: usize, dice: &mut Dice) -> bool {
        for _ in 0..most {
            let effect = self.engine.poll(self.now);
            self.take_in_observations();
            match effect {
                Some(effect) => self.carry_out(effect, dice),
                None if self.engine.next_wakeup().is_none_or(|at| at > self.now) => return true,
                None => {}
            }
        }
        false
    }

    /// Lets the engine come to rest.
    ///
    /// # Panics
    /// It does not.
    pub(crate) fn rest(&mut self, dice: &mut Dice) {
        assert!(self.poll(MOST_POLLS, dice), "the engine does not come to rest");
    }

    /// Tells by watch what binds have done.
    pub(crate) fn tell(&mut self) {
        for uid in std::mem::take(&mut self.untold) {
            if let Some(pod) = self.pods.get(&uid) {
                self.apply(Object::Pod(Box::new(pod.clone())));
            }
        }
    }

    /// A hash of what the engine has wanted so far.
    pub(crate) fn trace(&self) -> u64 {
        self.effects.finish()
    }

    fn take_in_observations(&mut self) {
        let observations = self.engine.drain_observations();
        let is_gang = |o: &Observation| matches!(o, Observation::Attempt { gang: true, .. });
        let planned = observations.iter().any(is_gang);
        for observation in observations {
            match observation {
                Observation::Batching { profile, counts } => {
                    let template = self.profiles.iter().position(|spec| spec.scheduler_name == profile);
                    let features = template.and_then(|template| self.features.get(template));
                    let mut features = features.cloned().unwrap_or_default();
                    if planned {
                        features.insert(GANG);
                    }
                    self.tally.note(&counts, &features);
                }
                Observation::BatchContradicted { message } if self.contradiction.is_none() => {
                    self.contradiction = Some(message.to_string());
                }
                _ => {}
            }
        }
    }
}

// ---- the API server ----------------------------------------------------------------------------------------------

impl World {
    fn done(&mut self, effect: &Effect, outcome: Outcome) {
        self.engine
            .handle(self.now, Input::EffectDone { id: effect.id, outcome });
    }

    fn carry_out(&mut self, effect: Effect, dice: &mut Dice) {
        format!("{effect:?}").hash(&mut self.effects);
        match &effect.kind {
            EffectKind::Bind { pod, node, .. } => self.bind(&effect, pod, node, dice),
            EffectKind::ReadPod { pod } => {
                let found = self.pods.get(&pod.uid).cloned();
                let read = found.map_or(PodRead::Gone, |found| PodRead::Found(Box::new(found)));
                self.done(&effect, Outcome::PodRead(read));
            }
            EffectKind::ReserveVolume {
                volume_version: version,
                ..
            }
            | EffectKind::SelectNode {
                claim_version: version, ..
            } => {
                let resource_version = version + 1;
                self.done(&effect, Outcome::Patched { resource_version });
            }
            EffectKind::PodCondition { .. } | EffectKind::GroupStatus { .. } => {
                self.done(&effect, Outcome::Written);
            }
            EffectKind::Evict { pod } => {
                let uid = pod.uid.clone();
                self.done(&effect, Outcome::Written);
                self.delete_pod(&uid);
            }
            EffectKind::AskExtender { .. } | EffectKind::Event { .. } => {}
        }
    }

    /// Most binds happen; some are refused, and of some nobody hears whether they happened.
    fn bind(&mut self, effect: &Effect, pod: &PodRef, node: &Text, dice: &mut Dice) {
        let Some(record) = self.pods.get(&pod.uid).filter(|record| record.node_name.is_none()) else {
            return self.done(effect, Outcome::Bind(BindOutcome::PodGone));
        };
        let record = PodRecord {
            node_name: Some(node.clone()),
            ..record.clone()
        };
        let unknown = || Outcome::Bind(BindOutcome::Unknown { message: "lost".into() });
        match dice.below(100) {
            0..=91 => {
                self.done(effect, Outcome::Bind(BindOutcome::Bound));
                self.put_pod(record);
            }
            92..=95 => {
                self.version += 1;
                let resource_version = self.version;
                let record = PodRecord {
                    resource_version,
                    ..record
                };
                self.pods.insert(pod.uid.clone(), record);
                self.untold.push(pod.uid.clone());
                self.done(effect, Outcome::Bind(BindOutcome::Bound));
            }
            96 => {
                self.put_pod(record);
                self.done(effect, unknown());
            }
            97 => self.done(effect, unknown()),
            _ => {
                let message = "refused".into();
                self.done(effect, Outcome::Bind(BindOutcome::Refused { message }));
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }
}
