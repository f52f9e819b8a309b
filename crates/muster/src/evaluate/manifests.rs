//! Kubernetes manifests: a cluster as people write it down or dump it, and the pods of it that wait.
//!
//! What the API server and its controllers would fill in is filled in first, since people leave it out.

use super::judge::{Judge, Setting};
use super::kinds::{Standing, standing};
use muster_api::decode_for;
use muster_engine::{Evaluation, Object, Scene};
use muster_framework::record::{Kind, PodPhase, PodRecord};
use muster_framework::rules::KubeMinor;
use muster_sim::{
    Classes, Document, InputError, Key, ObjectKind, SYSTEM_CLASSES, Source, Step, admit, documents, steps,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What came of the pods.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) pods: Vec<JudgedPod>,
    /// What a person should know, in a sentence each.
    pub(super) notes: Vec<String>,
}

/// A pod and what was said of it.
#[derive(Debug)]
pub(super) struct JudgedPod {
    /// `namespace/name`.
    pub(super) id: String,
    /// As people call it.
    pub(super) name: String,
    pub(super) evaluation: Evaluation,
}

/// Judges the pods that wait, or the one that is `wanted`.
///
/// # Errors
/// What cannot be read, with its place; or there is no pod to judge.
pub(super) fn judge_all(judge: &mut Judge, source: Source, wanted: Option<&str>) -> anyhow::Result<Judged> {
    let setting = judge.usual();
    let mut cluster = Cluster::read(&source, judge.minor(), &setting)?;
    let chosen = match wanted {
        Some(path) => vec![cluster.take(path).ok_or_else(|| {
            let path = with_namespace(path);
            anyhow::anyhow!(
                "{}: there is no Pod {path}, and nothing that would make it",
                source.name
            )
        })?],
        None => cluster.take_waiting(),
    };
    if chosen.is_empty() {
        anyhow::bail!(
            "{}: there is no pod to judge: none waits for a node, and nothing would make one (--pod names a pod that has a \
             node)",
            source.name
        );
    }
    for pod in &chosen {
        cluster.note_profile(&setting, pod);
    }
    let mut everybody = cluster.scene(&setting, None);
    let pods = chosen.into_iter().map(|pod| {
        let id = pod.path();
        let name = match &pod.maker {
            None => format!("Pod {id}"),
            Some(maker) => format!("Pod {id} of {maker}"),
        };
        let evaluation = match pod.record.nominated_node_name {
            None => everybody.evaluate(pod.record),
            // It is there itself, and must not stand in its own way.
            Some(_) => cluster.scene(&setting, Some(&pod)).evaluate(pod.record),
        };
        JudgedPod { id, name, evaluation }
    });
    Ok(Judged {
        pods: pods.collect(),
        notes: cluster.notes.clone(),
    })
}

/// Everything that manifests hold, pods among it: those of templates only if nothing is there that waits.
///
/// # Errors
/// What cannot be read, with its place.
pub(super) fn objects(judge: &Judge, source: &Source) -> anyhow::Result<Vec<Object>> {
    let cluster = Cluster::read(source, judge.minor(), &judge.usual())?;
    let pods = cluster.pods.into_iter().chain(cluster.made);
    let pods = pods.map(|pod| Object::Pod(Box::new(pod.record)));
    Ok(cluster
        .objects
        .into_iter()
        .map(|(_, object)| object)
        .chain(pods)
        .collect())
}

/// `namespace/name` of what may be the name alone.
fn with_namespace(path: &str) -> String {
    match path.contains('/') {
        true => path.to_owned(),
        false => format!("default/{path}"),
    }
}

/// Pods are told apart by their uids, which people do not write.
fn uid_of(namespace: &str, name: &str) -> String {
    format!("pod:{namespace}/{name}")
}

/// A pod that may be judged.
#[derive(Debug, Clone)]
struct Candidate {
    record: PodRecord,
    /// What makes such pods, if it is not there itself.
    maker: Option<String>,
}

impl Candidate {
    fn path(&self) -> String {
        format!("{}/{}", self.record.namespace, self.record.name)
    }

