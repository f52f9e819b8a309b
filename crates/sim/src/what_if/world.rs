//! The objects of a snapshot, and edits to them.

use super::edit::{Constraint, Edit, NewNodes};
use muster_api::snapshot::Snapshot;
use muster_engine::{BrokenGang, Object, QueuedEntity};
use muster_framework::Text;
use muster_framework::group::GroupKey;
use muster_framework::labels::Labels;
use muster_framework::record::{Kind, NodeRecord, PodPhase, PodRecord};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use muster_framework::volume::{CsiNodeRecord, StorageObject};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const HOSTNAME: &str = "kubernetes.io/hostname";
const CORDONED: &str = "node.kubernetes.io/unschedulable";
/// Taints of this prefix say how a node is, not what it is for: a new one like it does not have them.
const CONDITION_TAINTS: &str = "node.kubernetes.io/";

/// What a cluster holds.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    pub(super) objects: Vec<Object>,
    pub(super) not_served: Vec<Kind>,
    /// Gangs that are broken since nodes were lost: no object says so.
    pub(super) broken: Vec<BrokenGang>,
}

impl World {
    /// What a snapshot holds. Places that the scheduler holds count as taken; pods that wait come in the order in which they
    /// came to its queue, where the snapshot has that.
    pub fn of(snapshot: Snapshot) -> World {
        let mut world = World {
            objects: snapshot.objects,
            not_served: snapshot.header.not_served,
            broken: snapshot.broken,
        };
        let held: BTreeMap<&Text, &Text> = snapshot
            .reservations
            .iter()
            .map(|held| (&held.pod.uid, &held.node))
            .collect();
        for pod in world.pods_mut() {
            if let Some(node) = held.get(&pod.uid) {
                pod.node_name = Some((*node).clone());
            }
        }
        world.order_waiting(&snapshot.queue);
        world
    }

    fn order_waiting(&mut self, queue: &[QueuedEntity]) {
        let waited: BTreeMap<(bool, &str), Duration> = queue
            .iter()
            .map(|entity| ((entity.is_group, &*entity.name), entity.waited))
            .collect();
        self.objects.sort_by_cached_key(|object| {
            let Object::Pod(pod) = object else { return None };
            let of_group = group_path(pod).and_then(|group| waited.get(&(true, &*group)).copied());
            let waited = of_group.or_else(|| waited.get(&(false, &*path(pod))).copied());
            // The sort is stable: what is known of no time stays where it is.
            Some(std::cmp::Reverse(waited.unwrap_or(Duration::MAX)))
        });
    }

