//! What selects Muster's pods finds them, and them alone. Nobody else says so: a budget or a network policy whose selector
//! finds nothing is accepted like any other, and protects nobody; a ServiceMonitor, which finds them by their Service, has
//! nothing read.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifest::text;

/// The kinds of objects that select the pods, or their Service.
const KINDS: [&str; 5] = [
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceMonitor",
];

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
    if !are_among(&pods.selector["matchLabels"], pods.labels) {
        problems.push(format!("the Deployment makes pods with {}", pods.labels));
    }
    let of_kind = |kind| objects.iter().filter(move |object| object["kind"] == kind);
    for kind in KINDS {
        let of_kind: Vec<&Value> = of_kind(kind).collect();
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
    for service in of_kind("Service") {
        for monitor in of_kind("ServiceMonitor") {
            let name = text(monitor, "/metadata/name")?;
            let unmet = unmet(monitor, service).into_iter();
            problems.extend(unmet.map(|problem| format!("ServiceMonitor {name}: {problem}")));
        }
    }
    Ok(problems)
}

/// What a ServiceMonitor asks for that the Service has not.
fn unmet(monitor: &Value, service: &Value) -> Vec<String> {
    let mut unmet = Vec::new();
    let labels = &service["metadata"]["labels"];
    let wanted = &monitor["spec"]["selector"]["matchLabels"];
    if !are_among(wanted, labels) {
        unmet.push(format!(
            "/spec/selector/matchLabels is {wanted}, and the Service has the labels {labels}"
        ));
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let ports: Vec<Value> = list(&service["spec"]["ports"])
        .iter()
        .map(|port| port["name"].clone())
        .collect();
    let endpoints = list(&monitor["spec"]["endpoints"]);
    if endpoints.is_empty() {
        unmet.push("/spec/endpoints is empty".to_owned());
    }
    for (n, endpoint) in endpoints.iter().enumerate() {
        let port = &endpoint["port"];
        if !ports.contains(port) {
            let ports = Value::from(ports.clone());
            unmet.push(format!(
                "/spec/endpoints/{n}/port is {port}, and the Service has the ports {ports}"
            ));
        }
    }
    unmet
}

/// Whether an object has all these labels; there has to be one, or everything had them.
fn are_among(wanted: &Value, labels: &Value) -> bool {
    let wanted = wanted.as_object();
    wanted.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
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
            // It looks for the Service in its own namespace.
            "ServiceMonitor" => vec![namespace, at("/spec/namespaceSelector", &Value::Null)],
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

    /// The one file, and what it leaves to those who want it.
    fn whole() -> Vec<Value> {
        let mut objects = one_file().unwrap();
        for file in ["networkpolicy/network-policy.yaml", "prometheus/service-monitor.yaml"] {
            let path = workspace_root().join("deploy/kustomize/components").join(file);
            objects.extend(manifest::parse(&std::fs::read_to_string(path).unwrap()).unwrap());
        }
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
            ("ServiceMonitor", "/metadata/namespace", json!("monitoring")),
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
    fn a_service_monitor_that_finds_nothing_is_named_with_what_the_service_has() {
        let service = json!({
            "metadata": { "labels": { "app": "muster", "team": "a" } },
            "spec": { "ports": [{ "name": "https" }] },
        });
        let problems = |labels: Value, endpoints: Value| {
            let selector = json!({ "matchLabels": labels });
            unmet(
                &json!({ "spec": { "selector": selector, "endpoints": endpoints } }),
                &service,
            )
        };
        let endpoints = json!([{ "port": "https" }]);
        assert_eq!(
            problems(json!({ "app": "muster" }), endpoints.clone()),
            Vec::<String>::new()
        );
        for labels in [
            json!({ "app": "other" }),
            json!({ "app": "muster", "b": "c" }),
            json!({}),
            Value::Null,
        ] {
            let complaint = format!(
                "/spec/selector/matchLabels is {labels}, and the Service has the labels {}",
                service["metadata"]["labels"]
            );
            assert_eq!(problems(labels, endpoints.clone()), [complaint]);
        }
        for (endpoints, complaint) in [
            (
                json!([{ "port": "https" }, { "port": "metrics" }]),
                r#"/spec/endpoints/1/port is "metrics", and the Service has the ports ["https"]"#,
            ),
            (
                json!([{ "targetPort": "https" }]),
                r#"/spec/endpoints/0/port is null, and the Service has the ports ["https"]"#,
            ),
            (json!([]), "/spec/endpoints is empty"),
        ] {
            assert_eq!(problems(json!({ "app": "muster" }), endpoints), [complaint]);
        }
    }

    #[test]
    fn what_is_left_out_and_pods_with_other_labels_are_named() {
        let whole = whole();
        for kind in ["NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceMonitor"] {
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