    fn waits(&self) -> bool {
        self.record.node_name.is_none() && self.record.phase == PodPhase::Active
    }
}

/// Everything that the manifests hold.
#[derive(Debug, Default)]
struct Cluster {
    /// All but pods.
    objects: Vec<(Kind, Object)>,
    /// Pods, in their order.
    pods: Vec<Candidate>,
    /// A pod for each template, in their order.
    made: Vec<Candidate>,
    notes: Vec<String>,
}

impl Cluster {
    fn read(source: &Source, minor: KubeMinor, setting: &Setting) -> Result<Cluster, InputError> {
        let documents = documents(source)?;
        let mut items = Vec::new();
        for document in &documents {
            items.extend(Item::all_of(document)?);
        }
        let classes = PriorityClasses::of(&items);
        let mut reader = Reader {
            minor,
            scheduler: setting.first_name(),
            classes,
            cluster: Cluster::default(),
            seen: BTreeSet::new(),
            overlooked: BTreeMap::new(),
        };
        for item in items {
            reader.item(item)?;
        }
        Ok(reader.finish())
    }

    /// The pod of this path, out of the cluster.
    fn take(&mut self, path: &str) -> Option<Candidate> {
        let path = with_namespace(path);
        if let Some(at) = self.pods.iter().position(|pod| pod.path() == path) {
            let mut pod = self.pods.remove(at);
            pod.record.node_name = None;
            return Some(pod);
        }
        self.made.iter().find(|pod| pod.path() == path).cloned()
    }

    /// All pods that wait, out of the cluster; or else one of each template.
    fn take_waiting(&mut self) -> Vec<Candidate> {
        let (waiting, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pods)
            .into_iter()
            .partition(|pod| pod.waits() && pod.record.nominated_node_name.is_none());
        self.pods = others;
        // A pod that has been promised a node stands in the way of others, so it is also there while these are judged.
        let promised: Vec<_> = self.pods.iter().filter(|pod| pod.waits()).cloned().collect();
        let waiting = [waiting, promised].concat();
        if waiting.is_empty() {
            return std::mem::take(&mut self.made);
        }
        if !self.made.is_empty() {
            let makers: Vec<&str> = self.made.iter().filter_map(|pod| pod.maker.as_deref()).collect();
            self.notes.push(format!(
                "pods wait, so none is made for {}; --pod names one, such as {}",
                some_of(&makers),
                self.made.first().map(Candidate::path).unwrap_or_default()
            ));
        }
        waiting
    }

    /// The cluster, but for one pod.
    fn scene(&self, setting: &Setting, except: Option<&Candidate>) -> Scene {
        let mut scene = setting.scene();
        for (_, object) in &self.objects {
            scene.apply(object.clone());
        }
        let is_it = |pod: &Candidate| except.is_some_and(|except| except.record.uid == pod.record.uid);
        for pod in self.pods.iter().filter(|pod| !is_it(pod)) {
            scene.apply(Object::Pod(Box::new(pod.record.clone())));
        }
        scene
    }

    /// Of several profiles the one that a pod names counts; it should know when it is another.
    fn note_profile(&mut self, setting: &Setting, pod: &Candidate) {
        let name = &*pod.record.scheduler_name;
        if setting.is_configured() && !setting.has_profile(name) {
            self.notes.push(format!(
                "Pod {} names the scheduler {name}, which has no profile: judged by that of {}",
                pod.path(),
                setting.first_name()
            ));
        }
    }
}

/// An object of the manifests and where it stands.
struct Item<'d> {
    document: &'d Document<'d>,
    path: Vec<Step>,
    value: Value,
}

