//! Why is my pod, or my gang, pending, and what would help: a question to the engine, answered from its own state.
//!
//! ```text
//!  Subject ──► stage      where it stands, and how far its group is        (explain/stage.rs)
//!          ──► cause      the words of condition, event and metric label   (diagnosis, group_report)
//!          ──► nodes      all of them by the first plugin that rejects     (explain/nodes.rs)
//!          ──► remedies   each tried on a what-if with the same filters    (explain/look.rs, remedies.rs, ends.rs, what_if.rs)
//!          ──► attempts   the last few                                     (explain/history.rs)
//! ```
//!
//! A question changes nothing that decisions depend on: what-ifs are deltas, and the pods in them stand-ins that are
//! forgotten at the end. What it costs is bounded by a budget of judgements, see [`what_if`].

mod change;
mod ends;
pub(crate) mod history;
mod look;
mod nodes;
mod remedies;
mod stage;
mod what_if;

use crate::diagnosis;
use crate::effect::PodRef;
use crate::engine::Engine;
use crate::group_report::WhyGroupWaits;
use crate::groups::{GroupId, Hold};
use crate::observation::AttemptResult;
use crate::pods::{PodId, Role};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy};
use std::time::Duration;

pub use change::{Change, Remedy};
pub use stage::{Quorum, Stage};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: Text,
        /// Its name.
        name: Text,
    },
    /// A pod group, in whatever dialect.
    Group {
        /// The namespace of its pods.
        namespace: Text,
        /// As messages name it after the namespace: the name of its object or label, or `workload/podGroup` with the replica
        /// key in brackets. The workload alone will do where that means one group.
        name: Text,
    },
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Pod { namespace, name } => write!(f, "pod {namespace}/{name}"),
            Subject::Group { namespace, name } => write!(f, "pod group {namespace}/{name}"),
        }
    }
}

/// The nodes that one plugin is the first to reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedBy {
    /// The plugin; empty where several reject the pod together.
    pub plugin: Text,
    /// How many nodes.
    pub nodes: u32,
    /// What it has against them, in upstream's words, most often first, with the number of nodes; a node may have several.
    pub reasons: Vec<(String, u32)>,
    /// Some of the nodes, by name.
    pub examples: Vec<Text>,
}

/// Every node, by what keeps the pod off it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeVerdicts {
    /// Of which pod this is said: of several, the first that finds no place.
    pub pod: Text,
    /// The other members of its gang have places in this look at the nodes.
    pub counting_others: u32,
    /// Nodes in all.
    pub nodes: u32,
    /// Nodes that could take it now.
    pub feasible: u32,
    /// The others, in the order of the plugins.
    pub rejected: Vec<RejectedBy>,
}

/// A node that lacks little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The node.
    pub node: Text,
    /// What it lacks, by plugin, each in words with amounts.
    pub lacks: Vec<(Text, String)>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// How long ago.
    pub ago: Duration,
    /// How it ended.
    pub result: AttemptResult,
    /// What was said.
    pub message: Text,
}

/// Everything that the engine can say about a pod or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it is about. A group has its full name.
    pub subject: Subject,
    /// The pod's scheduler, or that of the group's members.
    pub scheduler_name: Text,
    /// Whoever answers leads: only then attempts, and places in the queue, are what they are.
    pub by_leader: bool,
    /// Where it stands.
    pub stage: Stage,
    /// Since when it has been waiting.
    pub waiting: Option<Duration>,
    /// The group, of a pod that has one or of the group itself.
    pub quorum: Option<Quorum>,
    /// The cause in one word: the reason of the condition for a pod, and the metric's label for a group.
    pub reason: Text,
    /// The reason of the condition `PodScheduled`, and of that of the group's object. Empty: no condition says it.
    pub condition_reason: Text,
    /// The reason of the event. Empty: no event says it.
    pub event_reason: Text,
    /// The cause in a sentence, as condition and event have it.
    pub cause: String,
    /// Who has the room that it lacks, if whole gangs are among them.
    pub crowd: Option<Crowd>,
    /// What keeps it off the nodes, as of now. None: that is not the question yet.
    pub nodes: Option<NodeVerdicts>,
    /// The nodes that lack least.
    pub nearest: Vec<NearMiss>,
    /// What would help, the smallest change first.
    pub remedies: Vec<Remedy>,
    /// The last tries, the latest first.
    pub attempts: Vec<Attempt>,
    /// What else a reader should know, in a sentence each.
    pub notes: Vec<String>,
}

