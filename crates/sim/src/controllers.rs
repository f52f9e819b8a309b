//! The controllers that make pods, in miniature: Job, Deployment, ReplicaSet, StatefulSet.
//!
//! They act at once: what a real controller does after a delay or a back-off, these do in the same instant.

use crate::admission::Refusal;
use crate::cluster::{Cluster, Stored};
use crate::object::{Key, ObjectKind, at, integer_at, object_at, text_at};
use crate::random::Random;
use muster_framework::Text;
use muster_framework::record::PodPhase;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The controllers and what they remember beside the objects.
#[derive(Debug)]
pub(crate) struct Controllers {
    random: Random,
    /// What each job has counted, by its uid: a pod that ended counts even when it is deleted afterwards.
    jobs: BTreeMap<Text, JobTally>,
}

#[derive(Debug, Default)]
struct JobTally {
    /// Uids of pods that succeeded.
    succeeded: BTreeSet<Text>,
    /// Indexes that are done.
    done: BTreeSet<i64>,
    /// Uids of pods that failed.
    failed: BTreeSet<Text>,
}

/// A label, and an annotation, that says which index of its job a pod is.
const JOB_INDEX: &str = "batch.kubernetes.io/job-completion-index";

impl Controllers {
    pub(crate) fn new(seed: u64) -> Controllers {
        Controllers {
            random: Random::new(seed),
            jobs: BTreeMap::new(),
        }
    }

    /// Brings what `owner` owns in line with what it says.
    pub(crate) fn reconcile(&mut self, cluster: &mut Cluster, owner: &Key) -> Result<(), Refusal> {
        let Some(owner) = cluster.get(owner).cloned() else {
            return Ok(());
        };
        match owner.key.kind {
            ObjectKind::Job => self.job(cluster, &owner),
            ObjectKind::Deployment => deployment(cluster, &owner),
            ObjectKind::ReplicaSet => self.replica_set(cluster, &owner),
            ObjectKind::StatefulSet => stateful_set(cluster, &owner),
            _ => Ok(()),
        }
    }

    fn job(&mut self, cluster: &mut Cluster, job: &Stored) -> Result<(), Refusal> {
        let spec = |field| integer_at(&job.value, &["spec", field]);
        let parallelism = spec("parallelism").unwrap_or(1);
        let indexed = text_at(&job.value, &["spec", "completionMode"]) == "Indexed";
        let completions = spec("completions").or_else(|| spec("parallelism").is_none().then_some(1));
        let pods = cluster.owned_by(&job.uid);
        let tally = self.jobs.entry(job.uid.clone()).or_default();
        tally.count(&pods);
        let active: Vec<&Arc<Stored>> = pods.iter().filter(|pod| is_live(pod)).collect();
        let succeeded = count(if indexed {
            tally.done.len()
        } else {
            tally.succeeded.len()
        });
        let done = match completions {
            Some(completions) => completions <= succeeded,
            // A work queue: the first success says that the work is done, the others may end.
            None => 0 < succeeded && active.is_empty(),
        };
        let broken = spec("backoffLimit").unwrap_or(6) < count(tally.failed.len());
        let suspended = at(&job.value, &["spec", "suspend"])
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let wanted = match completions {
            _ if done || broken || suspended => 0,
            Some(completions) => parallelism.min(completions - succeeded),
            None if 0 < succeeded => count(active.len()),
            None => parallelism,
        };
        let taken: BTreeSet<i64> = active.iter().filter_map(|pod| job_index(&pod.value)).collect();
        let free = (0..completions.unwrap_or(0)).filter(|index| !taken.contains(index) && !tally.done.contains(index));
        let free: Vec<i64> = free.take(usize::try_from(wanted).unwrap_or(0)).collect();
        let status = json!({"active": wanted, "succeeded": succeeded, "failed": tally.failed.len()});
        for pod in active.iter().skip(usize::try_from(wanted).unwrap_or(0)) {
            cluster.delete(&pod.key);
        }
        for number in 0..(wanted - count(active.len())).max(0) {
            let index = usize::try_from(number)
                .ok()
                .and_then(|number| free.get(number))
                .filter(|_| indexed);
            self.job_pod(cluster, job, index.copied())?;
        }
        set_job_status(cluster, job, status, done, broken)
    }

