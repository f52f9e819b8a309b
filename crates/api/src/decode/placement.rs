//! What a pod says about where it may run: tolerations, affinity to nodes and to other pods, spreading.

use super::brief;
use super::intern::intern;
use super::json::{List, Str, Struct};
use super::names::is_label_key;
use super::node::taint_effect;
use super::path::{Path, Problems};
use super::selector::{LabelSelectorJson, NodeSelectorJson, NodeSelectorTermJson, equality};
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::record::{
    NamespaceScope, PodAffinityTerm, SpreadConstraint, WeightedPodAffinityTerm, WhenUnsatisfiable,
};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, PreferredTerm};
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
    #[serde(borrow)]
    pod_affinity: Struct<PodAffinity<'a>>,
    #[serde(borrow)]
    pod_anti_affinity: Struct<PodAffinity<'a>>,
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
#[serde(default)]
struct PreferredTermJson<'a> {
    weight: Option<i64>,
    #[serde(borrow)]
    preference: Struct<NodeSelectorTermJson<'a>>,
}

/// Of either sign.
#[derive(Deserialize, Default)]
#[serde(default)]
struct PodAffinity<'a> {
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: List<Struct<PodAffinityTermJson<'a>>>,
    #[serde(borrow, rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<Struct<WeightedTermJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WeightedTermJson<'a> {
    weight: Option<i64>,
    #[serde(borrow)]
    pod_affinity_term: Struct<PodAffinityTermJson<'a>>,
}

/// A term. Its `matchLabelKeys` and `mismatchLabelKeys` are not read: the API server joins their values to the selector
/// when the pod is made, and the scheduler reads nothing but the selector.
/// Source: `applyMatchLabelKeysAndMismatchLabelKeys` of the API server, `newAffinityTerm` of kube-scheduler.
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

/// An entry of `spec.topologySpreadConstraints`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SpreadConstraintJson<'a> {
    max_skew: Option<i64>,
    #[serde(borrow)]
    topology_key: Str<'a>,
    #[serde(borrow)]
    when_unsatisfiable: Str<'a>,
    #[serde(borrow)]
    label_selector: Option<Struct<LabelSelectorJson<'a>>>,
    min_domains: Option<i64>,
    #[serde(borrow)]
    node_affinity_policy: Option<Str<'a>>,
    #[serde(borrow)]
    node_taints_policy: Option<Str<'a>>,
    #[serde(borrow)]
    match_label_keys: List<Str<'a>>,
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

    /// The required affinity.
    pub(super) fn required_pods(&self, namespace: &Text, problems: &Problems) -> Box<[PodAffinityTerm]> {
        let path = Self::PATH.field("podAffinity");
        self.pod_affinity.required(path, namespace, problems)
    }

    /// The required anti-affinity: it bars other pods once this one runs, even if Muster could not have placed this one.
    pub(super) fn required_without_pods(&self, namespace: &Text, problems: &Problems) -> Box<[PodAffinityTerm]> {
        let path = Self::PATH.field("podAntiAffinity");
        self.pod_anti_affinity.required(path, namespace, problems)
    }

    /// The preferred affinity.
    pub(super) fn preferred_pods(&self, namespace: &Text, problems: &Problems) -> Box<[WeightedPodAffinityTerm]> {
        let path = Self::PATH.field("podAffinity");
        self.pod_affinity.preferred(path, namespace, problems)
    }

    /// The preferred anti-affinity.
    pub(super) fn preferred_without_pods(
        &self,
        namespace: &Text,
        problems: &Problems,
    ) -> Box<[WeightedPodAffinityTerm]> {
        let path = Self::PATH.field("podAntiAffinity");
        self.pod_anti_affinity.preferred(path, namespace, problems)
    }
}