/// A cause, in the words of each place where it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// [`Explanation::reason`].
    pub reason: Text,
    /// [`Explanation::condition_reason`].
    pub condition_reason: Text,
    /// [`Explanation::event_reason`].
    pub event_reason: Text,
    /// [`Explanation::cause`].
    pub cause: String,
}

impl Said {
    /// What only an explanation says.
    fn only_here(cause: String) -> Said {
        Said {
            cause,
            ..Said::default()
        }
    }

    fn of_group(why: WhyGroupWaits) -> Said {
        Said {
            reason: why.reason.name().into(),
            condition_reason: why.of_condition.into(),
            event_reason: why.reason.of_event().into(),
            cause: why.text,
        }
    }
}

/// Pods without whose places there would be room: pods of gangs, which end as a whole, and perhaps others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowd {
    /// The gangs, as messages name them.
    pub gangs: Vec<Text>,
    /// How many pods there are beside these.
    pub others: u32,
}

impl Crowd {
    /// Ahead of a cause: who has the room.
    fn ahead_of(&self, cause: &str) -> String {
        let gangs = change::listed("pod group", &self.gangs);
        let others = match self.others {
            0 => String::new(),
            1 => " and of 1 other pod".to_owned(),
            n => format!(" and of {n} other pods"),
        };
        format!("there would be room without the places of {gangs}{others}: {cause}")
    }
}

impl Explanation {
    /// Says this, and nothing else, of the cause.
    pub fn say(&mut self, said: Said) {
        self.crowd = None;
        self.reason = said.reason;
        self.condition_reason = said.condition_reason;
        self.event_reason = said.event_reason;
        self.cause = said.cause;
    }

    /// The cause as people read it: what only what-ifs can tell stands ahead of what condition and event say.
    pub fn cause_in_full(&self) -> String {
        match &self.crowd {
            Some(crowd) => crowd.ahead_of(&self.cause),
            None => self.cause.clone(),
        }
    }
}

impl Engine {
    /// Explains where a pod or a group stands. None: there is no such thing.
    ///
    /// It decides nothing, and later decisions are as if nobody had asked. It costs at most a fixed number of judgements.
    pub fn explain(&mut self, now: Time, subject: &Subject) -> Option<Explanation> {
        let mut explanation = match subject {
            Subject::Pod { namespace, name } => {
                let pod = self.pod_of_name(namespace, name)?;
                self.explain_pod(now, pod)?
            }
            Subject::Group { namespace, name } => match self.group_of_name(namespace, name) {
                Some(group) => self.explain_group(now, group)?,
                None => self.explain_unfilled(namespace, name)?,
            },
        };
        if !self.is_synced() {
            let note = "not every kind has been listed yet: what is said here may be incomplete";
            explanation.notes.push(note.to_owned());
        }
        if !self.leads {
            let note = "this process does not lead: it tries nothing, and knows no attempts of the leader";
            explanation.notes.push(note.to_owned());
        }
        Some(explanation)
    }

    fn pod_of_name(&self, namespace: &str, name: &str) -> Option<PodId> {
        let mut pods = self.cluster.pods.iter();
        let found = pods.find(|(_, pod)| *pod.record.name == *name && *pod.record.namespace == *namespace);
        found.map(|(id, _)| id)
    }

