//! Explanations over HTTP, in the shape of an API group that the API server's aggregation layer can pass requests on to:
//!
//! ```text
//!  /apis/explain.muster.dev/v1alpha1/namespaces/NAMESPACE/podexplanations/NAME[/full]
//!  /apis/explain.muster.dev/v1alpha1/namespaces/NAMESPACE/podgroupexplanations/NAME[/full]
//! ```
//!
//! Who may read a pod may read why it waits: `get pods`. A group's explanation tells of all its pods, so it takes
//! `list pods` in the namespace, whatever one may do with the group's object. Pods that would have to end may be in other
//! namespaces: their names are told under `full` only, to those who may list pods everywhere.
//!
//! Only the leader knows what it tries: a standby passes a question on to it (`forward`).

use super::document::{Document, KIND, hide_other_namespaces};
use super::paths::{GROUP, RESOURCES, VERSION, Wanted, wanted};
use crate::forward::{Expected, forward};
use crate::kubectl::API_VERSION;
use crate::overview;
use crate::unanswered::unanswered;
use http::{Method, StatusCode};
use muster_api::review::{Access, ResourceAccess};
use muster_engine::Subject;
use muster_kube::{Asker, Leader, NoAnswer};
use muster_telemetry::serving::{Answer, Question, Routes, failure, respond};
use serde::Serialize;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a question may wait for an engine that has not begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a leader may say: its own patience, and what it asks the API server, are part of the time. An explanation is a few
/// kilobytes, but there may be any number of pods that would have to end.
pub(crate) const FROM_LEADER: Expected = Expected {
    content_type: "application/json",
    longest: 8 << 20,
    within: Duration::from_secs(20),
};

/// The pages.
pub(crate) struct Explanations {
    /// Our own engine.
    pub(crate) asker: Asker,
    /// Asked where our own does not lead.
    pub(crate) leader: Arc<Leader>,
}

fn access(wanted: &Wanted, path: &str) -> Access {
    let pods = |verb: &str, namespace: &str, name: &str| {
        Access::Resource(ResourceAccess {
            verb: verb.to_owned(),
            resource: "pods".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..ResourceAccess::default()
        })
    };
    match wanted {
        Wanted::Groups | Wanted::Group | Wanted::Version => Access::Path {
            verb: "get".to_owned(),
            path: path.to_owned(),
        },
        Wanted::Explanation { full: true, .. } => pods("list", "", ""),
        Wanted::Explanation { subject, .. } => match subject {
            Subject::Pod { namespace, name } => pods("get", namespace, name),
            Subject::Group { namespace, .. } => pods("list", namespace, ""),
        },
    }
}

impl Routes for Explanations {
    fn access(&self, method: &Method, path: &str) -> Option<Access> {
        let wanted = wanted(path).filter(|_| method == Method::GET)?;
        Some(access(&wanted, path))
    }

    fn answer(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(async move {
            match wanted(&question.path) {
                Some(Wanted::Groups) => json_of(&json!({
                    "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()],
                })),
                Some(Wanted::Group) => {
                    let mut group = group();
                    group["kind"] = "APIGroup".into();
                    group["apiVersion"] = "v1".into();
                    json_of(&group)
                }
                Some(Wanted::Version) => json_of(&version()),
                Some(Wanted::Explanation { subject, full }) => self.explain(subject, full, &question).await,
                None => not_found("the server could not find the requested resource"),
            }
        })
    }
}

impl Explanations {
    async fn explain(&self, subject: Subject, full: bool, question: &Question) -> Answer {
        let mut explanation = match within_patience(self.asker.explain(subject.clone())).await {
            Ok(Some(explanation)) => explanation,
            Ok(None) => return not_found(&format!("{subject} not found")),
            Err(NoAnswer::NotLeading) => return forward(&self.leader, question, FROM_LEADER).await,
            Err(reason) => return unanswered(reason),
        };
        if !full {
            hide_other_namespaces(&mut explanation);
        }
        json_of(&Document::from(&explanation))
    }
}

/// What the engine says to a question, if it has begun or begins soon.
pub(crate) async fn within_patience<T>(asked: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    answered.unwrap_or(Err(NoAnswer::NotRunning))
}

pub(crate) fn json_of(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(text) => respond(StatusCode::OK, "application/json", format!("{text}\n")),
        Err(error) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            &error.to_string(),
            None,
        ),
    }
}

pub(crate) fn not_found(message: &str) -> Answer {
    failure(StatusCode::NOT_FOUND, "NotFound", message, None)
}

fn group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"name": GROUP, "versions": [version], "preferredVersion": version})
}

/// What the version has. The objects are of another group than the resources: they are the same wherever they come from.
fn version() -> Value {
    let (object_group, object_version) = API_VERSION.split_once('/').unwrap_or(("", API_VERSION));
    let resource = |name: &str| {
        json!({"name": name, "singularName": "", "namespaced": true, "group": object_group, "version": object_version,
               "kind": KIND, "verbs": ["get"]})
    };
    let names = RESOURCES
        .into_iter()
        .flat_map(|(name, _)| [name.to_owned(), format!("{name}/full")]);
    let explanations = names.map(|name| resource(&name));
    let resources: Vec<Value> = explanations.chain(overview::page::resources()).collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
           "resources": resources})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_the_pods_may_ask() {
        let pod = Subject::Pod {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let train = Subject::Group {
            namespace: "shop".into(),
            name: "train/workers[0]".into(),
        };
        let of = |subject: &Subject, full: bool| {
            let subject = subject.clone();
            match access(&Wanted::Explanation { subject, full }, "") {
                Access::Resource(to) => format!("{} {} {:?} {:?}", to.verb, to.resource, to.namespace, to.name),
                Access::Path { .. } => panic!("a path"),
            }
        };
        assert_eq!(of(&pod, false), r#"get pods "shop" "web""#);
        assert_eq!(of(&train, false), r#"list pods "shop" """#);
        assert_eq!(of(&pod, true), r#"list pods "" """#);
    }
}