    fn job_pod(&mut self, cluster: &mut Cluster, job: &Stored, index: Option<i64>) -> Result<(), Refusal> {
        let stem = match index {
            Some(index) => format!("{}-{index}", job.key.name),
            None => job.key.name.to_string(),
        };
        let mut pod = pod_of(job, &self.fresh_name(cluster, &job.key.namespace, &stem));
        let labels = object_at(&mut pod, &["metadata", "labels"]);
        for (label, value) in [
            ("batch.kubernetes.io/job-name", &job.key.name),
            ("job-name", &job.key.name),
            ("batch.kubernetes.io/controller-uid", &job.uid),
            ("controller-uid", &job.uid),
        ] {
            labels.insert(label.to_owned(), json!(**value));
        }
        if let Some(index) = index {
            labels.insert(JOB_INDEX.to_owned(), json!(index.to_string()));
            object_at(&mut pod, &["metadata", "annotations"]).insert(JOB_INDEX.to_owned(), json!(index.to_string()));
            object_at(&mut pod, &["spec"])
                .entry("hostname")
                .or_insert_with(|| json!(stem));
        }
        object_at(&mut pod, &["spec"])
            .entry("restartPolicy")
            .or_insert_with(|| json!("Never"));
        cluster.apply(pod).map(|_| ())
    }

    fn replica_set(&mut self, cluster: &mut Cluster, set: &Stored) -> Result<(), Refusal> {
        let wanted = usize::try_from(replicas(set)).unwrap_or(0);
        let pods = cluster.owned_by(&set.uid);
        let mut active: Vec<&Arc<Stored>> = pods.iter().filter(|pod| is_live(pod)).collect();
        // As upstream: pods without a node go first, then the youngest.
        active.sort_by_key(|pod| (pod.pod().is_some_and(|pod| pod.node_name.is_none()), pod.uid.clone()));
        for pod in active.iter().skip(wanted) {
            cluster.delete(&pod.key);
        }
        for _ in active.len()..wanted {
            let name = self.fresh_name(cluster, &set.key.namespace, &set.key.name);
            cluster.apply(pod_of(set, &name))?;
        }
        Ok(())
    }

    fn fresh_name(&mut self, cluster: &Cluster, namespace: &str, stem: &str) -> String {
        loop {
            let name = format!("{stem}-{}", self.random.suffix());
            if cluster.get(&Key::pod(namespace, &name)).is_none() {
                return name;
            }
        }
    }
}

impl JobTally {
    fn count(&mut self, pods: &[Arc<Stored>]) {
        for pod in pods {
            match pod.pod().map(|pod| pod.phase) {
                Some(PodPhase::Succeeded) => {
                    self.succeeded.insert(pod.uid.clone());
                    self.done.extend(job_index(&pod.value));
                }
                Some(PodPhase::Failed) => {
                    self.failed.insert(pod.uid.clone());
                }
                Some(PodPhase::Active) | None => {}
            }
        }
    }
}

fn set_job_status(
    cluster: &mut Cluster,
    job: &Stored,
    mut status: Value,
    done: bool,
    broken: bool,
) -> Result<(), Refusal> {
    let ended = if done {
        Some("Complete")
    } else {
        broken.then_some("Failed")
    };
    if let Some(ended) = ended {
        object_at(&mut status, &[]).insert("conditions".to_owned(), json!([{"type": ended, "status": "True"}]));
    }
    cluster.update(&job.key, |job| {
        object_at(job, &[]).insert("status".to_owned(), status);
    })
}

/// Whether the status of a job says how it ended.
pub(crate) fn job_end(job: &Value) -> Option<&str> {
    let condition = at(job, &["status", "conditions"])?.as_array()?.first()?;
    Some(text_at(condition, &["type"]))
}

