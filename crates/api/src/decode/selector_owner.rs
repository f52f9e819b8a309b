//! Services, replication controllers, replica sets and stateful sets: whose selectors tell which pods belong together.

use super::json::{Map, Str, Struct};
use super::metadata::OwnerReference;
use super::path::{Path, Problems};
use super::selector::{LabelSelectorJson, selector_of_map};
use super::{Fault, kube_object};
use crate::paths::api_version_kind;
use muster_framework::Text;
use muster_framework::record::{ControllerRef, Kind, SelectorOwnerRecord};
use muster_framework::selector::LabelSelector;
use serde::Deserialize;

kube_object! {
    /// `v1` Service or ReplicationController: the selector is a map.
    MapSelectorOwner {
        #[serde(borrow)]
        spec: Struct<MapSelectorSpec<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MapSelectorSpec<'a> {
    #[serde(borrow)]
    selector: Option<Map<'a, Str<'a>>>,
}

kube_object! {
    /// `apps/v1` ReplicaSet or StatefulSet.
    LabelSelectorOwner {
        #[serde(borrow)]
        spec: Struct<LabelSelectorSpec<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LabelSelectorSpec<'a> {
    #[serde(borrow)]
    selector: Option<Struct<LabelSelectorJson<'a>>>,
}

impl MapSelectorOwner<'_> {
    /// A selector that is absent selects nothing; an empty one everything, which says nothing about any pod.
    /// Source: `GetPodServices` and `DefaultSelector` of `pkg/scheduler/framework/plugins/helper`.
    pub(super) fn record(&self, kind: Kind) -> Result<SelectorOwnerRecord, Fault> {
        Ok(record(
            kind,
            &self.metadata,
            self.spec.selector.as_ref().map(selector_of_map),
        ))
    }
}

impl LabelSelectorOwner<'_> {
    /// A selector that cannot be read is as good as none. Source: `DefaultSelector`, as above.
    pub(super) fn record(&self, kind: Kind) -> Result<SelectorOwnerRecord, Fault> {
        let selector = self.spec.selector.as_ref();
        let selector = selector.and_then(|s| s.read(Path::Root("spec.selector"), &Problems::default()));
        Ok(record(kind, &self.metadata, selector))
    }
}

fn record(kind: Kind, metadata: &super::Metadata<'_>, selector: Option<LabelSelector>) -> SelectorOwnerRecord {
    SelectorOwnerRecord {
        kind,
        namespace: metadata.namespace(),
        name: Text::from(&*metadata.name),
        resource_version: metadata.version(),
        selector,
    }
}

/// The controller of a pod, if it is of a kind whose selector counts: group, version and kind decide.
/// Source: `DefaultSelector`.
pub(super) fn controller_ref(owner: &OwnerReference<'_>) -> Option<ControllerRef> {
    const KINDS: [Kind; 3] = [Kind::ReplicationController, Kind::ReplicaSet, Kind::StatefulSet];
    let kind = KINDS
        .into_iter()
        .find(|kind| api_version_kind(*kind) == (&*owner.api_version, &*owner.kind))?;
    Some(ControllerRef {
        kind,
        name: super::intern::intern(&owner.name),
    })
}
