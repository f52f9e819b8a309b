//! Scenarios: a cluster and what happens to it, written as Kubernetes YAML.
//!
//! Every object of a simulated kind is applied: at the beginning, or at the time that its annotation
//! `sim.muster.dev/at` says. Kinds of our own, of `sim.muster.dev/v1alpha1`: `Generate` makes many objects from one
//! template, `Scenario` says what happens when, and [`Bench`](crate::workload) makes a workload of the file, whose numbers
//! have names.

use crate::document::{Document, InputError, Source, Step, documents, steps};
use crate::generate::{self, Parameters};
use crate::object::{Key, ObjectKind, annotation, at, text_at};
use crate::span::Span;
use crate::workload::{BenchDocument, Count, Size};
use muster_engine::Time;
use muster_framework::Text;
use muster_framework::record::PodPhase;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// When an object appears.
pub const AT: &str = "sim.muster.dev/at";
/// When an object is deleted.
pub const UNTIL: &str = "sim.muster.dev/until";
/// How long a pod runs before it succeeds; without it, a pod runs for ever.
pub const RUN_FOR: &str = "sim.muster.dev/run-for";

const ANNOTATIONS: [&str; 3] = [AT, UNTIL, RUN_FOR];
const PREFIX: &str = "sim.muster.dev/";
const API_VERSION: &str = "sim.muster.dev/v1alpha1";
/// More than this from one block is a typing error rather than a wish.
const MAX_GENERATED: u64 = 1_000_000;

/// A cluster and what happens to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scenario {
    /// Seed of every choice, where the scenario states one.
    pub seed: Option<u64>,
    /// When to end at the latest.
    pub until: Option<Time>,
    /// What happens, in the order of time.
    pub actions: Vec<Timed>,
}

/// Something that happens at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// When.
    pub at: Time,
    /// What.
    pub action: Action,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// An object is created, or merged into the one that is there.
    Apply(Value),
    /// An object is deleted.
    Delete(Key),
    /// A pod ends.
    Finish {
        /// The pod.
        pod: Key,
        /// How: succeeded or failed.
        phase: PodPhase,
    },
    /// A node is closed to new pods, or opened again.
    Cordon {
        /// The node.
        node: Text,
        /// Closed.
        closed: bool,
    },
}

/// A scenario that was read, and what a person should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// What was left out, in a sentence each.
    pub warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GenerateDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    count: Count,
    #[serde(default)]
    at: Span,
    #[serde(default)]
    every: Span,
    lives: Option<Span>,
    template: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScenarioDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    seed: Option<u64>,
    until: Option<Span>,
    #[serde(default)]
    events: Vec<EventEntry>,
}

/// One event; exactly one of its parts beside `at` must be there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EventEntry {
    at: Span,
    apply: Option<Value>,
    delete: Option<ObjectEntry>,
    finish: Option<FinishEntry>,
    cordon: Option<String>,
    uncordon: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectEntry {
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishEntry {
    #[serde(default)]
    namespace: String,
    name: String,
    #[serde(default)]
    phase: FinishPhase,
}

#[derive(Debug, Deserialize, Default)]
enum FinishPhase {
    #[default]
    Succeeded,
    Failed,
}

impl Scenario {
    /// Reads a scenario from files. With `strict`, an object of a kind that is not simulated is an error.
    ///
    /// # Errors
    /// The first thing that cannot be read, with its place.
    pub fn load(sources: &[Source], strict: bool) -> Result<Loaded, InputError> {
        let mut reader = Reader::new(strict, Wanted::default());
        for source in sources {
            reader.source(source)?;
        }
        Ok(reader.finish())
    }
}

/// Reads documents one after another.
#[derive(Default)]
pub(crate) struct Reader {
    strict: bool,
    /// Which size of a workload is meant.
    wanted: Wanted,
    /// What the file's `Bench` says, and the size that is played.
    pub(crate) bench: Option<(BenchDocument, Size)>,
    scenario: Scenario,
    warnings: Vec<String>,
    seen: BTreeSet<Key>,
    has_scenario: bool,
}

/// Which size of a workload, and other numbers than it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The size's name; the first one of the file without.
    pub size: Option<String>,
    /// Parameters to be taken instead of the size's.
    pub instead: BTreeMap<String, u64>,
}

