//! Taints and tolerations.

use crate::Text;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaintEffect {
    /// No new pod is placed.
    NoSchedule,
    /// Other nodes are preferred.
    PreferNoSchedule,
    /// No new pod is placed, and running ones are evicted.
    NoExecute,
}

impl TaintEffect {
    /// Whether an untolerated taint of this effect keeps a pod off the node.
    pub fn keeps_off(self) -> bool {
        matches!(self, TaintEffect::NoSchedule | TaintEffect::NoExecute)
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Taint {
    /// The key.
    pub key: Text,
    /// The value, often empty.
    pub value: Text,
    /// The effect.
    pub effect: TaintEffect,
}

/// How a toleration compares values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TolerationOperator {
    /// Key and value are equal.
    Equal,
    /// The key is equal, or the toleration has none.
    Exists,
}

/// A toleration of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Toleration {
    /// The key; empty with `Exists` tolerates every key.
    pub key: Text,
    /// How values are compared.
    pub operator: TolerationOperator,
    /// The value for `Equal`.
    pub value: Text,
    /// The effect that is tolerated; none means every effect.
    pub effect: Option<TaintEffect>,
}

impl Toleration {
    /// Whether this toleration tolerates `taint`. Source: `k8s.io/api/core/v1.Toleration.ToleratesTaint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator {
                TolerationOperator::Equal => self.value == taint.value,
                TolerationOperator::Exists => true,
            }
    }
}

/// Whether any of `tolerations` tolerates `taint`.
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| t.tolerates(taint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerates_by_key_value_and_effect() {
        let taint = Taint {
            key: "gpu".into(),
            value: "a100".into(),
            effect: TaintEffect::NoSchedule,
        };
        let toleration = |key: &str, operator, value: &str, effect| Toleration {
            key: key.into(),
            operator,
            value: value.into(),
            effect,
        };
        use TolerationOperator::{Equal, Exists};
        for (toleration, expected) in [
            (toleration("gpu", Equal, "a100", None), true),
            (toleration("gpu", Equal, "h100", None), false),
            (toleration("gpu", Exists, "", Some(TaintEffect::NoSchedule)), true),
            (toleration("gpu", Exists, "", Some(TaintEffect::NoExecute)), false),
            (toleration("", Exists, "", None), true),
            (toleration("cpu", Exists, "", None), false),
        ] {
            assert_eq!(toleration.tolerates(&taint), expected, "{toleration:?}");
        }
    }
}