impl PodAffinity<'_> {
    /// All required terms. As upstream, none where one cannot be read: a pod that waits for it says so, and of a pod that
    /// runs already the list is as good as not there. Source: `framework.GetAffinityTerms`.
    fn required(&self, path: Path<'_>, namespace: &Text, problems: &Problems) -> Box<[PodAffinityTerm]> {
        let path = path.field(REQUIRED);
        let terms = self.required.iter().enumerate();
        all_or_none(terms.map(|(at, term)| term.read(path.item(at), namespace, problems)))
    }

    /// All preferred terms, likewise. Source: `framework.GetWeightedAffinityTerms`.
    fn preferred(&self, path: Path<'_>, namespace: &Text, problems: &Problems) -> Box<[WeightedPodAffinityTerm]> {
        let path = path.field(PREFERRED);
        let terms = self.preferred.iter().enumerate();
        all_or_none(terms.map(|(at, term)| term.read(path.item(at), namespace, problems)))
    }
}

/// Reads to the end, so that every problem is noted.
fn all_or_none<T>(items: impl Iterator<Item = Option<T>>) -> Box<[T]> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect::<Option<_>>().unwrap_or_default()
}

/// The weight of a preference, or None after a problem was noted.
/// Source: `k8s.io/kubernetes/pkg/apis/core/validation.validateWeightedPodAffinityTerms`.
fn weight(weight: Option<i64>, path: Path<'_>, problems: &Problems) -> Option<i32> {
    let weight = weight.unwrap_or(0);
    let in_range = i32::try_from(weight).ok().filter(|weight| (1..=100).contains(weight));
    if in_range.is_none() {
        problems.add(path.field("weight"), format_args!("{weight} is not between 1 and 100"));
    }
    in_range
}

impl WeightedTermJson<'_> {
    fn read(&self, path: Path<'_>, namespace: &Text, problems: &Problems) -> Option<WeightedPodAffinityTerm> {
        let weight = weight(self.weight, path, problems);
        let term = self
            .pod_affinity_term
            .read(path.field("podAffinityTerm"), namespace, problems);
        Some(WeightedPodAffinityTerm {
            weight: weight?,
            term: term?,
        })
    }
}

impl PreferredTermJson<'_> {
    fn read(&self, path: Path<'_>, problems: &Problems) -> Option<PreferredTerm> {
        let weight = weight(self.weight, path, problems);
        let term = self.preference.read(path.field("preference"), problems);
        Some(PreferredTerm {
            weight: weight?,
            term: term?,
        })
    }
}

impl PodAffinityTermJson<'_> {
    /// The term, or None after a problem was noted. Without namespaces and without a selector of namespaces, even an empty
    /// one, it speaks of the pod's own. Source: `getNamespacesFromPodAffinityTerm`.
    fn read(&self, path: Path<'_>, namespace: &Text, problems: &Problems) -> Option<PodAffinityTerm> {
        let topology_key = topology_key(&self.topology_key, path, problems);
        let pods = selector(self.label_selector.as_ref(), path.field("labelSelector"), problems);
        let among = selector(
            self.namespace_selector.as_ref(),
            path.field("namespaceSelector"),
            problems,
        );
        let mut names: Vec<Text> = self.namespaces.iter().map(|name| intern(name)).collect();
        if names.is_empty() && self.namespace_selector.is_none() {
            names.push(namespace.clone());
        }
        names.sort();
        names.dedup();
        Some(PodAffinityTerm {
            selector: pods?,
            namespaces: NamespaceScope {
                names: names.into(),
                selector: among?,
            },
            topology_key: topology_key?,
        })
    }
}

/// The key of a domain, or None after a problem was noted.
fn topology_key(key: &str, path: Path<'_>, problems: &Problems) -> Option<Text> {
    if key.is_empty() {
        problems.add(path.field("topologyKey"), "is empty");
        return None;
    }
    if !is_label_key(key) {
        let problem = format_args!("{:?} is not the key of a label", brief(key));
        problems.add(path.field("topologyKey"), problem);
        return None;
    }
    Some(intern(key))
}

/// A selector that may be absent, which is something else than one that cannot be read: then None, after a problem was
/// noted.
fn selector(
    stated: Option<&Struct<LabelSelectorJson<'_>>>,
    path: Path<'_>,
    problems: &Problems,
) -> Option<Option<LabelSelector>> {
    match stated {
        None => Some(None),
        Some(selector) => selector.read(path, problems).map(Some),
    }
}

