//! What a pod says about where it may run: tolerations, affinity, spreading.

use super::brief;
use super::intern::intern;
use super::json::{List, Str, Struct};
use super::node::taint_effect;
use super::path::{Path, Problems};
use super::selector::{LabelSelectorJson, NodeSelectorTermJson};
use muster_framework::Text;
use muster_framework::record::{NamespaceScope, PodAffinityTerm};
use muster_framework::selector::{NodeSelectorTerm, PreferredTerm};
use muster_framework::taint::{Toleration, TolerationOperator};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// An entry of `spec.tolerations`. How long `NoExecute` is tolerated is no matter of scheduling.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TolerationJson<'a> {
    #[serde(borrow)]
    key: Str<'a>,
    #[serde(borrow)]
    operator: Str<'a>,
    #[serde(borrow)]
    value: Str<'a>,
    #[serde(borrow)]
    effect: Str<'a>,
}

/// `spec.affinity`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Affinity<'a> {
    #[serde(borrow)]
    node_affinity: Struct<NodeAffinity<'a>>,
    pod_affinity: Struct<PodAffinity>,
    #[serde(borrow)]
    pod_anti_affinity: Struct<PodAntiAffinity<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinity<'a> {
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<Struct<NodeSelectorJson<'a>>>,
    #[serde(borrow, rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<Struct<PreferredTermJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct NodeSelectorJson<'a> {
    #[serde(borrow)]
    node_selector_terms: List<Struct<NodeSelectorTermJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PreferredTermJson<'a> {
    weight: Option<i64>,
    #[serde(borrow)]
    preference: Struct<NodeSelectorTermJson<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: List<Skipped>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<Skipped>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodAntiAffinity<'a> {
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: List<Struct<PodAffinityTermJson<'a>>>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<Skipped>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodAffinityTermJson<'a> {
    #[serde(borrow)]
    label_selector: Option<Struct<LabelSelectorJson<'a>>>,
    #[serde(borrow)]
    namespaces: List<Str<'a>>,
    #[serde(borrow)]
    namespace_selector: Option<Struct<LabelSelectorJson<'a>>>,
    #[serde(borrow)]
    topology_key: Str<'a>,
}

/// An item that is only counted.
#[derive(Default)]
pub(super) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Skipped, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Skipped)
    }
}