/// A deployment keeps one replica set per template; those of former templates are scaled to nothing at once.
fn deployment(cluster: &mut Cluster, deployment: &Stored) -> Result<(), Refusal> {
    let template = at(&deployment.value, &["spec", "template"])
        .cloned()
        .unwrap_or(Value::Null);
    let hash = content_hash(&template);
    let name = format!("{}-{hash}", deployment.key.name);
    let (version, kind) = ObjectKind::ReplicaSet.api_version_and_name();
    let mut set = json!({
        "apiVersion": version, "kind": kind,
        "metadata": {"name": name, "namespace": *deployment.key.namespace, "ownerReferences": [owner_reference(deployment)]},
        "spec": {"replicas": replicas(deployment), "template": template},
    });
    if let Some(selector) = at(&deployment.value, &["spec", "selector"]) {
        object_at(&mut set, &["spec"]).insert("selector".to_owned(), selector.clone());
    }
    object_at(&mut set, &["spec", "template", "metadata", "labels"])
        .insert("pod-template-hash".to_owned(), json!(hash));
    for other in cluster
        .owned_by(&deployment.uid)
        .iter()
        .filter(|other| *other.key.name != *name)
    {
        cluster.update(&other.key, |set| {
            object_at(set, &["spec"]).insert("replicas".to_owned(), json!(0));
        })?;
    }
    cluster.apply(set).map(|_| ())
}

/// Pods by ordinal; unless they are managed in parallel, each waits for the one before it to run.
fn stateful_set(cluster: &mut Cluster, set: &Stored) -> Result<(), Refusal> {
    let parallel = text_at(&set.value, &["spec", "podManagementPolicy"]) == "Parallel";
    let wanted = replicas(set);
    let name = |ordinal: i64| format!("{}-{ordinal}", set.key.name);
    let ordinal_of = |pod: &Stored| {
        pod.key
            .name
            .rsplit_once('-')
            .and_then(|(_, ordinal)| ordinal.parse::<i64>().ok())
    };
    for pod in cluster.owned_by(&set.uid) {
        let finished = pod.pod().is_some_and(|pod| pod.phase != PodPhase::Active);
        if finished || ordinal_of(&pod).is_some_and(|ordinal| wanted <= ordinal) {
            cluster.delete(&pod.key);
        }
    }
    for ordinal in 0..wanted {
        let key = Key::pod(&set.key.namespace, &name(ordinal));
        if cluster.get(&key).is_none() {
            let mut pod = pod_of(set, &key.name);
            let labels = object_at(&mut pod, &["metadata", "labels"]);
            labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), json!(*key.name));
            labels.insert("apps.kubernetes.io/pod-index".to_owned(), json!(ordinal.to_string()));
            object_at(&mut pod, &["spec"]).insert("hostname".to_owned(), json!(*key.name));
            cluster.apply(pod)?;
        }
        let runs = cluster
            .get(&key)
            .is_some_and(|pod| text_at(&pod.value, &["status", "phase"]) == "Running");
        if !parallel && !runs {
            break;
        }
    }
    Ok(())
}

/// A pod from the template of its owner.
fn pod_of(owner: &Stored, name: &str) -> Value {
    let mut pod = at(&owner.value, &["spec", "template"]).cloned().unwrap_or(Value::Null);
    let fields = object_at(&mut pod, &[]);
    fields.insert("apiVersion".to_owned(), json!("v1"));
    fields.insert("kind".to_owned(), json!("Pod"));
    let metadata = object_at(&mut pod, &["metadata"]);
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(*owner.key.namespace));
    // What dumps of templates carry for nothing.
    metadata.remove("creationTimestamp");
    metadata.insert("ownerReferences".to_owned(), json!([owner_reference(owner)]));
    pod
}

fn owner_reference(owner: &Stored) -> Value {
    let (version, kind) = owner.key.kind.api_version_and_name();
    json!({"apiVersion": version, "kind": kind, "name": *owner.key.name, "uid": *owner.uid, "controller": true})
}

fn is_live(pod: &Stored) -> bool {
    pod.pod()
        .is_some_and(|pod| pod.phase == PodPhase::Active && !pod.terminating)
}

fn job_index(pod: &Value) -> Option<i64> {
    at(pod, &["metadata", "annotations", JOB_INDEX])?.as_str()?.parse().ok()
}

