//! What selects Muster's pods finds them, and them alone. Nobody else says so: a budget or a network policy whose selector
//! finds nothing is accepted like any other, and protects nobody.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifest::text;

/// The kinds of objects that select the pods.
const KINDS: [&str; 4] = ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"];

/// The pods as the Deployment makes them.
struct Pods<'a> {
    namespace: &'a Value,
    /// By which the Deployment itself knows them.
    selector: &'a Value,
    labels: &'a Value,
    /// The name of their port.
    port: &'a Value,
}

/// A line for each thing that is wrong in a rendering that has all of these kinds.
pub(super) fn problems(objects: &[Value]) -> Result<Vec<String>> {
    let pods = Pods::of(objects)?;
    let mut problems = Vec::new();
    if !pods.are_selected() {
        problems.push(format!("the Deployment makes pods with {}", pods.labels));
    }
    for kind in KINDS {
        let of_kind: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
        if of_kind.is_empty() {
            problems.push(format!("there is no {kind}"));
        }
        for object in of_kind {
            let name = text(object, "/metadata/name")?;
            for (place, wanted) in pods.expected(kind) {
                let found = object.pointer(place).unwrap_or(&Value::Null);
                if *found != wanted {
                    problems.push(format!("{kind} {name}: {place} is {found} and not {wanted}"));
                }
            }
        }
    }
    Ok(problems)
}

impl<'a> Pods<'a> {
    fn of(objects: &'a [Value]) -> Result<Pods<'a>> {
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
        let deployment = deployment.context("there is no Deployment")?;
        let template = &deployment["spec"]["template"];
        Ok(Pods {
            namespace: &deployment["metadata"]["namespace"],
            selector: &deployment["spec"]["selector"],
            labels: &template["metadata"]["labels"],
            port: &template["spec"]["containers"][0]["ports"][0]["name"],
        })
    }

    /// Whether they have the labels that the Deployment selects them by; there has to be one.
    fn are_selected(&self) -> bool {
        let wanted = self.selector["matchLabels"].as_object();
        wanted.is_some_and(|wanted| {
            !wanted.is_empty() && wanted.iter().all(|(key, value)| self.labels.get(key) == Some(value))
        })
    }

    /// What an object of a kind has to say of them, and where.
    fn expected(&self, kind: &str) -> Vec<(&'static str, Value)> {
        let at = |place: &'static str, wanted: &Value| (place, wanted.clone());
        let namespace = at("/metadata/namespace", self.namespace);
        let ports = json!([{ "protocol": "TCP", "port": self.port }]);
        match kind {
            "Deployment" => vec![
                at(
                    "/spec/template/spec/topologySpreadConstraints/0/labelSelector",
                    self.selector,
                ),
                at(
                    "/spec/template/spec/topologySpreadConstraints/1/labelSelector",
                    self.selector,
                ),
            ],
            "NetworkPolicy" => vec![
                namespace,
                at("/spec/podSelector", self.selector),
                // With Egress there, Muster would reach nothing: no rule says what it may.
                at("/spec/policyTypes", &json!(["Ingress"])),
                at("/spec/ingress/0/ports", &ports),
                // Standbys ask the leader, whoever else may.
                at("/spec/ingress/1/from", &json!([{ "podSelector": self.selector }])),
                at("/spec/ingress/1/ports", &ports),
            ],
            "PodDisruptionBudget" => vec![namespace, at("/spec/selector", self.selector)],
            "Service" => vec![
                namespace,
                at("/spec/selector", &self.selector["matchLabels"]),
                at("/spec/ports/0/targetPort", self.port),
            ],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::one_file;
    use crate::manifest;
    use crate::steps::workspace_root;

    /// The one file, and the network policy that it leaves to those who want one.
    fn whole() -> Vec<Value> {
        let mut objects = one_file().unwrap();
        let policy = workspace_root().join("deploy/kustomize/components/networkpolicy/network-policy.yaml");
        objects.extend(manifest::parse(&std::fs::read_to_string(policy).unwrap()).unwrap());
        objects
    }

    #[test]
    fn whatever_selects_others_is_named_with_its_place() {
        let whole = whole();
        assert_eq!(problems(&whole).unwrap(), Vec::<String>::new());
        let other = json!({ "matchLabels": { "app": "other" } });
        for (kind, place, value) in [
            ("NetworkPolicy", "/metadata/namespace", json!("default")),
            ("NetworkPolicy", "/spec/podSelector", json!({})),
            ("NetworkPolicy", "/spec/podSelector", other.clone()),
            ("NetworkPolicy", "/spec/policyTypes", json!(["Ingress", "Egress"])),
            ("NetworkPolicy", "/spec/policyTypes", json!(["Egress"])),
            ("NetworkPolicy", "/spec/ingress/0/ports", Value::Null),
            ("NetworkPolicy", "/spec/ingress/1/from", json!([])),
            ("NetworkPolicy", "/spec/ingress/1/ports", json!([{ "port": 80 }])),
            ("PodDisruptionBudget", "/metadata/namespace", json!("default")),
            ("PodDisruptionBudget", "/spec/selector", json!({})),
            ("PodDisruptionBudget", "/spec/selector", other.clone()),
            ("Service", "/spec/selector", json!({ "app": "other" })),
            ("Service", "/spec/ports/0/targetPort", json!("metrics")),
            (
                "Deployment",
                "/spec/template/spec/topologySpreadConstraints/1/labelSelector",
                other.clone(),
            ),
        ] {
            let mut broken = whole.clone();
            let object = broken.iter_mut().find(|object| object["kind"] == kind).unwrap();
            let found = object.pointer_mut(place).unwrap();
            let wanted = std::mem::replace(found, value.clone());
            let complaint = format!("{kind} muster: {place} is {value} and not {wanted}");
            assert_eq!(problems(&broken).unwrap(), [complaint]);
        }
    }

    #[test]
    fn what_is_left_out_and_pods_with_other_labels_are_named() {
        let whole = whole();
        for kind in ["NetworkPolicy", "PodDisruptionBudget", "Service"] {
            let mut broken = whole.clone();
            broken.retain(|object| object["kind"] != kind);
            assert_eq!(problems(&broken).unwrap(), [format!("there is no {kind}")]);
        }
        let mut broken = whole.clone();
        broken.retain(|object| object["kind"] != "Deployment");
        assert!(problems(&broken).is_err());

        for labels in [json!({ "app": "other" }), Value::Null] {
            let mut broken = whole.clone();
            let deployment = broken.iter_mut().find(|object| object["kind"] == "Deployment").unwrap();
            deployment["spec"]["template"]["metadata"]["labels"] = labels.clone();
            let complaint = format!("the Deployment makes pods with {labels}");
            assert_eq!(problems(&broken).unwrap(), [complaint]);
        }
    }
}