/// Where in a document an object stands: the steps that lead to it.
struct Spot<'d> {
    document: &'d Document<'d>,
    path: Vec<Step>,
}

impl Spot<'_> {
    fn error(&self, field: &str, message: impl Into<String>) -> InputError {
        let mut path = self.path.clone();
        path.extend(steps(field));
        self.document.error(&path, message)
    }

    /// As [`Spot::error`], for an annotation: its name has dots of its own.
    fn annotation_error(&self, name: &str, message: impl Into<String>) -> InputError {
        let mut path = self.path.clone();
        path.extend(["metadata", "annotations", name].map(|field| Step::Field(field.to_owned())));
        self.document.error(&path, message)
    }
}

impl Reader {
    pub(crate) fn new(strict: bool, wanted: Wanted) -> Reader {
        Reader {
            strict,
            wanted,
            ..Reader::default()
        }
    }

    pub(crate) fn source(&mut self, source: &Source) -> Result<(), InputError> {
        documents(source)?
            .iter()
            .try_for_each(|document| self.document(document))
    }

    pub(crate) fn finish(mut self) -> Loaded {
        // Stable: within an instant and a rank, things happen in the order in which they were written.
        self.scenario
            .actions
            .sort_by_key(|timed| (timed.at, rank(&timed.action)));
        Loaded {
            scenario: self.scenario,
            warnings: self.warnings,
        }
    }

    pub(crate) fn document(&mut self, document: &Document<'_>) -> Result<(), InputError> {
        let value = &document.value;
        if !value.is_object() {
            return Err(document.error(&[], "this is not an object with apiVersion and kind"));
        }
        match (text_at(value, &["apiVersion"]), text_at(value, &["kind"])) {
            (API_VERSION, "Generate") => self.generate(document),
            (API_VERSION, "Scenario") => self.scenario(document),
            (API_VERSION, "Bench") => self.bench(document),
            (API_VERSION, other) => Err(document.error(
                &steps("kind"),
                format!("{API_VERSION} has no kind {other:?}; it has Generate, Scenario and Bench"),
            )),
            (version, kind) if kind == "List" || kind.ends_with("List") && at(value, &["items"]).is_some() => {
                self.list(document, version, kind)
            }
            _ => {
                let spot = Spot {
                    document,
                    path: Vec::new(),
                };
                self.object(&spot, value.clone(), None)
            }
        }
    }