impl SpreadConstraintJson<'_> {
    /// The constraint of a pod with these labels, or None after a problem was noted.
    /// Source of what is allowed: `k8s.io/kubernetes/pkg/apis/core/validation.validateTopologySpreadConstraints`.
    pub(super) fn read(
        &self,
        path: Path<'_>,
        namespace: &Text,
        labels: &Labels,
        problems: &Problems,
    ) -> Option<SpreadConstraint> {
        let pods = selector(self.label_selector.as_ref(), path.field("labelSelector"), problems);
        let topology_key = topology_key(&self.topology_key, path, problems);
        let max_skew = at_least_one(self.max_skew.unwrap_or(0), path.field("maxSkew"), problems);
        let when_unsatisfiable = self.when_unsatisfiable(path, problems);
        let min_domains = match self.min_domains {
            None => Some(None),
            Some(count) => at_least_one(count, path.field("minDomains"), problems).map(Some),
        };
        let affinity = honors(
            self.node_affinity_policy.as_ref(),
            true,
            path.field("nodeAffinityPolicy"),
            problems,
        );
        let taints = honors(
            self.node_taints_policy.as_ref(),
            false,
            path.field("nodeTaintsPolicy"),
            problems,
        );
        Some(SpreadConstraint {
            pods: PodAffinityTerm {
                selector: pods?.map(|selector| self.with_match_label_keys(selector, labels)),
                namespaces: NamespaceScope {
                    names: Box::new([namespace.clone()]),
                    selector: None,
                },
                topology_key: topology_key?,
            },
            max_skew: max_skew?,
            when_unsatisfiable: when_unsatisfiable?,
            min_domains: min_domains?,
            honor_node_affinity: affinity?,
            honor_node_taints: taints?,
        })
    }

    /// The selector with the pod's own values of `matchLabelKeys`; a key that the pod lacks says nothing. The API server has
    /// joined them already, from 1.34 on: then nothing is added. A selector that is absent selects nothing all the same.
    /// Source: `PodTopologySpread.filterTopologySpreadConstraints` and `mergeLabelSetWithSelector`.
    fn with_match_label_keys(&self, selector: LabelSelector, labels: &Labels) -> LabelSelector {
        let mut requirements = selector.requirements.into_vec();
        for key in self.match_label_keys.iter() {
            let Some(value) = labels.get(key) else { continue };
            let requirement = equality(key, value);
            if !requirements.contains(&requirement) {
                requirements.push(requirement);
            }
        }
        LabelSelector {
            requirements: requirements.into(),
        }
    }

    fn when_unsatisfiable(&self, path: Path<'_>, problems: &Problems) -> Option<WhenUnsatisfiable> {
        match &*self.when_unsatisfiable {
            "DoNotSchedule" => Some(WhenUnsatisfiable::DoNotSchedule),
            "ScheduleAnyway" => Some(WhenUnsatisfiable::ScheduleAnyway),
            other => {
                let problem = format_args!("{:?} is neither DoNotSchedule nor ScheduleAnyway", brief(other));
                problems.add(path.field("whenUnsatisfiable"), problem);
                None
            }
        }
    }
}

fn at_least_one(number: i64, path: Path<'_>, problems: &Problems) -> Option<i32> {
    let in_range = i32::try_from(number).ok().filter(|number| *number >= 1);
    if in_range.is_none() {
        problems.add(path, format_args!("{number} is not between 1 and {}", i32::MAX));
    }
    in_range
}

/// Whether a policy of node inclusion says Honor; None after a problem was noted.
fn honors(policy: Option<&Str<'_>>, default: bool, path: Path<'_>, problems: &Problems) -> Option<bool> {
    match policy.map(|policy| &**policy) {
        None => Some(default),
        Some("Honor") => Some(true),
        Some("Ignore") => Some(false),
        Some(other) => {
            problems.add(path, format_args!("{:?} is neither Honor nor Ignore", brief(other)));
            None
        }
    }
}
