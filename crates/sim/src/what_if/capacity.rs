//! How many more of a pod, or of a whole gang, fit: what cluster-capacity asks.

use super::play::Play;
use crate::document::InputError;
use crate::object::object_at;
use crate::record::decode;
use crate::scenario::{Action, Loaded, Scenario};
use crate::{Key, Source};
use muster_engine::{Object, PodState};
use muster_framework::Text;
use muster_framework::group::GroupLink;
use muster_framework::record::{Kind, PodRecord};
use serde::Serialize;
use serde_json::json;

/// Pods, and the objects of their groups, that come as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    pods: Vec<PodRecord>,
    policies: Vec<Object>,
}

/// How many fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// How many of the unit found a place.
    pub fits: u32,
    /// How many pods one of them has.
    pub pods_each: usize,
    /// Nothing stopped it but the limit on how many are tried.
    pub limit_reached: bool,
    /// Why the next one waits, in one word; empty at the limit.
    pub reason: Text,
    /// Why the next one waits.
    pub message: Text,
}

impl Unit {
    /// Reads it from YAML: pods, with the PodGroup or Workload of a gang; `Generate` makes many from one template. Pods that
    /// name no scheduler are given to the first of `schedulers`.
    ///
    /// # Errors
    /// It cannot be read, or has no pod, or something that is neither; with the place.
    pub fn load(source: &Source, schedulers: &[Text]) -> Result<Unit, UnitError> {
        let Loaded { scenario, .. } = Scenario::load(std::slice::from_ref(source), true)?;
        let wrong = |problem: String| UnitError::Content {
            file: source.name.clone(),
            problem,
        };
        let scheduler = schedulers.first().map_or("", |name| &**name);
        let mut unit = Unit {
            pods: Vec::new(),
            policies: Vec::new(),
        };
        for (number, timed) in scenario.actions.into_iter().enumerate() {
            let Action::Apply(mut object) = timed.action else {
                return Err(wrong("only objects can stand here, no events".to_owned()));
            };
            let key = crate::scenario::key_of(&object).ok_or_else(|| wrong("an object has no kind".to_owned()))?;
            let Some(kind) = key
                .kind
                .watched()
                .filter(|kind| *kind == Kind::Pod || kind.holds_group_policies())
            else {
                return Err(wrong(format!(
                    "{key}: only pods, pod groups and workloads can stand here"
                )));
            };
            fill_in(&key, &mut object, number, scheduler);
            match decode(kind, &object).map_err(|error| wrong(format!("{key}: {error}")))? {
                Object::Pod(pod) if !schedulers.contains(&pod.scheduler_name) => {
                    let name = &pod.scheduler_name;
                    return Err(wrong(format!(
                        "{key}: spec.schedulerName is {name:?}, which is not simulated"
                    )));
                }
                Object::Pod(pod) => unit.pods.push(*pod),
                policy => unit.policies.push(policy),
            }
        }
        if unit.pods.is_empty() {
            return Err(wrong("there is no pod in it".to_owned()));
        }
        Ok(unit)
    }

    /// The number-th of its kind: everything has a name of its own.
    fn copy(&self, number: u32) -> Vec<Object> {
        let named = |name: &Text| -> Text { format!("{name}-{number}").into() };
        let policies = self.policies.iter().map(|policy| {
            let mut policy = policy.clone();
            let (name, uid) = match &mut policy {
                Object::Workload(workload) => (&mut workload.name, &mut workload.uid),
                Object::PodGroup(group) => (&mut group.name, &mut group.uid),
                _ => return policy,
            };
            (*name, *uid) = (named(name), named(uid));
            policy
        });
        let pods =
            self.pods.iter().map(|pod| {
                let mut pod = pod.clone();
                (pod.name, pod.uid) = (named(&pod.name), named(&pod.uid));
                match &mut pod.group {
                    Some(GroupLink::Workload { workload: name, .. })
                    | Some(
                        GroupLink::PodGroup { name } | GroupLink::Coscheduling { name } | GroupLink::Labels { name },
                    ) => *name = named(name),
                    None => {}
                }
                Object::Pod(Box::new(pod))
            });
        policies.chain(pods).collect()
    }
}

/// What the API server would fill in.
fn fill_in(key: &Key, object: &mut serde_json::Value, number: usize, scheduler: &str) {
    let metadata = object_at(object, &["metadata"]);
    if key.kind.is_namespaced() {
        metadata.insert("namespace".to_owned(), json!(*key.namespace));
    }
    // A uid that no object of a cluster has.
    metadata.insert("uid".to_owned(), json!(format!("unit-{number}")));
    metadata.insert("resourceVersion".to_owned(), json!("1"));
    if key.kind.watched() == Some(Kind::Pod) {
        object_at(object, &["spec"])
            .entry("schedulerName")
            .or_insert_with(|| json!(scheduler));
    }
}

/// Why there is no unit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// The YAML.
    #[error(transparent)]
    Input(#[from] InputError),
    /// What stands in it.
    #[error("{file}: {problem}")]
    Content {
        /// Where.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

impl Capacity {
    /// Adds one unit after the other to a world that has settled, until one finds no place, or `at_most` have. Those that
    /// waited before stand in front of them.
    pub fn of(play: &mut Play, unit: &Unit, at_most: u32, mut progress: impl FnMut(u32)) -> Capacity {
        let mut capacity = Capacity {
            fits: 0,
            pods_each: unit.pods.len(),
            limit_reached: false,
            reason: "".into(),
            message: "".into(),
        };
        // All that counts is whether one more waits than before: asking for every pod's state would cost a pass over all.
        let waited = play.waiting();
        while capacity.fits < at_most {
            let copy = unit.copy(capacity.fits + 1);
            let uids = copy.iter().filter_map(|object| match object {
                Object::Pod(pod) => Some(pod.uid.clone()),
                _ => None,
            });
            let uids: Vec<Text> = uids.collect();
            copy.into_iter().for_each(|object| play.apply(object));
            play.work_now();
            if play.waiting() > waited {
                play.settle();
                if let Some((reason, message)) = why_one_waits(play, &uids) {
                    (capacity.reason, capacity.message) = (reason, message);
                    return capacity;
                }
            }
            capacity.fits += 1;
            progress(capacity.fits);
        }
        capacity.limit_reached = true;
        capacity
    }
}

/// Why the first of these that waits does; None: none does.
fn why_one_waits(play: &Play, uids: &[Text]) -> Option<(Text, Text)> {
    uids.iter().find_map(|uid| match play.state_of(uid) {
        Some(PodState::Queued { reason, message, .. }) => Some((reason, message)),
        _ => None,
    })
}
