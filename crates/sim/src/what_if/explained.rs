//! Why something waited when a snapshot was taken. Where it stood is what the snapshot itself says; why, and what would help,
//! is what the scheduler finds out when it tries everything anew on the snapshot's objects.

use super::play::Play;
use super::world::{World, group_path};
use muster_api::snapshot::{Snapshot, Source};
use muster_engine::{Explanation, Object, QueuedEntity, Reservation, Section, Settings, Stage, Subject};
use muster_framework::Text;
use std::collections::BTreeMap;

/// Explains a pod or a group as of the moment of a snapshot. None: there is no such thing in it.
pub fn explain(snapshot: Snapshot, settings: &Settings, subject: &Subject) -> Option<Explanation> {
    let recorded = Recorded::of(&snapshot);
    let mut play = Play::new(&World::of(snapshot), settings);
    // Before anything is tried: who has a node now, had one in the snapshot.
    let stood = play.explain(subject)?;
    play.settle();
    let tried = play.explain(subject).filter(|tried| tried.stage.waits());
    let goes = stood.stage.waits() && tried.is_none();
    let mut explanation = match tried {
        Some(tried) if stood.stage.waits() => tried,
        _ => stood,
    };
    recorded.amend(&mut explanation, goes);
    Some(explanation)
}

/// What a snapshot says of where things stood.
struct Recorded {
    taken_at: String,
    source: Source,
    /// The queue, in the order in which it is tried.
    queue: Vec<QueuedEntity>,
    /// The places that were held, each with the group of its pod.
    held: Vec<(Option<String>, Reservation)>,
}

impl Recorded {
    fn of(snapshot: &Snapshot) -> Recorded {
        let pods = snapshot.objects.iter().filter_map(|object| match object {
            Object::Pod(pod) => Some((&pod.uid, &**pod)),
            _ => None,
        });
        let pods: BTreeMap<&Text, _> = pods.collect();
        let held = snapshot.reservations.iter().map(|held| {
            let group = pods.get(&held.pod.uid).and_then(|pod| group_path(pod));
            (group, held.clone())
        });
        Recorded {
            taken_at: snapshot.header.taken_at.to_string(),
            source: snapshot.header.source,
            queue: snapshot.queue.clone(),
            held: held.collect(),
        }
    }

    /// Puts what the snapshot says in the place of what only holds of the play: the stage, since when it had waited, and the
    /// last attempts. `goes`: in the play it found a place.
    fn amend(&self, explanation: &mut Explanation, goes: bool) {
        explanation.attempts.clear();
        explanation.waiting = None;
        let queued = self.queued(explanation).filter(|_| explanation.stage.waits());
        explanation.notes.push(self.note(queued));
        if goes {
            let note = "tried anew on what the snapshot holds, it finds a place";
            explanation.notes.push(note.to_owned());
        }
        if let Stage::WaitingForRoom { tried_again_in } = &mut explanation.stage {
            *tried_again_in = None;
        }
        if let Some(queued) = queued {
            self.amend_queued(queued, explanation, goes);
        }
        self.amend_held(explanation);
    }

    fn note(&self, queued: Option<&QueuedEntity>) -> String {
        let tried = match (self.source, queued) {
            (Source::Api, _) => ": the snapshot is of the API server, and holds neither a queue nor places".to_owned(),
            (Source::Scheduler, None) => String::new(),
            (Source::Scheduler, Some(queued)) => match queued.attempts {
                0 => ": it had not been tried".to_owned(),
                1 => ": it had been tried 1 time".to_owned(),
                attempts => format!(": it had been tried {attempts} times"),
            },
        };
        let unsaid = match queued {
            Some(queued) if queued.attempts > 0 && queued.tried.is_empty() => {
                ", and the snapshot does not hold what came of it"
            }
            _ => "",
        };
        format!("this is how things stood at {}{tried}{unsaid}", self.taken_at)
    }