    /// A list as `kubectl get -o yaml` prints it.
    fn list(&mut self, document: &Document<'_>, version: &str, kind: &str) -> Result<(), InputError> {
        let items = at(&document.value, &["items"])
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let mut item = item.clone();
            // Items of a typed list (`PodList`) do not repeat what the list says.
            if let (Some(single), Some(fields)) = (kind.strip_suffix("List"), item.as_object_mut())
                && !single.is_empty()
            {
                fields.entry("apiVersion").or_insert_with(|| version.into());
                fields.entry("kind").or_insert_with(|| single.into());
            }
            let spot = Spot {
                document,
                path: vec![Step::Field("items".to_owned()), Step::Element(index)],
            };
            self.object(&spot, item, None)?;
        }
        Ok(())
    }

    fn generate(&mut self, document: &Document<'_>) -> Result<(), InputError> {
        let block: GenerateDocument = typed(document)?;
        let none = Parameters::new();
        let parameters = self.bench.as_ref().map_or(&none, |(_, size)| &size.parameters).clone();
        let count = block
            .count
            .number(&parameters)
            .map_err(|problem| document.error(&steps("count"), format!("Generate: count: {problem}")))?;
        if MAX_GENERATED < count {
            return Err(document.error(&steps("count"), format!("Generate: count is more than {MAX_GENERATED}")));
        }
        let spot = Spot {
            document,
            path: steps("template"),
        };
        if annotation(&block.template, AT).is_some() {
            return Err(spot.annotation_error(AT, format!("Generate: say the time by at and every, not by {AT}")));
        }
        for index in 0..count {
            let object = generate::expand(&block.template, index, &parameters)
                .map_err(|error| spot.error("", format!("Generate: {error}")))?;
            let delay = u32::try_from(index)
                .ok()
                .and_then(|index| block.every.0.checked_mul(index));
            let when = delay.and_then(|delay| block.at.0.checked_add(delay));
            let when = when.ok_or_else(|| document.error(&steps("every"), "Generate: every is too long"))?;
            let key = key_of(&object);
            self.object(&spot, object, Some(Time::ZERO + when))?;
            if let (Some(lives), Some(key)) = (block.lives, key) {
                let at = Time::ZERO + when + lives.0;
                self.scenario.actions.push(Timed {
                    at,
                    action: Action::Delete(key),
                });
            }
        }
        Ok(())
    }

    fn bench(&mut self, document: &Document<'_>) -> Result<(), InputError> {
        if self.bench.is_some() {
            return Err(document.error(&steps("kind"), "there is more than one Bench"));
        }
        if document.place.number != 1 {
            return Err(document.error(
                &steps("kind"),
                "the Bench must be the first document: the others use its numbers",
            ));
        }
        let block: BenchDocument = typed(document)?;
        let size = block
            .size(&self.wanted)
            .map_err(|(field, problem)| document.error(&steps(&field), format!("Bench: {field}: {problem}")))?;
        self.scenario.until = Some(Time::ZERO + block.until.0);
        self.bench = Some((block, size));
        Ok(())
    }

    fn scenario(&mut self, document: &Document<'_>) -> Result<(), InputError> {
        let block: ScenarioDocument = typed(document)?;
        if std::mem::replace(&mut self.has_scenario, true) {
            return Err(document.error(&steps("kind"), "there is more than one Scenario"));
        }
        self.scenario.seed = block.seed;
        self.scenario.until = block.until.map(|span| Time::ZERO + span.0).or(self.scenario.until);
        for (index, entry) in block.events.into_iter().enumerate() {
            self.event(document, index, entry)?;
        }
        Ok(())
    }

    fn event(&mut self, document: &Document<'_>, index: usize, entry: EventEntry) -> Result<(), InputError> {
        let spot = Spot {
            document,
            path: steps(&format!("events[{index}]")),
        };
        let when = Time::ZERO + entry.at.0;
        let parts = [
            entry.apply.is_some(),
            entry.delete.is_some(),
            entry.finish.is_some(),
            entry.cordon.is_some(),
            entry.uncordon.is_some(),
        ];
        if parts.iter().filter(|part| **part).count() != 1 {
            let message = "wanted is exactly one of apply, delete, finish, cordon and uncordon";
            return Err(spot.error("", format!("Scenario: events[{index}]: {message}")));
        }
        if let Some(object) = entry.apply {
            let spot = Spot {
                document,
                path: steps(&format!("events[{index}].apply")),
            };
            return self.object(&spot, object, Some(when));
        }
        let action = if let Some(entry) = entry.delete {
            let kind = ObjectKind::named(&entry.kind).ok_or_else(|| {
                let message = format!(
                    "Scenario: events[{index}].delete.kind: {:?} is not simulated",
                    entry.kind
                );
                spot.error("delete.kind", message)
            })?;
            Action::Delete(Key::new(kind, &entry.namespace, &entry.name))
        } else if let Some(entry) = entry.finish {
            let phase = match entry.phase {
                FinishPhase::Succeeded => PodPhase::Succeeded,
                FinishPhase::Failed => PodPhase::Failed,
            };
            Action::Finish {
                pod: Key::pod(&entry.namespace, &entry.name),
                phase,
            }
        } else {
            let closed = entry.cordon.is_some();
            let node = entry.cordon.or(entry.uncordon).unwrap_or_default();
            Action::Cordon {
                node: node.into(),
                closed,
            }
        };
        self.scenario.actions.push(Timed { at: when, action });
        Ok(())
    }

    /// An object of Kubernetes, at the time that it or `when` says.
    fn object(&mut self, spot: &Spot<'_>, object: Value, when: Option<Time>) -> Result<(), InputError> {
        let (version, name) = (text_at(&object, &["apiVersion"]), text_at(&object, &["kind"]));
        if version.is_empty() || name.is_empty() {
            return Err(spot.error("", "an object needs apiVersion and kind"));
        }
        let Some(key) = key_of(&object) else {
            return self.not_simulated(spot, &object);
        };
        if key.name.is_empty() {
            return Err(spot.error("metadata.name", format!("{} needs metadata.name", key.kind.name())));
        }
        check_annotations(spot, &key, &object)?;
        if self.seen.insert(key.clone()) {
            check_content(spot, &key, &object)?;
        }
        self.warn_of_endless(&key, &object);
        let appears = match (span_annotation(&object, AT), when) {
            (Some(_), Some(_)) => {
                return Err(spot.annotation_error(AT, format!("{key}: its time is already said by the event's at")));
            }
            (span, when) => when.unwrap_or(Time::ZERO + span.unwrap_or_default().0),
        };
        let ends = span_annotation(&object, UNTIL).map(|span| Time::ZERO + span.0);
        self.scenario.actions.push(Timed {
            at: appears,
            action: Action::Apply(object),
        });
        if let Some(ends) = ends {
            if ends < appears {
                return Err(spot.annotation_error(UNTIL, format!("{key}: it ends before it appears")));
            }
            self.scenario.actions.push(Timed {
                at: ends,
                action: Action::Delete(key),
            });
        }
        Ok(())
    }

    fn not_simulated(&mut self, spot: &Spot<'_>, object: &Value) -> Result<(), InputError> {
        let (version, kind) = (text_at(object, &["apiVersion"]), text_at(object, &["kind"]));
        let name = text_at(object, &["metadata", "name"]);
        let message = match ObjectKind::named(kind) {
            Some(known) => {
                let wanted = known.api_version_and_name().0;
                format!("{kind} {name}: apiVersion {version} is not simulated, {wanted} is")
            }
            None => format!("{kind} {name}: objects of {version} {kind} are not simulated"),
        };
        let error = spot.error("kind", message);
        if self.strict {
            return Err(error);
        }
        self.warnings.push(format!("{error}; left out"));
        Ok(())
    }

    /// A pod of these controllers never succeeds: its containers are started again.
    fn warn_of_endless(&mut self, key: &Key, object: &Value) {
        let endless = matches!(
            key.kind,
            ObjectKind::Deployment | ObjectKind::ReplicaSet | ObjectKind::StatefulSet
        );
        let template = at(object, &["spec", "template"]);
        if endless && template.is_some_and(|template| annotation(template, RUN_FOR).is_some()) {
            self.warnings.push(format!(
                "{key}: {RUN_FOR} has no effect on its pods, whose containers always restart"
            ));
        }
    }
}

