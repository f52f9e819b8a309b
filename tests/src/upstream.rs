//! Upstream's own filters, asked about the pods of a test.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use muster_oracle::program::Program;
use muster_oracle::{Answer, Case};
use muster_xtask::KubeMinor;
use muster_xtask::binaries::ensure_oracle;
use serde_json::Value;

/// The oracle of a minor, and what it is told of a cluster.
pub struct Upstream {
    oracle: Program,
    objects: Vec<Value>,
    rejecting: BTreeSet<String>,
}

impl Upstream {
    /// Builds the oracle if need be, which takes Go.
    pub fn new(kube: KubeMinor) -> Result<Upstream> {
        Ok(Upstream {
            oracle: Program::new(&ensure_oracle(kube)?, &[]),
            objects: Vec::new(),
            rejecting: BTreeSet::new(),
        })
    }

    /// Tells it of objects that are no pods.
    pub fn tell(&mut self, objects: Vec<Value>) {
        self.objects.extend(objects);
    }

    /// What upstream says of a pod when these pods are on their nodes. Where the pod itself is does not matter.
    pub fn verdict(&mut self, placed: &[Value], pod: &Value) -> Result<Answer> {
        let mut asked = pod.clone();
        if let Some(spec) = asked["spec"].as_object_mut() {
            spec.remove("nodeName");
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let case = Case {
            id: name.to_owned(),
            objects: self.objects.iter().chain(placed).cloned().collect(),
            pod: asked,
            config: None,
        };
        let answer = self.oracle.ask(&case)?;
        if let Some(error) = answer.error() {
            bail!("upstream refuses to judge the pod {name}: {error}");
        }
        let plugins = answer.nodes().filter_map(|(_, verdict)| verdict["plugin"].as_str());
        self.rejecting.extend(plugins.map(str::to_owned));
        Ok(answer)
    }

    /// Whether upstream would let a pod run where it does, when these pods are on their nodes.
    pub fn accepts(&mut self, placed: &[Value], bound: &Value) -> Result<bool> {
        let answer = self.verdict(placed, bound)?;
        Ok(answer.feasible().iter().any(|node| bound["spec"]["nodeName"] == *node))
    }

    /// The plugins that have rejected a node so far.
    pub fn rejecting_plugins(&self) -> &BTreeSet<String> {
        &self.rejecting
    }
}

/// Without what only its history is told by: such things are long, and a scheduler does not look at them.
#[must_use]
pub fn bare(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    if object["kind"] == "Pod"
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    object
}