    /// Where it waited, by itself or with its group.
    fn queued(&self, explanation: &Explanation) -> Option<&QueuedEntity> {
        let group = explanation.quorum.as_ref().map(|quorum| quorum.group.as_str());
        let pod = match &explanation.subject {
            Subject::Pod { namespace, name } => Some(format!("{namespace}/{name}")),
            Subject::Group { .. } => None,
        };
        self.queue.iter().find(|queued| {
            let meant = if queued.is_group { group } else { pod.as_deref() };
            meant == Some(&*queued.name)
        })
    }

    fn amend_queued(&self, queued: &QueuedEntity, explanation: &mut Explanation, goes: bool) {
        explanation.waiting = Some(queued.waited);
        explanation.attempts.clone_from(&queued.tried);
        // What keeps it from being tried stands in the objects, and is no section of the queue.
        let is_tried = matches!(
            explanation.stage,
            Stage::Queued { .. } | Stage::BackingOff { .. } | Stage::WaitingForRoom { .. } | Stage::Planning
        );
        if let Some(stage) = self.section_of(queued).filter(|_| is_tried) {
            explanation.stage = stage;
        }
        if !goes {
            return;
        }
        explanation.crowd = None;
        explanation.cause = match queued.message.is_empty() {
            true => explanation.stage.sentence(&explanation.subject.to_string()),
            false => queued.message.to_string(),
        };
        // The word in the queue is that of the condition, which groups do not have.
        if matches!(explanation.subject, Subject::Pod { .. }) {
            explanation.reason = queued.reason.clone();
            explanation.condition_reason = queued.reason.clone();
        }
    }

    /// The stage that a section of the queue comes to.
    fn section_of(&self, queued: &QueuedEntity) -> Option<Stage> {
        match queued.section {
            Section::Active => {
                let ready: Vec<&QueuedEntity> = self.ready().collect();
                let ahead = ready.iter().position(|other| std::ptr::eq(*other, queued))?;
                Some(Stage::Queued { ahead, of: ready.len() })
            }
            Section::Backoff => Some(Stage::BackingOff {
                ends_in: queued.backoff,
            }),
            Section::Unschedulable => Some(Stage::WaitingForRoom { tried_again_in: None }),
            Section::Gated => None,
        }
    }

    fn ready(&self) -> impl Iterator<Item = &QueuedEntity> {
        self.queue.iter().filter(|queued| queued.section == Section::Active)
    }

    /// Places that were held count as taken in a play, as if their pods were bound.
    fn amend_held(&self, explanation: &mut Explanation) {
        let of_group = |group: &str| {
            let held = self.held.iter().filter(move |(of, _)| of.as_deref() == Some(group));
            held.map(|(_, held)| held).collect::<Vec<_>>()
        };
        if let Some(quorum) = &mut explanation.quorum {
            let held = of_group(&quorum.group).len();
            quorum.bound = quorum.bound.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        }
        if !matches!(explanation.stage, Stage::Bound { .. }) {
            return;
        }
        let held = match &explanation.subject {
            Subject::Pod { namespace, name } => {
                let of_pod = |held: &&Reservation| held.pod.namespace == *namespace && held.pod.name == *name;
                self.held.iter().map(|(_, held)| held).filter(of_pod).collect()
            }
            Subject::Group { namespace, name } => of_group(&format!("{namespace}/{name}")),
        };
        if let Some(stage) = stage_of_held(&held) {
            explanation.say(stage.said_of_places(&explanation.subject));
            explanation.stage = stage;
            // Attempts are written down with the queue, and what has a place is not in it.
            let note = "the snapshot does not hold the attempts before there was a place";
            explanation.notes.push(note.to_owned());
        }
    }
}

/// The stage that held places come to: those that are kept before those whose bind is on its way.
fn stage_of_held(held: &[&Reservation]) -> Option<Stage> {
    let is_kept = |held: &&&Reservation| matches!(&*held.stage, "Preparing" | "Ready");
    let kept: Vec<Text> = held.iter().filter(is_kept).map(|held| held.node.clone()).collect();
    if !kept.is_empty() {
        let ends_in = held.iter().filter(is_kept).filter_map(|held| held.deadline).min();
        return Some(Stage::HoldingPlaces { nodes: kept, ends_in });
    }
    let nodes = held.iter().map(|held| held.node.clone()).collect();
    (!held.is_empty()).then_some(Stage::Binding { nodes })
}