    fn group_of_name(&self, namespace: &str, name: &str) -> Option<GroupId> {
        let groups = self.groups.iter().map(|(id, group)| (id, &group.key));
        let here = groups.filter(|(_, key)| *key.namespace == *namespace);
        meant(&here.collect::<Vec<_>>(), name)
    }

    fn explain_pod(&mut self, now: Time, id: PodId) -> Option<Explanation> {
        let entity = self.entity_of(id);
        let stage = self.stage_of_pod(now, id)?;
        let said = self.cause_of_pod(now, id, &stage)?;
        let pod = self.cluster.pods.get(id)?;
        let subject = Subject::Pod {
            namespace: pod.record.namespace.clone(),
            name: pod.record.name.clone(),
        };
        let scheduler_name = pod.record.scheduler_name.clone();
        let group = pod.group.and_then(|(group, _)| self.groups.get(group));
        let quorum = group.map(|group| self.quorum_of(group));
        let mut explanation = Explanation {
            waiting: self.waiting(now, entity, &stage),
            quorum,
            attempts: self.queue.history.of(now, entity),
            ..self.before_a_look(subject, scheduler_name, stage, said)
        };
        let group = self.cluster.pods.get(id)?.group.map(|(group, _)| group);
        match (&explanation.stage, group) {
            (stage, _) if !stage.waits() => {}
            (Stage::Gated { .. } | Stage::Unsupported, _) => self.look_for_pod(id, &mut explanation),
            (_, Some(group)) if self.waits_with_group(group) => self.look_for_group(group, &mut explanation),
            _ => self.look_for_pod(id, &mut explanation),
        }
        Some(explanation)
    }

    fn explain_group(&mut self, now: Time, id: GroupId) -> Option<Explanation> {
        let stage = self.stage_of_group(now, id)?;
        let group = self.groups.get(id)?;
        let members = || group.members.keys().filter_map(|pod| self.cluster.pods.get(*pod));
        let said = match self.why_group_waits(now, id) {
            Some(why) => Said::of_group(why),
            None => Said::only_here(stage.sentence(&format!("pod group {}", group.key))),
        };
        let scheduler_name = members().next()?.record.scheduler_name.clone();
        let mut explanation = Explanation {
            waiting: self.waiting(now, Entity::Group(id), &stage),
            quorum: Some(self.quorum_of(group)),
            attempts: self.queue.history.of(now, Entity::Group(id)),
            ..self.before_a_look(subject_of(&group.key), scheduler_name, stage, said)
        };
        if explanation.stage.waits() {
            self.look_for_group(id, &mut explanation);
        }
        Some(explanation)
    }

    /// A group whose object is there, and that no pod belongs to. None: there is no such object either.
    fn explain_unfilled(&self, namespace: &str, name: &str) -> Option<Explanation> {
        let unfilled = self.groups.that_nobody_is_in(namespace);
        let keys: Vec<_> = unfilled.iter().map(|group| (group, &group.key)).collect();
        let group = meant(&keys, name)?;
        let (stage, said) = match self.groups.ready(group) {
            Err(hold) => {
                let said = Said {
                    reason: hold.reason().name().into(),
                    ..Said::only_here(diagnosis::held(&group.key, &hold))
                };
                (Stage::of_held(&hold), said)
            }
            Ok(_) => {
                let cause = Stage::OneByOne.sentence(&format!("pod group {}", group.key));
                (Stage::OneByOne, Said::only_here(cause))
            }
        };
        Some(Explanation {
            quorum: Some(self.quorum_of(group)),
            notes: vec!["no pod belongs to it yet".to_owned()],
            ..self.before_a_look(subject_of(&group.key), "".into(), stage, said)
        })
    }