/// The key of an object of a simulated kind.
pub(crate) fn key_of(object: &Value) -> Option<Key> {
    let kind = ObjectKind::of(text_at(object, &["apiVersion"]), text_at(object, &["kind"]))?;
    let metadata = |field| text_at(object, &["metadata", field]);
    Some(Key::new(kind, metadata("namespace"), metadata("name")))
}

/// The span that an annotation of an object states, if it is readable.
pub(crate) fn span_annotation(object: &Value, name: &str) -> Option<Span> {
    annotation(object, name)?.parse().ok()
}

/// Unknown annotations of ours, and unreadable spans, are typing errors.
fn check_annotations(spot: &Spot<'_>, key: &Key, object: &Value) -> Result<(), InputError> {
    let template = at(object, &["spec", "template"]);
    for (holder, is_template) in [(Some(object), false), (template, true)] {
        let annotations = holder
            .and_then(|holder| at(holder, &["metadata", "annotations"]))
            .and_then(Value::as_object);
        for (name, value) in annotations
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.starts_with(PREFIX))
        {
            let problem = if !ANNOTATIONS.contains(&name.as_str()) {
                Some(format!("is not known; known are {}", ANNOTATIONS.join(", ")))
            } else if is_template && name != RUN_FOR {
                Some("has no meaning in a pod template".to_owned())
            } else {
                match value.as_str() {
                    Some(text) => text.parse::<Span>().err().map(|error| error.to_string()),
                    None => Some("must be a string, for example \"30s\"".to_owned()),
                }
            };
            if let Some(problem) = problem {
                return Err(spot.annotation_error(name, format!("{key}: annotation {name}: {problem}")));
            }
        }
    }
    Ok(())
}