impl<'d> Item<'d> {
    /// The object of a document, or those of the list that it is.
    fn all_of(document: &'d Document<'d>) -> Result<Vec<Item<'d>>, InputError> {
        let value = &document.value;
        if !value.is_object() {
            return Err(document.error(&[], "this is not an object with apiVersion and kind"));
        }
        let (version, kind) = (text_at(value, "apiVersion"), text_at(value, "kind"));
        let Some(items) = value["items"].as_array().filter(|_| kind.ends_with("List")) else {
            return Ok(vec![Item {
                document,
                path: Vec::new(),
                value: value.clone(),
            }]);
        };
        // Items of typed lists leave out what the list says.
        let item_kind = kind.trim_end_matches("List");
        let items = items.iter().enumerate().map(|(at, item)| {
            let mut value = item.clone();
            if let Some(object) = value.as_object_mut().filter(|_| !item_kind.is_empty()) {
                object.entry("apiVersion").or_insert_with(|| json!(version));
                object.entry("kind").or_insert_with(|| json!(item_kind));
            }
            Item {
                document,
                path: vec![Step::Field("items".to_owned()), Step::Element(at)],
                value,
            }
        });
        Ok(items.collect())
    }

    fn error(&self, field: &str, message: impl Into<String>) -> InputError {
        let mut path = self.path.clone();
        path.extend(steps(field));
        self.document.error(&path, message)
    }

    fn kind(&self) -> &str {
        text_at(&self.value, "kind")
    }

    fn metadata(&self, field: &str) -> &str {
        text_at(&self.value["metadata"], field)
    }

    /// Namespace and name, as the API server keeps them.
    fn key(&self, kind: Kind) -> (String, String) {
        let namespace = match (kind.is_namespaced(), self.metadata("namespace")) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        (namespace.to_owned(), self.metadata("name").to_owned())
    }

    /// `Pod default/a`.
    fn title(&self) -> String {
        let namespace = self.metadata("namespace");
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("{} {namespace}{slash}{}", self.kind(), self.metadata("name"))
    }
}

fn text_at<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// The priority classes among the objects, and those that every cluster has.
struct PriorityClasses {
    values: BTreeMap<String, i64>,
    default: Option<String>,
}

impl PriorityClasses {
    fn of(items: &[Item<'_>]) -> PriorityClasses {
        let classes = || items.iter().filter(|item| item.kind() == "PriorityClass");
        let value = |item: &Item<'_>| Some((item.metadata("name").to_owned(), item.value["value"].as_i64()?));
        let built_in = SYSTEM_CLASSES.map(|(name, value)| (name.to_owned(), value));
        PriorityClasses {
            values: built_in.into_iter().chain(classes().filter_map(value)).collect(),
            default: classes()
                .find(|item| item.value["globalDefault"] == true)
                .map(|item| item.metadata("name").to_owned()),
        }
    }
}

impl Classes for PriorityClasses {
    fn priority(&self, class: &str) -> Option<i64> {
        self.values.get(class).copied()
    }

    fn default_class(&self) -> Option<String> {
        self.default.clone()
    }
}

struct Reader<'s> {
    minor: KubeMinor,
    /// Given to pods that name no scheduler.
    scheduler: &'s str,
    classes: PriorityClasses,
    cluster: Cluster,
    seen: BTreeSet<(Kind, String, String)>,
    /// Objects that no verdict depends on, by kind.
    overlooked: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn item(&mut self, mut item: Item<'_>) -> Result<(), InputError> {
        let (version, name) = (text_at(&item.value, "apiVersion"), item.kind());
        if version.is_empty() || name.is_empty() {
            return Err(item.error("", "an object needs apiVersion and kind"));
        }
        if let Some(made) = self.made_by(&item)? {
            self.cluster.made.push(made);
            if !matches!(item.kind(), "ReplicaSet" | "StatefulSet") {
                return Ok(());
            }
        }
        let kind = match standing(text_at(&item.value, "apiVersion"), item.kind()) {
            Standing::Read(kind) => kind,
            Standing::Overlooked => return self.overlook(item.kind().to_owned()),
            Standing::Unknown(_) => {
                let version = text_at(&item.value, "apiVersion");
                return self.overlook(format!("{} of {version}", item.kind()));
            }
        };
        match self.record(&mut item, kind)? {
            Object::Pod(record) => self.cluster.pods.push(Candidate {
                record: *record,
                maker: None,
            }),
            object => self.cluster.objects.push((kind, object)),
        }
        Ok(())
    }

    fn overlook(&mut self, kind: String) -> Result<(), InputError> {
        *self.overlooked.entry(kind).or_default() += 1;
        Ok(())
    }