    /// An explanation before anything is looked at: where it stands, and its reason and cause as they are said elsewhere.
    fn before_a_look(&self, subject: Subject, scheduler_name: Text, stage: Stage, said: Said) -> Explanation {
        Explanation {
            subject,
            scheduler_name,
            by_leader: self.leads,
            stage,
            waiting: None,
            quorum: None,
            reason: said.reason,
            condition_reason: said.condition_reason,
            event_reason: said.event_reason,
            cause: said.cause,
            crowd: None,
            nodes: None,
            nearest: Vec::new(),
            remedies: Vec::new(),
            attempts: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn waiting(&self, now: Time, entity: Entity, stage: &Stage) -> Option<Duration> {
        let since = self.queue.first_enqueued(entity).filter(|_| stage.waits())?;
        Some(now.since(since))
    }

    /// The cause of a pod's wait: its group's, if that is tried as one, or what its own condition says.
    fn cause_of_pod(&self, now: Time, id: PodId, stage: &Stage) -> Option<Said> {
        let pod = self.cluster.pods.get(id)?;
        let name = format!("pod {}/{}", pod.record.namespace, pod.record.name);
        let told = pod.report.wanted.as_ref().filter(|_| stage.waits());
        if let (Some((group, role)), true) = (pod.group, stage.waits())
            && !matches!(role, Role::Unsupported | Role::Gated)
            && self.waits_with_group(group)
            && let Some(why) = self.why_group_waits(now, group)
        {
            let reason = told.map_or_else(|| Text::from(diagnosis::NOT_READY), |told| told.reason.clone());
            return Some(Said {
                reason: reason.clone(),
                condition_reason: reason,
                ..Said::of_group(why)
            });
        }
        if let Some(told) = told {
            // What keeps its group from being tried is no event of the pod's.
            let of_group = *told.reason == *diagnosis::NOT_READY && *stage != Stage::Unsupported;
            let event_reason = if of_group { "" } else { diagnosis::FAILED_SCHEDULING };
            return Some(Said {
                reason: told.reason.clone(),
                condition_reason: told.reason.clone(),
                event_reason: event_reason.into(),
                cause: told.message.to_string(),
            });
        }
        let said = Said::only_here(stage.sentence(&name));
        if !matches!(stage, Stage::Gated { .. }) {
            return Some(said);
        }
        // The API server says so.
        let reason = Text::from("SchedulingGated");
        Some(Said {
            reason: reason.clone(),
            condition_reason: reason,
            ..said
        })
    }

    /// Whether what a group waits for is what its members wait for.
    pub(crate) fn waits_with_group(&self, id: GroupId) -> bool {
        let Some(group) = self.groups.get(id) else { return false };
        !matches!(self.groups.ready(group), Ok(GroupPolicy::Basic))
    }

    /// The hold of a group that may not be tried.
    fn hold_of(&self, id: GroupId) -> Option<Hold> {
        self.groups.ready(self.groups.get(id)?).err()
    }

    fn reference_of(&self, id: PodId) -> Option<PodRef> {
        Some(self.cluster.pods.get(id)?.reference())
    }
}

/// Which of the groups of a namespace a name means; of groups in several dialects the first.
fn meant<T: Copy>(groups: &[(T, &GroupKey)], name: &str) -> Option<T> {
    let exact = groups.iter().filter(|(_, key)| name_in_namespace(key) == name);
    if let Some((group, _)) = exact.min_by_key(|(_, key)| *key) {
        return Some(*group);
    }
    let mut of_workload = groups
        .iter()
        .filter(|(_, key)| matches!(&key.link, GroupLink::Workload { workload, .. } if **workload == *name));
    let (group, _) = of_workload.next()?;
    of_workload.next().is_none().then_some(*group)
}

fn subject_of(key: &GroupKey) -> Subject {
    Subject::Group {
        namespace: key.namespace.clone(),
        name: name_in_namespace(key).into(),
    }
}

/// A group's name without the namespace, as messages have it.
pub(crate) fn name_in_namespace(key: &GroupKey) -> String {
    let full = key.to_string();
    full[key.namespace.len() + 1..].to_owned()
}
