//! The rights that manifests such as `deploy/muster.yaml` give to Muster, one by one, and identities that have some of them.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use http::Method;
use muster_xtask::{ControlPlane, deploy};
use serde_json::{Value, json};

use crate::proxy::Seen;

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The namespace that it holds in; none: in all, and outside of any.
    pub namespace: Option<String>,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, with its subresource: `pods/binding`.
    pub resource: String,
    /// The objects, by name; none: all.
    pub names: Vec<String>,
    /// The verb.
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.verb, self.group, self.resource)
    }
}

impl Right {
    fn rule(&self) -> Value {
        let mut rule = json!({ "apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb] });
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        rule
    }

    /// Whether a request makes use of the right, or would if it had been there.
    #[must_use]
    pub fn is_used_by(&self, request: &Seen) -> bool {
        let Some(asked) = Asked::by(request) else { return false };
        asked.group == self.group && asked.resource == self.resource && asked.verb == self.verb
    }
}

/// What a request asks for, as the API server's authorizer sees it.
struct Asked {
    group: String,
    resource: String,
    verb: &'static str,
}

impl Asked {
    /// None where the request is for no resource.
    fn by(request: &Seen) -> Option<Asked> {
        let path = request.path();
        let (group, rest) = match path.strip_prefix("/api/v1/") {
            Some(rest) => ("", rest),
            None => {
                let mut parts = path.strip_prefix("/apis/")?.splitn(3, '/');
                let (group, _version) = (parts.next()?, parts.next()?);
                (group, parts.next()?)
            }
        };
        let mut parts: Vec<&str> = rest.split('/').collect();
        if parts.len() > 2 && parts[0] == "namespaces" {
            parts.drain(..2);
        }
        let watches = request.target.contains("watch=true");
        let verb = match (&request.method, parts.len()) {
            (&Method::GET, 1) if watches => "watch",
            (&Method::GET, 1) => "list",
            (&Method::GET, _) => "get",
            (&Method::POST, _) => "create",
            (&Method::PATCH, _) => "patch",
            _ => return None,
        };
        let resource = match parts[..] {
            [resource, _, subresource] => format!("{resource}/{subresource}"),
            [resource, ..] => resource.to_owned(),
            [] => return None,
        };
        Some(Asked {
            group: group.to_owned(),
            resource,
            verb,
        })
    }
}

/// All rights of Muster's service account, in order.
pub fn all() -> Result<Vec<Right>> {
    of(&deploy::one_file()?)
}

/// All rights that are given by the bindings among these objects, in order.
pub fn of(objects: &[Value]) -> Result<Vec<Right>> {
    let is_binding = |object: &&Value| object["kind"] == "ClusterRoleBinding" || object["kind"] == "RoleBinding";
    let mut rights = Vec::new();
    for binding in objects.iter().filter(is_binding) {
        let reference = &binding["roleRef"];
        let role = objects.iter().find(|role| {
            role["kind"] == reference["kind"]
                && role["metadata"]["name"] == reference["name"]
                && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
        });
        let role = role.with_context(|| format!("{reference} is bound and not there"))?;
        let namespace = binding["metadata"]["namespace"].as_str().map(str::to_owned);
        for rule in role["rules"].as_array().into_iter().flatten() {
            add_rule(&mut rights, namespace.as_ref(), rule);
        }
    }
    rights.sort();
    Ok(rights)
}

fn add_rule(rights: &mut Vec<Right>, namespace: Option<&String>, rule: &Value) {
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                rights.push(Right {
                    namespace: namespace.cloned(),
                    group: group.clone(),
                    resource: resource.clone(),
                    names: texts(&rule["resourceNames"]),
                    verb,
                });
            }
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Makes a service account of this name with these rights and no others; gives a kubeconfig with its token.
pub fn identity(plane: &ControlPlane, namespace: &str, name: &str, rights: &[Right]) -> Result<PathBuf> {
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } }),
    ];
    let mut places: Vec<Option<&str>> = rights.iter().map(|right| right.namespace.as_deref()).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        let rules: Vec<Value> = rights
            .iter()
            .filter(|right| right.namespace.as_deref() == place)
            .map(Right::rule)
            .collect();
        let kind = if place.is_some() { "Role" } else { "ClusterRole" };
        let api = "rbac.authorization.k8s.io";
        let metadata = json!({ "name": name, "namespace": place });
        objects.push(json!({ "apiVersion": format!("{api}/v1"), "kind": kind, "metadata": metadata, "rules": rules }));
        objects.push(json!({
            "apiVersion": format!("{api}/v1"), "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": { "apiGroup": api, "kind": kind, "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
        }));
    }
    plane.apply_objects(&objects)?;
    plane.service_account_kubeconfig(namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> Option<(String, String, &'static str)> {
        let request = Seen {
            method: method.parse().unwrap(),
            target: target.to_owned(),
            status: None,
            priority_level: None,
        };
        Asked::by(&request).map(|asked| (asked.group, asked.resource, asked.verb))
    }

    #[test]
    fn requests_are_read_as_the_authorizer_reads_them() {
        for (method, target, expected) in [
            ("GET", "/api/v1/nodes?limit=500", ("", "nodes", "list")),
            ("GET", "/api/v1/namespaces?watch=true&x=1", ("", "namespaces", "watch")),
            ("GET", "/api/v1/namespaces/a/pods/p", ("", "pods", "get")),
            (
                "POST",
                "/api/v1/namespaces/a/pods/p/binding?timeout=9s",
                ("", "pods/binding", "create"),
            ),
            (
                "PATCH",
                "/api/v1/persistentvolumes/v",
                ("", "persistentvolumes", "patch"),
            ),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/a/events",
                ("events.k8s.io", "events", "create"),
            ),
            (
                "PATCH",
                "/apis/scheduling.k8s.io/v1beta1/namespaces/a/podgroups/g/status",
                ("scheduling.k8s.io", "podgroups/status", "patch"),
            ),
            (
                "GET",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/l",
                ("coordination.k8s.io", "leases", "get"),
            ),
        ] {
            let (group, resource, verb) = expected;
            let expected = Some((group.to_owned(), resource.to_owned(), verb));
            assert_eq!(asked(method, target), expected, "{method} {target}");
        }
        assert_eq!(asked("GET", "/version"), None);
        assert_eq!(asked("GET", "/apis/scheduling.k8s.io/v1beta1"), None);
    }

    #[test]
    fn every_role_that_is_bound_counts() {
        let rights: Vec<String> = all().unwrap().iter().map(Right::to_string).collect();
        for right in [
            "create /pods/binding",
            "patch /persistentvolumes",
            "patch coordination.k8s.io/leases",
            "get /configmaps",
        ] {
            assert!(rights.iter().any(|found| found == right), "{right} in {rights:?}");
        }
    }
}
