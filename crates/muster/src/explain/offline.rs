//! Explanations without a cluster: the engine is told what a file holds, and does as it would.

use super::document::Document;
use crate::evaluate::Judge;
use crate::{WrongUsage, snapshot_file};
use anyhow::{Context as _, anyhow};
use muster_engine::{Engine, Input, Object, Settings, Subject, Time};
use muster_framework::Text;
use muster_framework::record::Kind;
use muster_plugins::ProfileSpec;
use std::collections::BTreeSet;
use std::path::Path;

/// What is noted where neither a configuration nor the file says whose pods are whose.
const EVERYBODY: &str =
    "nobody said which pods are whose: all count as Muster's, by the default profile (--config says otherwise)";

/// So many turns of the engine are made at most for one object: each pod is tried once or twice.
const TURNS_PER_OBJECT: usize = 64;

/// An engine that has seen these objects as if they had been listed, and has tried every pod. No bind is carried out: what
/// it decides stays assumed.
pub(crate) fn engine_of(settings: &Settings, objects: impl IntoIterator<Item = Object>) -> Engine {
    let mut engine = Engine::new(settings);
    let mut told = 1;
    for object in objects {
        engine.handle(Time::ZERO, Input::Applied(object));
        told += 1;
    }
    for kind in Kind::ALL {
        engine.handle(Time::ZERO, Input::ListDone(kind));
    }
    for _ in 0..told * TURNS_PER_OBJECT {
        let effect = engine.poll(Time::ZERO);
        if effect.is_none() && engine.next_wakeup().is_none_or(|at| at > Time::ZERO) {
            break;
        }
        drop(engine.drain_observations());
    }
    engine
}

/// Explains a pod or a group of a file of manifests.
///
/// # Errors
/// What is wrong with the file, or that it holds no such thing.
pub(crate) fn explain(judge: &Judge, file: &Path, subject: &Subject) -> anyhow::Result<Document> {
    let (name, text) = crate::text::read(file).map_err(WrongUsage)?;
    let objects = crate::evaluate::objects(
        judge,
        muster_sim::Source {
            name: name.clone(),
            text,
        },
    );
    let objects = objects.map_err(WrongUsage)?;
    let mut settings = judge.engine_settings();
    if !judge.is_configured() {
        settings.profiles = for_everybody(&settings.profiles, &objects);
    }
    let mut engine = engine_of(&settings, objects);
    let explanation = engine.explain(Time::ZERO, subject);
    let mut explanation = explanation.ok_or_else(|| WrongUsage(anyhow!("{name}: there is no {subject}")))?;
    if !judge.is_configured() {
        explanation.notes.push(EVERYBODY.to_owned());
    }
    Ok(Document::from(&explanation))
}

/// Explains a pod or a group of a snapshot file as of when it was taken: by this configuration, else the one in the file.
///
/// # Errors
/// What is wrong with the files, or that the snapshot holds no such thing.
pub(crate) fn explain_snapshot(config: Option<&Path>, file: &Path, subject: &Subject) -> anyhow::Result<Document> {
    of_snapshot(config, file, subject).map_err(|error| WrongUsage(error).into())
}

fn of_snapshot(config: Option<&Path>, file: &Path, subject: &Subject) -> anyhow::Result<Document> {
    let snapshot = snapshot_file::read(file)?;
    let header = &snapshot.header;
    let configuration = match config {
        Some(config) => {
            let (name, text) = crate::text::read(config)?;
            Some(muster_config::load(&text).context(name)?)
        }
        None => snapshot_file::configuration(file, header)?,
    };
    let is_configured = configuration.is_some();
    let configuration = configuration.unwrap_or_default();
    let asks_extenders =
        !configuration.extenders.is_empty() || config.is_none() && snapshot_file::names_extenders(header);
    let mut settings = configuration.engine_settings(header.kubernetes);
    if !is_configured {
        settings.profiles = for_everybody(&settings.profiles, &snapshot.objects);
    }
    let explanation = muster_sim::what_if::explain(snapshot, &settings, subject);
    let mut explanation = explanation.ok_or_else(|| anyhow!("{}: there is no {subject}", file.display()))?;
    if !is_configured {
        explanation.notes.push(EVERYBODY.to_owned());
    }
    if asks_extenders {
        let note = "extenders have a say in pods here and were not asked";
        explanation.notes.push(note.to_owned());
    }
    Ok(Document::from(&explanation))
}