fn replicas(owner: &Stored) -> i64 {
    integer_at(&owner.value, &["spec", "replicas"]).unwrap_or(1)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// A short, stable name for a content (FNV-1a).
fn content_hash(content: &Value) -> String {
    let bytes = content.to_string().into_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{:08x}", hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        cluster: Cluster,
        controllers: Controllers,
    }

    impl Bench {
        fn with(object: Value) -> (Bench, Key) {
            let mut bench = Bench {
                cluster: Cluster::new("muster".into()),
                controllers: Controllers::new(1),
            };
            let key = bench.cluster.apply(object).unwrap();
            bench.reconcile(&key);
            (bench, key)
        }

        fn reconcile(&mut self, key: &Key) {
            self.controllers.reconcile(&mut self.cluster, key).unwrap();
        }

        fn names(&self) -> Vec<String> {
            self.cluster.pods().map(|pod| pod.name.to_string()).collect()
        }

        fn finish(&mut self, stem: &str, phase: &str, owner: &Key) {
            let name = self
                .cluster
                .pods()
                .find(|pod| pod.name.starts_with(stem) && pod.phase == PodPhase::Active);
            let key = Key::pod("default", &name.unwrap().name);
            self.cluster.set_phase(&key, phase).unwrap();
            self.reconcile(owner);
        }
    }

    fn owner(kind: ObjectKind, spec: Value) -> Value {
        let (version, name) = kind.api_version_and_name();
        let mut object = json!({"apiVersion": version, "kind": name, "metadata": {"name": "own"}, "spec": spec});
        object_at(&mut object, &["spec"])
            .insert("template".to_owned(), json!({"spec": {"containers": [{"name": "c"}]}}));
        object
    }

    #[test]
    fn an_indexed_job_replaces_what_fails_and_ends_when_every_index_is_done() {
        let spec = json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"});
        let (mut bench, job) = Bench::with(owner(ObjectKind::Job, spec));
        assert_eq!(bench.names().len(), 2);
        bench.finish("own-0-", "Failed", &job);
        assert_eq!(
            bench.names().iter().filter(|name| name.starts_with("own-0-")).count(),
            2
        );
        bench.finish("own-0-", "Succeeded", &job);
        bench.finish("own-1-", "Succeeded", &job);
        bench.finish("own-2-", "Succeeded", &job);
        assert_eq!(job_end(&bench.cluster.get(&job).unwrap().value), Some("Complete"));
        assert_eq!(bench.names().len(), 4);
    }

    #[test]
    fn a_job_gives_up_after_its_backoff_limit() {
        let (mut bench, job) = Bench::with(owner(
            ObjectKind::Job,
            json!({"backoffLimit": 0, "parallelism": 2, "completions": 2}),
        ));
        bench.finish("own-", "Failed", &job);
        assert_eq!(job_end(&bench.cluster.get(&job).unwrap().value), Some("Failed"));
        assert_eq!(
            bench.cluster.pods().filter(|pod| pod.phase == PodPhase::Active).count(),
            0
        );
    }

    #[test]
    fn a_deployment_makes_a_replica_set_that_makes_pods() {
        let (mut bench, key) = Bench::with(owner(ObjectKind::Deployment, json!({"replicas": 3})));
        let set = bench.cluster.list(ObjectKind::ReplicaSet).next().unwrap().key.clone();
        bench.reconcile(&set);
        assert_eq!(bench.names().len(), 3);
        let scaled = owner(ObjectKind::Deployment, json!({"replicas": 1}));
        bench.cluster.apply(scaled).unwrap();
        bench.reconcile(&key);
        bench.reconcile(&set);
        assert_eq!(bench.names().len(), 1);
        bench.cluster.delete(&key);
        assert_eq!(bench.names().len(), 0);
    }

    #[test]
    fn a_stateful_set_goes_one_by_one_unless_told_otherwise() {
        let (mut bench, key) = Bench::with(owner(ObjectKind::StatefulSet, json!({"replicas": 2})));
        assert_eq!(bench.names(), ["own-0"]);
        bench
            .cluster
            .set_phase(&Key::pod("default", "own-0"), "Running")
            .unwrap();
        bench.reconcile(&key);
        assert_eq!(bench.names(), ["own-0", "own-1"]);
        let parallel = json!({"replicas": 3, "podManagementPolicy": "Parallel"});
        assert_eq!(Bench::with(owner(ObjectKind::StatefulSet, parallel)).0.names().len(), 3);
    }
}
