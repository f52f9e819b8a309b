//! Manifests: YAML documents in, and where on the API server each of them goes.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::api::Api;

/// The objects of a YAML manifest, in their order; empty documents are left out.
pub(crate) fn parse(yaml: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("reading the YAML of the manifest")?;
    let mut objects = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        match document.get("items").and_then(Value::as_array) {
            Some(items) if text(&document, "/kind").is_ok_and(|kind| kind == "List") => {
                objects.extend(items.iter().cloned());
            }
            _ => objects.push(document),
        }
    }
    Ok(objects)
}

/// Finds the paths of objects by asking the server for the kinds that it has.
#[derive(Debug)]
pub(crate) struct PathFinder<'a> {
    api: &'a Api,
    /// The answers so far, by `apiVersion`.
    kinds: HashMap<String, Value>,
}

impl<'a> PathFinder<'a> {
    pub(crate) fn new(api: &'a Api) -> PathFinder<'a> {
        PathFinder {
            api,
            kinds: HashMap::new(),
        }
    }

    /// The path of an object, which need not be there.
    pub(crate) fn path(&mut self, object: &Value) -> Result<String> {
        let version = text(object, "/apiVersion")?;
        let root = root(version);
        if !self.kinds.contains_key(version) {
            let kinds = self
                .api
                .get(&root)
                .with_context(|| format!("asking which kinds {version} has"))?;
            self.kinds.insert(version.to_owned(), kinds);
        }
        object_path(&root, &self.kinds[version], object)
    }
}

fn root(version: &str) -> String {
    let prefix = if version.contains('/') { "apis" } else { "api" };
    format!("/{prefix}/{version}")
}

fn object_path(root: &str, kinds: &Value, object: &Value) -> Result<String> {
    let kind = text(object, "/kind")?;
    let name = text(object, "/metadata/name")?;
    let resources = kinds
        .get("resources")
        .and_then(Value::as_array)
        .context("the server's answer lists no kinds")?;
    let resource = resources.iter().find(|resource| {
        let is_subresource = text(resource, "/name").is_ok_and(|name| name.contains('/'));
        !is_subresource && text(resource, "/kind").is_ok_and(|found| found == kind)
    });
    let Some(resource) = resource else {
        bail!("the server has no kind {kind} at {root}")
    };
    let plural = text(resource, "/name")?;
    if resource.get("namespaced").and_then(Value::as_bool) == Some(true) {
        let namespace = text(object, "/metadata/namespace").unwrap_or("default");
        return Ok(format!("{root}/namespaces/{namespace}/{plural}/{name}"));
    }
    Ok(format!("{root}/{plural}/{name}"))
}

/// A text in an object, by JSON pointer.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("the object has no text at {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_read_in_order_without_the_empty_ones() {
        let yaml = "---\nkind: A\n---\n# nothing\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n";
        let kinds: Vec<_> = parse(yaml)
            .unwrap()
            .iter()
            .map(|object| text(object, "/kind").unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
    }

    #[test]
    fn paths_follow_the_kinds_of_the_server() {
        let kinds = json!({"resources": [
            {"name": "pods/binding", "kind": "Binding", "namespaced": true},
            {"name": "pods", "kind": "Pod", "namespaced": true},
            {"name": "nodes", "kind": "Node", "namespaced": false},
        ]});
        for (object, expected) in [
            (json!({"kind": "Node", "metadata": {"name": "n"}}), "/api/v1/nodes/n"),
            (
                json!({"kind": "Pod", "metadata": {"name": "p"}}),
                "/api/v1/namespaces/default/pods/p",
            ),
            (
                json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "x"}}),
                "/api/v1/namespaces/x/pods/p",
            ),
        ] {
            assert_eq!(object_path("/api/v1", &kinds, &object).unwrap(), expected);
        }
        let binding = json!({"kind": "Binding", "metadata": {"name": "b"}});
        assert!(
            object_path("/api/v1", &kinds, &binding)
                .unwrap_err()
                .to_string()
                .contains("no kind Binding")
        );
    }

    #[test]
    fn the_core_group_has_a_root_of_its_own() {
        assert_eq!(root("v1"), "/api/v1");
        assert_eq!(
            root("rbac.authorization.k8s.io/v1"),
            "/apis/rbac.authorization.k8s.io/v1"
        );
    }
}