impl TolerationJson<'_> {
    /// The toleration, or None after a problem was noted.
    /// Source of what is allowed: `k8s.io/kubernetes/pkg/apis/core/validation.ValidateTolerations`.
    pub(super) fn read(&self, path: Path<'_>, problems: &Problems) -> Option<Toleration> {
        let operator = match &*self.operator {
            "" | "Equal" => TolerationOperator::Equal,
            "Exists" => TolerationOperator::Exists,
            other @ ("Lt" | "Gt") => {
                problems.add(path.field("operator"), format_args!("{other} is not supported yet"));
                return None;
            }
            other => {
                let problem = format_args!("{:?} is not an operator of tolerations", brief(other));
                problems.add(path.field("operator"), problem);
                return None;
            }
        };
        let effect = taint_effect(&self.effect);
        if effect.is_none() && !self.effect.is_empty() {
            problems.add(
                path.field("effect"),
                format_args!("{:?} is not an effect of taints", brief(&self.effect)),
            );
            return None;
        }
        match operator {
            TolerationOperator::Equal if self.key.is_empty() => {
                problems.add(path.field("operator"), "must be Exists when the key is empty");
                None
            }
            TolerationOperator::Exists if !self.value.is_empty() => {
                problems.add(path.field("value"), "must be empty when the operator is Exists");
                None
            }
            _ => Some(Toleration {
                key: intern(&self.key),
                operator,
                value: intern(&self.value),
                effect,
            }),
        }
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

impl Affinity<'_> {
    const PATH: Path<'static> = Path::Root("spec.affinity");

    /// The terms of the required node affinity; None when nothing is required.
    pub(super) fn required_nodes(&self, problems: &Problems) -> Option<Box<[NodeSelectorTerm]>> {
        let selector = self.node_affinity.required.as_ref()?;
        let path = Self::PATH.field("nodeAffinity");
        let path = path.field(REQUIRED);
        let path = path.field("nodeSelectorTerms");
        let terms = selector.node_selector_terms.iter().enumerate();
        Some(
            terms
                .filter_map(|(at, term)| term.read(path.item(at), problems))
                .collect(),
        )
    }

    /// The preferred node affinity.
    pub(super) fn preferred_nodes(&self, problems: &Problems) -> Box<[PreferredTerm]> {
        let path = Self::PATH.field("nodeAffinity");
        let path = path.field(PREFERRED);
        let terms = self.node_affinity.preferred.iter().enumerate();
        terms
            .filter_map(|(at, term)| term.read(path.item(at), problems))
            .collect()
    }

    /// The required anti-affinity: it bars other pods once this one runs, even if Muster could not have placed this one.
    pub(super) fn anti_affinity(&self, namespace: &Text, problems: &Problems) -> Box<[PodAffinityTerm]> {
        let path = Self::PATH.field("podAntiAffinity");
        let path = path.field(REQUIRED);
        let terms = self.pod_anti_affinity.required.iter().enumerate();
        terms
            .filter_map(|(at, term)| term.read(path.item(at), namespace, problems))
            .collect()
    }

    /// Notes what relates the pod to other pods: Muster cannot honour it yet.
    pub(super) fn note_unsupported(&self, problems: &Problems) {
        for (parent, list, len, problem) in [
            (
                "podAffinity",
                REQUIRED,
                self.pod_affinity.required.len(),
                "pod affinity is not supported yet",
            ),
            (
                "podAffinity",
                PREFERRED,
                self.pod_affinity.preferred.len(),
                "pod affinity is not supported yet",
            ),
            (
                "podAntiAffinity",
                REQUIRED,
                self.pod_anti_affinity.required.len(),
                "pod anti-affinity is not supported yet",
            ),
            (
                "podAntiAffinity",
                PREFERRED,
                self.pod_anti_affinity.preferred.len(),
                "pod anti-affinity is not supported yet",
            ),
        ] {
            if len > 0 {
                problems.add(Self::PATH.field(parent).field(list), problem);
            }
        }
    }
}

impl PreferredTermJson<'_> {
    fn read(&self, path: Path<'_>, problems: &Problems) -> Option<PreferredTerm> {
        let weight = self.weight.unwrap_or(0);
        let in_range = i32::try_from(weight).ok().filter(|weight| (1..=100).contains(weight));
        if in_range.is_none() {
            problems.add(path.field("weight"), format_args!("{weight} is not between 1 and 100"));
        }
        let term = self.preference.read(path.field("preference"), problems)?;
        Some(PreferredTerm {
            weight: in_range?,
            term,
        })
    }
}

impl PodAffinityTermJson<'_> {
    /// The term, or None after a problem was noted. The API server has merged `matchLabelKeys` into the selector.
    fn read(&self, path: Path<'_>, namespace: &Text, problems: &Problems) -> Option<PodAffinityTerm> {
        if self.topology_key.is_empty() {
            problems.add(path.field("topologyKey"), "is empty");
            return None;
        }
        // Not `?` at once: a selector that is absent is something else than one that cannot be read.
        let selector = self
            .label_selector
            .as_ref()
            .map(|s| s.read(path.field("labelSelector"), problems));
        let among = self
            .namespace_selector
            .as_ref()
            .map(|s| s.read(path.field("namespaceSelector"), problems));
        if matches!(selector, Some(None)) || matches!(among, Some(None)) {
            return None;
        }
        let mut names: Vec<Text> = self.namespaces.iter().map(|name| intern(name)).collect();
        if names.is_empty() && self.namespace_selector.is_none() {
            names.push(namespace.clone());
        }
        names.sort();
        names.dedup();
        Some(PodAffinityTerm {
            selector: selector.flatten(),
            namespaces: NamespaceScope {
                names: names.into(),
                selector: among.flatten(),
            },
            topology_key: intern(&self.topology_key),
        })
    }
}
