//! Nodes.

use super::amounts::{ResourceMap, apply};
use super::intern::intern;
use super::json::{List, Str, Struct};
use super::path::Path;
use super::{Fault, brief, kube_object};
use muster_framework::Text;
use muster_framework::quantity::Quantity;
use muster_framework::record::{NodeImage, NodeRecord};
use muster_framework::resource::ResourceList;
use muster_framework::taint::{Taint, TaintEffect};
use serde::Deserialize;

kube_object! {
    /// `v1` Node.
    Node {
        #[serde(borrow)]
        spec: Struct<NodeSpec<'a>>,
        #[serde(borrow)]
        status: Struct<NodeStatus<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeSpec<'a> {
    unschedulable: Option<bool>,
    #[serde(borrow)]
    taints: List<Struct<TaintJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TaintJson<'a> {
    #[serde(borrow)]
    key: Str<'a>,
    #[serde(borrow)]
    value: Str<'a>,
    #[serde(borrow)]
    effect: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct NodeStatus<'a> {
    #[serde(borrow)]
    allocatable: Option<ResourceMap<'a>>,
    #[serde(borrow)]
    capacity: ResourceMap<'a>,
    #[serde(borrow)]
    images: List<Struct<ImageJson<'a>>>,
    #[serde(borrow)]
    declared_features: List<Str<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ImageJson<'a> {
    #[serde(borrow)]
    names: List<Str<'a>>,
    size_bytes: Option<i64>,
}

impl Node<'_> {
    pub(super) fn record(&self) -> Result<NodeRecord, Fault> {
        let (allocatable, allowed_pods) = self.status.allocatable()?;
        let taints = Path::Root("spec.taints");
        let taints = self
            .spec
            .taints
            .iter()
            .enumerate()
            .map(|(at, taint)| taint.read(taints.item(at)));
        Ok(NodeRecord {
            name: intern(&self.metadata.name),
            resource_version: self.metadata.version(),
            labels: self.metadata.labels(),
            taints: taints.collect::<Result<_, _>>()?,
            unschedulable: self.spec.unschedulable.unwrap_or(false),
            allocatable,
            allowed_pods,
            images: self.status.images.iter().map(|image| image.record()).collect(),
            declared_features: self.status.declared_features(),
        })
    }
}

impl ImageJson<'_> {
    fn record(&self) -> NodeImage {
        NodeImage {
            names: self.names.iter().map(|name| intern(name)).collect(),
            size: self.size_bytes.unwrap_or(0),
        }
    }
}

impl NodeStatus<'_> {
    fn declared_features(&self) -> Box<[Text]> {
        let mut features: Vec<Text> = self.declared_features.iter().map(|feature| intern(feature)).collect();
        features.sort();
        features.dedup();
        features.into()
    }

    /// Amounts, and pod slots. Without `allocatable` the capacity counts, as the API server defaults it.
    fn allocatable(&self) -> Result<(ResourceList, i64), Fault> {
        let (resources, path) = match &self.allocatable {
            Some(allocatable) => (allocatable, Path::Root("status.allocatable")),
            None => (&self.capacity, Path::Root("status.capacity")),
        };
        let mut amounts = ResourceList::default();
        let mut pods = 0;
        for (name, text) in resources.iter() {
            let quantity = Quantity::parse(text).map_err(|problem| Fault::new(path.field(name), problem))?;
            if **name == *"pods" {
                pods = quantity.value();
            } else {
                apply(&mut amounts, name, quantity);
            }
        }
        Ok((amounts, pods))
    }
}

impl TaintJson<'_> {
    fn read(&self, path: Path<'_>) -> Result<Taint, Fault> {
        let Some(effect) = taint_effect(&self.effect) else {
            let problem = format_args!("{:?} is not an effect of taints", brief(&self.effect));
            return Err(Fault::new(path.field("effect"), problem));
        };
        Ok(Taint {
            key: intern(&self.key),
            value: intern(&self.value),
            effect,
        })
    }
}

/// The effect of this name.
pub(super) fn taint_effect(name: &str) -> Option<TaintEffect> {
    match name {
        "NoSchedule" => Some(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Some(TaintEffect::PreferNoSchedule),
        "NoExecute" => Some(TaintEffect::NoExecute),
        _ => None,
    }
}