    /// An object that is there once only.
    fn record(&mut self, item: &mut Item<'_>, kind: Kind) -> Result<Object, InputError> {
        let (namespace, name) = item.key(kind);
        let title = item.title();
        if !name.is_empty() && !self.seen.insert((kind, namespace, name)) {
            return Err(item.error("metadata.name", format!("{title} is there already")));
        }
        self.completed(item, kind)
    }

    /// Completes the object and reads it.
    fn completed(&self, item: &mut Item<'_>, kind: Kind) -> Result<Object, InputError> {
        let (namespace, name) = item.key(kind);
        let simulated = ObjectKind::of(text_at(&item.value, "apiVersion"), item.kind());
        if let Some(kind) = simulated.filter(|_| !name.is_empty()) {
            let key = Key::new(kind, &namespace, &name);
            admit(&key, &mut item.value, self.scheduler, &self.classes)
                .map_err(|refusal| item.error("spec.priorityClassName", refusal.to_string()))?;
        }
        if let Some(metadata) = item.value["metadata"].as_object_mut().filter(|_| kind == Kind::Pod) {
            let uid = metadata.entry("uid").or_insert(Value::Null);
            if uid.is_null() {
                *uid = json!(uid_of(&namespace, &name));
            }
        }
        decode_for(self.minor, kind, item.value.to_string().as_bytes())
            .map_err(|error| item.error(&error.field, error.to_string()))
    }

    /// A pod such as a controller would make. None: it is no controller, has enough, or is somebody else's.
    fn made_by(&mut self, item: &Item<'_>) -> Result<Option<Candidate>, InputError> {
        let (version, kind) = (text_at(&item.value, "apiVersion"), item.kind());
        if !ObjectKind::of(version, kind).is_some_and(ObjectKind::is_controller) {
            return Ok(None);
        }
        let owned = item.value["metadata"]["ownerReferences"].as_array();
        let spec = &item.value["spec"];
        let wants_none = ["replicas", "parallelism"].iter().any(|field| spec[field] == 0);
        if wants_none || owned.is_some_and(|owners| !owners.is_empty()) || !spec["template"].is_object() {
            return Ok(None);
        }
        let (name, uid) = (item.metadata("name"), item.metadata("uid"));
        let mut pod = spec["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        if !pod["metadata"].is_object() {
            pod["metadata"] = json!({});
        }
        pod["metadata"]["name"] = json!(format!("{name}-0"));
        pod["metadata"]["namespace"] = json!(item.metadata("namespace"));
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true}]);
        let mut path = item.path.clone();
        path.extend(steps("spec.template"));
        let mut made = Item {
            document: item.document,
            path,
            value: pod,
        };
        match self.completed(&mut made, Kind::Pod)? {
            Object::Pod(record) => Ok(Some(Candidate {
                record: *record,
                maker: Some(item.title()),
            })),
            _ => Ok(None),
        }
    }

    fn finish(mut self) -> Cluster {
        let Cluster { pods, made, .. } = &mut self.cluster;
        let taken: BTreeSet<String> = pods.iter().map(Candidate::path).collect();
        for pod in made {
            let base = pod.record.name.trim_end_matches('0').to_owned();
            let free = (0..).map(|number| format!("{base}{number}"));
            let namespace = &pod.record.namespace;
            let name = free
                .into_iter()
                .find(|name| !taken.contains(&format!("{namespace}/{name}")));
            if let Some(name) = name {
                pod.record.uid = uid_of(namespace, &name).into();
                pod.record.name = name.into();
            }
        }
        self.cluster
            .objects
            .sort_by_key(|(kind, _)| Kind::ALL.iter().position(|other| other == kind));
        if !self.overlooked.is_empty() {
            let kinds: Vec<String> = self
                .overlooked
                .iter()
                .map(|(kind, n)| if *n == 1 { kind.clone() } else { format!("{kind} ({n})") })
                .collect();
            let kinds = kinds.join(", ");
            self.cluster.notes.push(format!("not read: {kinds}"));
        }
        self.cluster
    }
}

/// The first few of a list, and how many more there are.
pub(super) fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