/// What the scheduler would not be able to read is better said before anything runs.
fn check_content(spot: &Spot<'_>, key: &Key, object: &Value) -> Result<(), InputError> {
    crate::admission::check_readable(key, object).map_err(|error| spot.error(&error.field, format!("{key}: {error}")))
}

fn typed<T: serde::de::DeserializeOwned>(document: &Document<'_>) -> Result<T, InputError> {
    serde_path_to_error::deserialize(&document.value).map_err(|error| {
        let path: Vec<Step> = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                serde_path_to_error::Segment::Map { key } => Some(Step::Field(key.clone())),
                serde_path_to_error::Segment::Seq { index } => Some(Step::Element(*index)),
                _ => None,
            })
            .collect();
        let kind = text_at(&document.value, &["kind"]);
        let written = error.path().to_string();
        let message = match written.as_str() {
            "." => format!("{kind}: {}", error.inner()),
            written => format!("{kind}: {written}: {}", error.inner()),
        };
        document.error(&path, message)
    })
}

/// Within an instant: first what others need, last what happens to what is there.
fn rank(action: &Action) -> usize {
    match action {
        Action::Apply(object) => match key_of(object).map(|key| key.kind) {
            Some(ObjectKind::PriorityClass) => 0,
            Some(ObjectKind::Namespace) => 1,
            Some(
                ObjectKind::Workload
                | ObjectKind::PodGroup
                | ObjectKind::PodGroupV1Alpha2
                | ObjectKind::CoschedulingPodGroup
                | ObjectKind::Service,
            ) => 2,
            Some(ObjectKind::Node) => 3,
            _ => 4,
        },
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Loaded, InputError> {
        Scenario::load(
            &[Source {
                name: "s.yaml".to_owned(),
                text: text.to_owned(),
            }],
            false,
        )
    }

    fn error(text: &str) -> String {
        load(text).map(|_| ()).unwrap_err().to_string()
    }

    const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata:\n  name: n\n";

    #[test]
    fn annotations_say_when_an_object_comes_and_goes() {
        let text = format!("{NODE}  annotations:\n    sim.muster.dev/at: 30s\n    sim.muster.dev/until: 5m\n");
        let actions = load(&text).unwrap().scenario.actions;
        assert_eq!(
            actions.iter().map(|timed| timed.at).collect::<Vec<_>>(),
            [Time(30_000_000), Time(300_000_000)]
        );
        assert_eq!(actions[1].action, Action::Delete(Key::node("n")));
    }

    #[test]
    fn a_generate_block_makes_objects_at_intervals() {
        let text = "apiVersion: sim.muster.dev/v1alpha1\nkind: Generate\ncount: 3\nat: 1s\nevery: 500ms\n\
                    template: {apiVersion: v1, kind: Node, metadata: {name: 'n-{i:02}'}}\n";
        let actions = load(text).unwrap().scenario.actions;
        let made: Vec<_> = actions
            .iter()
            .map(|timed| match &timed.action {
                Action::Apply(object) => (
                    timed.at.micros() / 1000,
                    text_at(object, &["metadata", "name"]).to_owned(),
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            made,
            [
                (1000, "n-00".to_owned()),
                (1500, "n-01".to_owned()),
                (2000, "n-02".to_owned())
            ]
        );
    }

    #[test]
    fn events_are_read_and_put_in_the_order_of_time() {
        let text = "apiVersion: sim.muster.dev/v1alpha1\nkind: Scenario\nseed: 7\nuntil: 1h\nevents:\n\
                    - {at: 2s, delete: {kind: Node, name: n}}\n\
                    - {at: 1s, finish: {name: p, phase: Failed}}\n\
                    - {at: 3s, cordon: n}\n\
                    - {at: 4s, uncordon: n}\n\
                    - {at: 0s, apply: {apiVersion: v1, kind: Node, metadata: {name: n}}}\n";
        let scenario = load(text).unwrap().scenario;
        assert_eq!((scenario.seed, scenario.until), (Some(7), Some(Time(3_600_000_000))));
        assert_eq!(scenario.actions.len(), 5);
        let finish = Action::Finish {
            pod: Key::pod("default", "p"),
            phase: PodPhase::Failed,
        };
        assert_eq!(scenario.actions[1].action, finish);
        assert_eq!(
            scenario.actions[4].action,
            Action::Cordon {
                node: "n".into(),
                closed: false
            }
        );
    }

    #[test]
    fn unknown_fields_of_our_kinds_are_errors_with_their_place() {
        let text =
            format!("{NODE}---\napiVersion: sim.muster.dev/v1alpha1\nkind: Scenario\nevents:\n- at: 1s\n  kordon: n\n");
        let error = error(&text);
        assert!(
            error.starts_with("s.yaml, document 2, line 10: Scenario: events[0]"),
            "{error}"
        );
        assert!(error.contains("kordon"), "{error}");
    }

    #[test]
    fn mistakes_are_named_in_one_sentence() {
        let ours = |kind: &str, rest: &str| format!("apiVersion: sim.muster.dev/v1alpha1\nkind: {kind}\n{rest}\n");
        for (text, expected) in [
            (ours("Generate", "count: 3"), "missing field `template`"),
            (ours("Generate", "count: -3\ntemplate: {}"), "count"),
            (
                ours("Generate", "count: 2\nat: 30\ntemplate: {}"),
                "at: \"30\" is not a span of time",
            ),
            (ours("Scenario", "events: [{at: 1s}]"), "exactly one of apply, delete"),
            (
                ours("Scenario", "events: [{at: 1s, cordon: a, uncordon: b}]"),
                "exactly one of",
            ),
            (
                ours("Scenario", "events: [{at: 1s, delete: {kind: Gadget, name: g}}]"),
                "\"Gadget\" is not simulated",
            ),
            (ours("Skenario", ""), "has no kind \"Skenario\""),
            ("apiVersion: v1\nkind: Node\n".to_owned(), "Node needs metadata.name"),
            (
                format!("{NODE}  annotations: {{sim.muster.dev/att: 1s}}\n"),
                "sim.muster.dev/att: is not known",
            ),
            (
                format!("{NODE}  annotations: {{sim.muster.dev/at: 1x}}\n"),
                "\"1x\" is not a span of time",
            ),
            ("- a\n".to_owned(), "not an object"),
        ] {
            let error = error(&text);
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn other_kinds_are_warned_of_or_refused() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n";
        let loaded = load(text).unwrap();
        assert_eq!(
            loaded.warnings,
            ["s.yaml, document 1, line 2: ConfigMap web: objects of v1 ConfigMap are not simulated; left out"]
        );
        let source = Source {
            name: "s.yaml".to_owned(),
            text: text.to_owned(),
        };
        assert!(Scenario::load(&[source], true).is_err());
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n\
                    - {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n";
        assert_eq!(load(text).unwrap().scenario.actions.len(), 2);
        let typed = "apiVersion: v1\nkind: NodeList\nitems:\n- metadata: {name: a}\n";
        assert_eq!(load(typed).unwrap().scenario.actions.len(), 1);
    }
}
