//! Services and controllers, and the pods that belong together through them: what default spreading spreads.

use crate::facts::PodFacts;
use muster_framework::Text;
use muster_framework::record::{Kind, NamespaceScope, SelectorOwnerRecord};
use muster_framework::selection::{PodSelector, Selection};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Selectors of one namespace by kind and name.
type Selectors = BTreeMap<(Kind, Text), Option<LabelSelector>>;

/// Services, ReplicationControllers, ReplicaSets and StatefulSets.
#[derive(Debug, Default)]
pub(crate) struct SelectorOwners {
    by_namespace: FxHashMap<Text, Selectors>,
    epoch: u32,
}

impl SelectorOwners {
    /// Changes with every change of a selector: what was derived in another epoch has to be derived again.
    pub(crate) fn epoch(&self) -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(self.epoch)
    }

    /// Takes one in; says whether its selector is another than before.
    pub(crate) fn apply(&mut self, record: SelectorOwnerRecord) -> bool {
        let selectors = self.by_namespace.entry(record.namespace).or_default();
        let key = (record.kind, record.name);
        if selectors.get(&key) == Some(&record.selector) {
            return false;
        }
        selectors.insert(key, record.selector);
        self.epoch = self.epoch.wrapping_add(1);
        true
    }

    /// All of them, but for their versions, in no order that means anything.
    pub(crate) fn records(&self) -> impl Iterator<Item = SelectorOwnerRecord> {
        self.by_namespace.iter().flat_map(|(namespace, selectors)| {
            selectors.iter().map(|((kind, name), selector)| SelectorOwnerRecord {
                kind: *kind,
                namespace: namespace.clone(),
                name: name.clone(),
                resource_version: 0,
                selector: selector.clone(),
            })
        })
    }

    /// Forgets one; says whether there was one.
    pub(crate) fn remove(&mut self, kind: Kind, namespace: &Text, name: &Text) -> bool {
        let Some(selectors) = self.by_namespace.get_mut(namespace) else {
            return false;
        };
        let known = selectors.remove(&(kind, name.clone())).is_some();
        if selectors.is_empty() {
            self.by_namespace.remove(namespace);
        }
        self.epoch = self.epoch.wrapping_add(u32::from(known));
        known
    }

    /// The pods that the services and the controller of this pod select. None: nothing selects it.
    ///
    /// Source: `pkg/scheduler/framework/plugins/helper.DefaultSelector`: the selectors of all services that select the
    /// pod are merged, later ones (by name) over earlier ones, and the controller's is joined to them.
    pub(crate) fn default_selection(&self, pod: &PodFacts) -> Option<Selection> {
        let selectors = self.by_namespace.get(&pod.namespace)?;
        let mut equal: BTreeMap<&Text, &Text> = BTreeMap::new();
        let services = selectors.range((Kind::Service, Text::from(""))..);
        for (_, selector) in services.take_while(|((kind, _), _)| *kind == Kind::Service) {
            if let Some(selector) = selector.as_ref().filter(|selector| selector.matches(&pod.labels)) {
                merge(&mut equal, selector);
            }
        }
        let owner = pod.controller();
        let owner =
            owner.and_then(|owner| Some((owner.kind, selectors.get(&(owner.kind, owner.name.clone()))?.as_ref()?)));
        let mut joined: &[Requirement] = &[];
        match owner {
            Some((Kind::ReplicationController, selector)) => merge(&mut equal, selector),
            Some((_, selector)) => joined = &selector.requirements,
            None => {}
        }
        let requirements: Box<[Requirement]> = equal.into_iter().map(equals).chain(joined.iter().cloned()).collect();
        (!requirements.is_empty()).then(|| {
            Selection::of_spread(PodSelector {
                selector: Some(LabelSelector { requirements }),
                namespaces: NamespaceScope {
                    names: Box::new([pod.namespace.clone()]),
                    selector: None,
                },
            })
        })
    }
}

/// Merges a selector that is a plain map of labels, as those of services and replication controllers are.
fn merge<'a>(equal: &mut BTreeMap<&'a Text, &'a Text>, selector: &'a LabelSelector) {
    for requirement in &selector.requirements {
        if let [value] = &*requirement.values {
            equal.insert(&requirement.key, value);
        }
    }
}

fn equals((key, value): (&Text, &Text)) -> Requirement {
    Requirement {
        key: key.clone(),
        operator: Operator::In,
        values: Box::new([value.clone()]),
    }
}