    /// The nodes, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.objects.iter().filter_map(|object| match object {
            Object::Node(node) => Some(node),
            _ => None,
        })
    }

    /// The pods, in their order.
    pub fn pods(&self) -> impl Iterator<Item = &PodRecord> {
        self.objects.iter().filter_map(|object| match object {
            Object::Pod(pod) => Some(&**pod),
            _ => None,
        })
    }

    fn pods_mut(&mut self) -> impl Iterator<Item = &mut PodRecord> {
        self.objects.iter_mut().filter_map(|object| match object {
            Object::Pod(pod) => Some(&mut **pod),
            _ => None,
        })
    }

    fn node_mut(&mut self, name: &str) -> Result<&mut NodeRecord, String> {
        let node = self.objects.iter_mut().find_map(|object| match object {
            Object::Node(node) if &*node.name == name => Some(node),
            _ => None,
        });
        node.ok_or_else(|| no_node(name))
    }

    /// Makes an edit; says what it came to. Pods of `schedulers` lose their node with it, and wait.
    ///
    /// # Errors
    /// It speaks of something that is not there, or that is there already.
    pub fn edit(&mut self, edit: &Edit, schedulers: &[Text]) -> Result<String, String> {
        match edit {
            Edit::AddNodes(new) => self.add_nodes(new),
            Edit::RemoveNode(name) => self.remove_node(name, schedulers),
            Edit::Cordon(name) => {
                let node = self.node_mut(name)?;
                node.unschedulable = true;
                if node.taints.iter().all(|taint| &*taint.key != CORDONED) {
                    node.taints.push(Taint {
                        key: CORDONED.into(),
                        value: "".into(),
                        effect: TaintEffect::NoSchedule,
                    });
                }
                Ok(format!("node {name} is cordoned"))
            }
            Edit::DropConstraint { of, constraint } => self.drop_constraint(of, *constraint),
        }
    }

    fn add_nodes(&mut self, new: &NewNodes) -> Result<String, String> {
        let model = match &new.like {
            Some(name) => Some(self.node_mut(name)?.clone()),
            None => None,
        };
        let csi = self.objects.iter().find_map(|object| match object {
            Object::Storage(StorageObject::CsiNode(csi)) if new.like.as_ref() == Some(&csi.name) => Some(csi.clone()),
            _ => None,
        });
        let names = new.names();
        for name in &names {
            if self.nodes().any(|node| node.name == *name) {
                return Err(format!("the snapshot has a node {name:?} already"));
            }
            self.objects.push(Object::Node(node_like(name, model.as_ref(), new)));
            self.objects.extend(csi.clone().map(|csi| {
                Object::Storage(StorageObject::CsiNode(CsiNodeRecord {
                    name: name.clone(),
                    ..csi
                }))
            }));
        }
        let like = new
            .like
            .as_ref()
            .map_or_else(String::new, |like| format!(", like {like}"));
        Ok(match &names[..] {
            [name] => format!("node {name} is added{like}"),
            [first, .., last] => format!("{} nodes are added ({first} … {last}){like}", names.len()),
            [] => "no node is added".to_owned(),
        })
    }

    /// Takes a node out. Its pods go with it; those of ours wait anew, as if their owners had made them again.
    fn remove_node(&mut self, name: &str, schedulers: &[Text]) -> Result<String, String> {
        self.node_mut(name)?;
        let (mut anew, mut gone) = (0, 0);
        self.objects.retain_mut(|object| match object {
            Object::Node(node) => &*node.name != name,
            Object::Storage(StorageObject::CsiNode(csi)) => &*csi.name != name,
            Object::Pod(pod) if pod.node_name.as_deref() == Some(name) => {
                let again =
                    pod.phase == PodPhase::Active && !pod.terminating && schedulers.contains(&pod.scheduler_name);
                if again {
                    anew += 1;
                    pod.node_name = None;
                    pod.running = false;
                    pod.charge = pod.spec.charge.clone();
                } else {
                    gone += 1;
                }
                again
            }
            _ => true,
        });
        Ok(format!(
            "node {name} is removed; {anew} of its pods wait anew, {gone} are gone"
        ))
    }

    fn drop_constraint(&mut self, of: &str, constraint: Constraint) -> Result<String, String> {
        let (full, mut count) = (format!("default/{of}"), 0);
        let is_meant = |name: &str| name == of || name == full;
        for pod in self.pods_mut() {
            if is_meant(&path(pod)) || group_path(pod).is_some_and(|group| is_meant(&group)) {
                count += 1;
                drop_from(pod, constraint);
            }
        }
        if count == 0 {
            return Err(format!("the snapshot has no pod and no pod group {of:?}"));
        }
        let pods = if count == 1 { "pod" } else { "pods" };
        Ok(format!("{of} is without {} ({count} {pods})", constraint.name()))
    }
}

fn no_node(name: &str) -> String {
    format!("the snapshot has no node {name:?}")
}

/// `namespace/name`.
fn path(pod: &PodRecord) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// The pod's group as messages name it.
pub(super) fn group_path(pod: &PodRecord) -> Option<String> {
    let key = GroupKey {
        namespace: pod.namespace.clone(),
        link: pod.group.clone()?,
    };
    Some(key.to_string())
}

fn node_like(name: &Text, model: Option<&NodeRecord>, new: &NewNodes) -> NodeRecord {
    let mut node = match model {
        Some(model) => NodeRecord {
            taints: model
                .taints
                .iter()
                .filter(|taint| !taint.key.starts_with(CONDITION_TAINTS))
                .cloned()
                .collect(),
            ..model.clone()
        },
        None => NodeRecord {
            name: name.clone(),
            resource_version: 0,
            labels: Labels::default(),
            taints: Vec::new(),
            unschedulable: false,
            allocatable: muster_framework::resource::ResourceList::default(),
            // As `muster simulate` has it of a node that says nothing of pods; also the kubelet's default.
            allowed_pods: 110,
            images: Box::default(),
            declared_features: Box::default(),
        },
    };
    let own = [(Text::from(HOSTNAME), name.clone())];
    let labels = node.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
    node.labels = labels.chain(own).chain(new.labels.iter().cloned()).collect();
    node.name = name.clone();
    node.resource_version = 0;
    node.unschedulable = false;
    node.taints.extend(new.taints.iter().cloned());
    new.set_amounts(&mut node);
    node
}

fn drop_from(pod: &mut PodRecord, constraint: Constraint) {
    let spec = Arc::make_mut(&mut pod.spec);
    match constraint {
        Constraint::Spread => spec.spread = Box::default(),
        Constraint::Affinity => spec.affinity = Box::default(),
        Constraint::AntiAffinity => spec.anti_affinity = Box::default(),
        Constraint::NodeAffinity => {
            spec.node_selector = Labels::default();
            spec.node_affinity = None;
        }
        Constraint::HostPorts => spec.host_ports = Box::default(),
        Constraint::Taints => {
            spec.tolerations = Box::new([Toleration {
                key: "".into(),
                operator: TolerationOperator::Exists,
                value: "".into(),
                effect: None,
            }]);
        }
        Constraint::Gates => pod.scheduling_gates = Box::default(),
    }
}