/// The first of these profiles, under each scheduler's name that a pod has.
fn for_everybody(profiles: &[ProfileSpec], objects: &[Object]) -> Vec<ProfileSpec> {
    let names = objects.iter().filter_map(|object| match object {
        Object::Pod(pod) => Some(pod.scheduler_name.clone()),
        _ => None,
    });
    let Some(first) = profiles.first() else {
        return Vec::new();
    };
    let names: BTreeSet<Text> = names.chain([first.scheduler_name.clone()]).collect();
    let named = names.into_iter().map(|scheduler_name| ProfileSpec {
        scheduler_name,
        ..first.clone()
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::document::hide_other_namespaces;
    use crate::explain::text::text;
    use muster_framework::rules::KubeMinor;

    const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {kubernetes.io/hostname: n1}}
status: {allocatable: {cpu: "2", memory: 8Gi, pods: "110"}}
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {kubernetes.io/hostname: n2}}
spec: {taints: [{key: dedicated, value: ml, effect: NoSchedule}]}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {schedulerName: muster, containers: [{name: main, image: web, resources: {requests: {cpu: "3"}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: w0, labels: {muster.dev/pod-group: train}, annotations: {muster.dev/min-count: "2"}}
spec: {containers: [{name: main, image: train, resources: {requests: {cpu: "1"}}}]}
"#;

    const CROWDED: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {kubernetes.io/hostname: n1}}
status: {allocatable: {cpu: "2", memory: 8Gi, pods: "110"}}
---
apiVersion: v1
kind: Pod
metadata: {name: w0, namespace: ml, labels: {muster.dev/pod-group: train}, annotations: {muster.dev/min-count: "2"}}
spec: {nodeName: n1, containers: [{name: main, image: train, resources: {requests: {cpu: "1"}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: w1, namespace: ml, labels: {muster.dev/pod-group: train}, annotations: {muster.dev/min-count: "2"}}
spec: {nodeName: n1, containers: [{name: main, image: train, resources: {requests: {cpu: "1"}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: main, image: web, resources: {requests: {cpu: "1"}}}]}
"#;

    fn ask(subject: &str) -> anyhow::Result<Document> {
        let judge = crate::evaluate::judge_of_file(KubeMinor::V1_37, None, None)?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("cluster.yaml");
        std::fs::write(&file, CLUSTER)?;
        let subject = crate::explain::subject(subject, "default").map_err(|problem| anyhow!(problem))?;
        explain(&judge, &file, &subject)
    }

    #[test]
    fn a_pod_for_people_and_for_machines() {
        let document = ask("pod/web").unwrap();
        insta::assert_snapshot!("pod", text(&document, true));
        insta::assert_json_snapshot!("pod_json", document);
        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    }

    #[test]
    fn a_group_for_people() {
        insta::assert_snapshot!("group", text(&ask("podgroup/train").unwrap(), false));
    }

    #[test]
    fn whose_places_take_the_room_is_for_those_who_may_see_them() {
        let judge = crate::evaluate::judge_of_file(KubeMinor::V1_37, None, None).unwrap();
        let source = muster_sim::Source {
            name: "cluster.yaml".to_owned(),
            text: CROWDED.to_owned(),
        };
        let mut engine = engine_of(
            &judge.engine_settings(),
            crate::evaluate::objects(&judge, source).unwrap(),
        );
        let subject = crate::explain::subject("pod/web", "default").unwrap();
        let mut explanation = engine.explain(Time::ZERO, &subject).unwrap();
        let cause = Document::from(&explanation).cause;
        let crowded = "there would be room without the places of pod group";
        assert!(
            cause.starts_with(&format!("{crowded} ml/train: 0/1 nodes are available")),
            "{cause}"
        );
        hide_other_namespaces(&mut explanation);
        let told = serde_json::to_string(&Document::from(&explanation)).unwrap();
        assert!(
            told.contains(&format!("{crowded} (in another namespace): 0/1")),
            "{told}"
        );
        assert!(!told.contains("ml/"), "{told}");
    }

    #[test]
    fn what_is_not_there_is_wrong_usage() {
        let error = ask("pod/nobody").unwrap_err();
        assert!(error.is::<WrongUsage>());
        assert!(
            error
                .to_string()
                .ends_with("cluster.yaml: there is no pod default/nobody"),
            "{error}"
        );
    }
}
