//! What goes to the programs and what comes back, one JSON value a line.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

/// A question: a cluster, a pod that wants a node of it, and how the scheduler is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Names the case in answers and reports.
    pub id: String,
    /// The objects of the cluster. Pods with a node run there; pods without one are nominated to one.
    pub objects: Vec<Value>,
    /// The pod that wants a node.
    pub pod: Value,
    /// A `KubeSchedulerConfiguration`, if not the default one.
    pub config: Option<Value>,
}

impl Case {
    /// The case as the programs read it.
    pub fn to_json(&self) -> Value {
        let mut object = json!({"id": self.id, "objects": self.objects, "pod": self.pod});
        if let Some(config) = &self.config {
            object["config"] = config.clone();
        }
        object
    }

    /// Reads what [`Case::to_json`] gives.
    pub fn from_json(value: &Value) -> Result<Case> {
        let id = value["id"].as_str().context("a case needs an `id`")?;
        let objects = value["objects"].as_array().context("a case needs `objects`")?;
        if !value["pod"].is_object() {
            bail!("a case needs a `pod`");
        }
        Ok(Case {
            id: id.to_owned(),
            objects: objects.clone(),
            pod: value["pod"].clone(),
            config: value.get("config").filter(|config| !config.is_null()).cloned(),
        })
    }

    /// The case as an API server would have stored its objects: it knows no empty lists, where there is a limit and no
    /// request it has made one of the other, and a node that does not say what pods may use has all of it for them.
    pub fn as_stored(mut self) -> Case {
        self.objects.iter_mut().chain([&mut self.pod]).for_each(store);
        for node in self.objects.iter_mut().filter(|object| object["kind"] == "Node") {
            let states_none = node["status"]["allocatable"].as_object().is_none_or(Map::is_empty);
            if states_none && node["status"]["capacity"].is_object() {
                node["status"]["allocatable"] = node["status"]["capacity"].clone();
            }
        }
        self
    }

    /// The objects of a kind.
    pub fn objects_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }
}

fn store(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, child| key == "nodeSelectorTerms" || child.as_array().is_none_or(|list| !list.is_empty()));
            if let Some(limits) = map.get("limits").and_then(Value::as_object).cloned()
                && let Some(requests) = map.entry("requests").or_insert(json!({})).as_object_mut()
            {
                for (name, limit) in limits {
                    requests.entry(name).or_insert(limit);
                }
            }
            map.values_mut().for_each(store);
        }
        Value::Array(list) => list.iter_mut().for_each(store),
        _ => {}
    }
}

/// An answer in canonical form, so that equal verdicts are equal values.
///
/// Absent, null and empty say the same: an answer that names no scores has none. Reasons are a set, and so are the
/// nodes that PreFilter left.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(Value);

impl Answer {
    /// Brings an answer as a program wrote it into canonical form.
    pub fn new(mut raw: Value) -> Answer {
        // The case is known by its place; a shrunk case has its parent's id, and some other text may be there.
        if let Some(object) = raw.as_object_mut() {
            object.remove("id");
        }
        Answer(canonical(raw).unwrap_or_else(|| json!({})))
    }

    /// The answer of a program that gave none.
    pub fn failure(message: &str) -> Answer {
        Answer(json!({"error": message}))
    }

    /// The answer as a value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Why there is no verdict, if there is none.
    pub fn error(&self) -> Option<&str> {
        self.0["error"].as_str()
    }

    /// The verdicts on the nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Value)> {
        entries(&self.0["nodes"])
    }

    /// The scores, by the name of the node.
    pub fn scores(&self) -> impl Iterator<Item = (&str, &Value)> {
        entries(&self.0["scores"])
    }

    /// The nodes that passed all filters.
    pub fn feasible(&self) -> Vec<&str> {
        let feasible = self.nodes().filter(|(_, verdict)| verdict["ok"] == true);
        feasible.map(|(name, _)| name).collect()
    }

    /// The plugin that rejected the pod before any node was looked at, at `preenqueue`, `prefilter` or `scoring`.
    pub fn rejecting_plugin(&self, stage: &str) -> Option<&str> {
        self.0[stage]["plugin"].as_str()
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map: Option<&Map<String, Value>> = object.as_object();
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Without nulls, empty texts, empty lists and empty objects; lists sorted.
fn canonical(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Value::String(text)),
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().filter_map(canonical).collect();
            list.sort_by_key(Value::to_string);
            (!list.is_empty()).then_some(Value::Array(list))
        }
        Value::Object(map) => {
            let map: Map<_, _> = map
                .into_iter()
                .filter_map(|(key, value)| Some((key, canonical(value)?)))
                .collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_survives_its_own_json() {
        let case = Case {
            id: "1-2".into(),
            objects: vec![json!({"kind": "Node"})],
            pod: json!({"metadata": {"name": "p"}}),
            config: Some(json!({"profiles": []})),
        };
        assert_eq!(Case::from_json(&case.to_json()).unwrap(), case);
        let without = Case { config: None, ..case };
        assert_eq!(Case::from_json(&without.to_json()).unwrap(), without);
        assert!(Case::from_json(&json!({"id": "x", "objects": []})).is_err());
    }

    #[test]
    fn equal_verdicts_are_equal_whatever_they_leave_out() {
        let full = json!({"id": "a", "prefilter": null, "scores": {}, "error": "",
            "nodes": {"n": {"ok": false, "reasons": ["b", "a"], "stage": null}}});
        let terse = json!({"nodes": {"n": {"ok": false, "reasons": ["a", "b"]}}});
        assert_eq!(Answer::new(full), Answer::new(terse));
    }

    #[test]
    fn zero_is_a_score_and_false_a_verdict() {
        let zero = Answer::new(json!({"scores": {"n": {"total": 0}}}));
        assert_ne!(zero, Answer::new(json!({})));
        let rejected = Answer::new(json!({"nodes": {"n": {"ok": false}, "m": {"ok": true}}}));
        assert_eq!(rejected.feasible(), ["m"]);
    }
}
