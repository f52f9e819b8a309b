//! Overviews over HTTP, in the API group of explanations, so that they go through the API server with the caller's identity:
//!
//! ```text
//!  /apis/explain.muster.dev/v1alpha1/clusteroverviews/current
//!  /apis/explain.muster.dev/v1alpha1/namespaces/NAMESPACE/overviews/current
//! ```
//!
//! An overview names pods and groups, so it takes `list pods`: everywhere, or in the namespace. That of a namespace tells of
//! nothing else: neither how large the cluster is nor how busy the scheduler. A standby passes the question on (`forward`).

use super::document::{Document, KIND, Leader, Lease};
use super::paths::{OF_ALL, OF_NAMESPACE, wanted};
use crate::explain::page::{FROM_LEADER, json_of, not_found, within_patience};
use crate::forward::forward;
use crate::kubectl::API_VERSION;
use crate::unanswered::unanswered;
use http::Method;
use muster_api::LeaseName;
use muster_api::review::{Access, ResourceAccess};
use muster_framework::Text;
use muster_kube::{Asker, NoAnswer};
use muster_telemetry::Metrics;
use muster_telemetry::serving::{Answer, Question, Routes};
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// The pages.
pub(crate) struct Overviews {
    pub(crate) asker: Asker,
    /// Asked where our own engine does not lead.
    pub(crate) leader: Arc<muster_kube::Leader>,
    pub(crate) metrics: Arc<Metrics>,
    /// What this process is called that no other is called.
    pub(crate) identity: String,
    /// What it leads by, if anything is elected.
    pub(crate) lease: Option<LeaseName>,
    pub(crate) began: Instant,
}

/// What discovery says of them.
pub(crate) fn resources() -> [Value; 2] {
    let (group, version) = API_VERSION.split_once('/').unwrap_or(("", API_VERSION));
    [(OF_NAMESPACE, true), (OF_ALL, false)].map(|(name, namespaced)| {
        json!({"name": name, "singularName": "", "namespaced": namespaced, "group": group, "version": version,
               "kind": KIND, "verbs": ["get"]})
    })
}

impl Routes for Overviews {
    fn access(&self, method: &Method, path: &str) -> Option<Access> {
        let namespace = wanted(path).filter(|_| method == Method::GET)?;
        Some(Access::Resource(ResourceAccess {
            verb: "list".to_owned(),
            resource: "pods".to_owned(),
            namespace: namespace.map_or_else(String::new, |namespace| namespace.to_string()),
            ..ResourceAccess::default()
        }))
    }

    fn answer(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(async move {
            match wanted(&question.path) {
                Some(namespace) => self.overview(namespace, &question).await,
                None => not_found("the server could not find the requested resource"),
            }
        })
    }
}

impl Overviews {
    async fn overview(&self, namespace: Option<Text>, question: &Question) -> Answer {
        match within_patience(self.asker.overview(namespace.clone())).await {
            Ok(overview) => {
                let counted = self.metrics.counted();
                let leader = self.as_leader(counted.lease_margin);
                json_of(&Document::new(leader, namespace.as_deref(), overview, &counted))
            }
            Err(NoAnswer::NotLeading) => forward(&self.leader, question, FROM_LEADER).await,
            Err(reason) => unanswered(reason),
        }
    }

    fn as_leader(&self, margin_seconds: f64) -> Leader {
        Leader {
            identity: self.identity.clone(),
            version: crate::version::VERSION.to_owned(),
            uptime_seconds: self.began.elapsed().as_secs_f64(),
            lease: self.lease.as_ref().map(|lease| Lease {
                namespace: lease.namespace.clone(),
                name: lease.name.clone(),
                margin_seconds,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::asking;
    use crate::overview::paths::path_of;

    #[tokio::test]
    async fn who_may_list_the_pods_may_look_at_what_waits() {
        let pages = Overviews {
            asker: muster_kube::questions().0,
            leader: Arc::new(asking(muster_kube::Leading::Silent).await),
            metrics: Arc::new(Metrics::new(&[]).unwrap()),
            identity: "me".to_owned(),
            lease: None,
            began: Instant::now(),
        };
        let of = |namespace| match pages.access(&Method::GET, &path_of(namespace)) {
            Some(Access::Resource(to)) => format!("{} {} {:?} {:?}", to.verb, to.resource, to.namespace, to.name),
            other => panic!("{other:?}"),
        };
        assert_eq!(of(None), r#"list pods "" """#);
        assert_eq!(of(Some("shop")), r#"list pods "shop" """#);
        assert_eq!(pages.access(&Method::POST, &path_of(None)), None);
    }
}
