//! Nodes without machines: what a test says of one, and the Node object that comes of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The zones that [`SimulatedNode::fleet`] deals its nodes out to.
const N_ZONES: usize = 3;

/// A node that kwok plays the kubelet of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedNode {
    /// Its name, which is its hostname too.
    pub name: String,
    /// CPU to give away, such as `4` or `500m`.
    pub cpu: String,
    /// Memory to give away, such as `16Gi`.
    pub memory: String,
    /// The number of pods it takes.
    pub pods: u32,
    /// Labels besides (and instead of) those each node has.
    pub labels: BTreeMap<String, String>,
    /// Other resources to give away, such as `example.com/gpu`.
    pub resources: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether new pods are kept away from it, as `kubectl cordon` does.
    pub unschedulable: bool,
    /// The port of this machine at which somebody serves what a kubelet serves.
    pub kubelet: Option<u16>,
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value, often empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl SimulatedNode {
    /// A node of 4 CPU, 16 GiB of memory and 110 pods.
    pub fn new(name: impl Into<String>) -> SimulatedNode {
        SimulatedNode {
            name: name.into(),
            cpu: "4".to_owned(),
            memory: "16Gi".to_owned(),
            pods: 110,
            labels: BTreeMap::new(),
            resources: BTreeMap::new(),
            taints: Vec::new(),
            unschedulable: false,
            kubelet: None,
        }
    }

    /// As many such nodes, called `node-0`, `node-1` and so on, dealt out to three zones.
    pub fn fleet(n_nodes: usize) -> Vec<SimulatedNode> {
        (0..n_nodes)
            .map(|i| SimulatedNode::new(format!("node-{i}")).zone(&format!("zone-{}", i % N_ZONES)))
            .collect()
    }

    /// The same with another amount of CPU.
    #[must_use]
    pub fn cpu(mut self, cpu: &str) -> SimulatedNode {
        cpu.clone_into(&mut self.cpu);
        self
    }

    /// The same with another amount of memory.
    #[must_use]
    pub fn memory(mut self, memory: &str) -> SimulatedNode {
        memory.clone_into(&mut self.memory);
        self
    }

    /// The same with room for another number of pods.
    #[must_use]
    pub fn pods(mut self, pods: u32) -> SimulatedNode {
        self.pods = pods;
        self
    }

    /// The same in a zone.
    #[must_use]
    pub fn zone(self, zone: &str) -> SimulatedNode {
        self.label("topology.kubernetes.io/zone", zone)
    }

    /// The same with a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> SimulatedNode {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with some of another resource.
    #[must_use]
    pub fn resource(mut self, name: &str, amount: &str) -> SimulatedNode {
        self.resources.insert(name.to_owned(), amount.to_owned());
        self
    }

    /// The same with a taint.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> SimulatedNode {
        self.taints.push(Taint {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        });
        self
    }

    /// The same with a kubelet's server at this port of this machine.
    #[must_use]
    pub fn kubelet(mut self, port: u16) -> SimulatedNode {
        self.kubelet = Some(port);
        self
    }

    /// The Node object, with the status that the API server keeps when a node is posted with one.
    pub fn object(&self) -> Value {
        let mut labels = BTreeMap::from([
            ("kubernetes.io/hostname".to_owned(), self.name.clone()),
            ("kubernetes.io/os".to_owned(), "linux".to_owned()),
            ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
        ]);
        labels.extend(self.labels.clone());
        let taints: Vec<_> = self
            .taints
            .iter()
            .map(|t| json!({ "key": t.key, "value": t.value, "effect": t.effect }))
            .collect();
        let mut spec = Map::new();
        if !taints.is_empty() {
            spec.insert("taints".to_owned(), taints.into());
        }
        if self.unschedulable {
            spec.insert("unschedulable".to_owned(), true.into());
        }
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": labels,
                "annotations": { "kwok.x-k8s.io/node": "fake" },
            },
            "spec": spec,
            "status": self.status(),
        })
    }

    fn status(&self) -> Value {
        let mut resources = self.resources.clone();
        resources.insert("cpu".to_owned(), self.cpu.clone());
        resources.insert("memory".to_owned(), self.memory.clone());
        resources.insert("pods".to_owned(), self.pods.to_string());
        // The API server would ask for the address of a hostname first, which nobody knows.
        let address = match self.kubelet {
            Some(_) => json!({ "type": "InternalIP", "address": "127.0.0.1" }),
            None => json!({ "type": "Hostname", "address": self.name }),
        };
        json!({
            "allocatable": resources,
            "capacity": resources,
            "phase": "Running",
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "simulated",
                // Any time will do: nobody waits for the next heartbeat of a simulated node.
                "lastHeartbeatTime": "2025-01-01T00:00:00Z",
                "lastTransitionTime": "2025-01-01T00:00:00Z",
            }],
            "addresses": [address],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": self.kubelet.unwrap_or_default() } },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_dealt_out_to_the_zones() {
        let zones: Vec<_> = SimulatedNode::fleet(4)
            .iter()
            .map(|n| n.labels["topology.kubernetes.io/zone"].clone())
            .collect();
        assert_eq!(zones, ["zone-0", "zone-1", "zone-2", "zone-0"]);
    }

    #[test]
    fn a_special_node_says_what_is_special() {
        let node = SimulatedNode::new("gpu-0")
            .cpu("64")
            .memory("512Gi")
            .pods(8)
            .resource("example.com/gpu", "8")
            .label("kubernetes.io/hostname", "other")
            .taint("dedicated", "gpu", "NoSchedule")
            .object();
        let expected = json!({"cpu": "64", "memory": "512Gi", "pods": "8", "example.com/gpu": "8"});
        assert_eq!(node["status"]["allocatable"], expected);
        assert_eq!(node["status"]["capacity"], expected);
        assert_eq!(
            node["spec"]["taints"],
            json!([{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}])
        );
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "other");
    }

    #[test]
    fn a_kubelet_is_found_by_its_address_and_port() {
        let node = SimulatedNode::new("n").kubelet(4000).object();
        assert_eq!(
            node["status"]["addresses"],
            json!([{"type": "InternalIP", "address": "127.0.0.1"}])
        );
        assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 4000);
    }
}
