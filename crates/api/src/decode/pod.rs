//! Pods.

use super::amounts::{ContainerDemand, Demand, Reported, Requests, ResourceMap, ResourcesJson, Role};
use super::features::{self, FeatureUse};
use super::intern::{intern, intern_some};
use super::json::{List, Map, Str, Struct};
use super::metadata::labels;
use super::path::{Path, Problems};
use super::placement::{Affinity, Skipped, SpreadConstraintJson, TolerationJson};
use super::pod_volume::{self, VolumeJson};
use super::selector_owner::controller_ref;
use super::{Fault, brief, kube_object};
use crate::group_names::{COSCHEDULING_LABEL, GROUP_LABEL};
use muster_framework::Text;
use muster_framework::group::GroupLink;
use muster_framework::record::{
    HostPort, PodPhase, PodRecord, PodScheduledCondition, PodSpec, Protocol, SpreadConstraint,
};
use muster_framework::rules::KubeMinor;
use serde::Deserialize;
use std::sync::Arc;

kube_object! {
    /// `v1` Pod.
    Pod {
        #[serde(borrow)]
        spec: Struct<Spec<'a>>,
        #[serde(borrow)]
        status: Struct<Status<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    scheduler_name: Str<'a>,
    #[serde(borrow)]
    node_name: Str<'a>,
    priority: Option<i32>,
    #[serde(borrow)]
    priority_class_name: Str<'a>,
    #[serde(borrow)]
    scheduling_gates: List<Struct<Gate<'a>>>,
    /// Of Kubernetes 1.35.
    #[serde(borrow)]
    workload_ref: Option<Struct<WorkloadRef<'a>>>,
    /// Of Kubernetes 1.36 and later.
    #[serde(borrow)]
    scheduling_group: Option<Struct<SchedulingGroup<'a>>>,
    #[serde(borrow)]
    node_selector: Map<'a, Str<'a>>,
    #[serde(borrow)]
    affinity: Struct<Affinity<'a>>,
    #[serde(borrow)]
    tolerations: List<Struct<TolerationJson<'a>>>,
    #[serde(borrow)]
    topology_spread_constraints: List<Struct<SpreadConstraintJson<'a>>>,
    resource_claims: List<Skipped>,
    #[serde(borrow)]
    volumes: List<VolumeJson<'a>>,
    #[serde(borrow)]
    containers: List<Struct<Container<'a>>>,
    #[serde(borrow)]
    init_containers: List<Struct<Container<'a>>>,
    #[serde(borrow)]
    resources: Struct<ResourcesJson<'a>>,
    #[serde(borrow)]
    overhead: ResourceMap<'a>,
    host_network: Option<bool>,
    host_users: Option<bool>,
    #[serde(borrow)]
    ephemeral_containers: List<Struct<EphemeralContainer<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Gate<'a> {
    #[serde(borrow)]
    name: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WorkloadRef<'a> {
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    pod_group: Str<'a>,
    #[serde(borrow)]
    pod_group_replica_key: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SchedulingGroup<'a> {
    #[serde(borrow)]
    pod_group_name: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Container<'a> {
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    restart_policy: Str<'a>,
    #[serde(borrow)]
    image: Str<'a>,
    #[serde(borrow)]
    resources: Struct<ResourcesJson<'a>>,
    #[serde(borrow)]
    ports: List<Struct<Port<'a>>>,
    #[serde(borrow)]
    restart_policy_rules: List<Struct<RestartRule<'a>>>,
    #[serde(borrow)]
    volume_mounts: List<Struct<VolumeMount<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RestartRule<'a> {
    #[serde(borrow)]
    action: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct VolumeMount<'a> {
    #[serde(borrow)]
    bind_mount_options: List<Str<'a>>,
}

/// Takes no resources of its own.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct EphemeralContainer<'a> {
    #[serde(borrow)]
    volume_mounts: List<Struct<VolumeMount<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Port<'a> {
    #[serde(rename = "hostIP", borrow)]
    host_ip: Str<'a>,
    host_port: Option<i64>,
    container_port: Option<i64>,
    #[serde(borrow)]
    protocol: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow)]
    phase: Str<'a>,
    #[serde(borrow)]
    reason: Str<'a>,
    #[serde(borrow)]
    message: Str<'a>,
    #[serde(borrow)]
    nominated_node_name: Str<'a>,
    #[serde(borrow)]
    conditions: List<Struct<Condition<'a>>>,
    #[serde(borrow)]
    container_statuses: List<Struct<ContainerStatus<'a>>>,
    #[serde(borrow)]
    init_container_statuses: List<Struct<ContainerStatus<'a>>>,
    /// Of the pod as a whole.
    #[serde(borrow)]
    resources: Option<Struct<ResourcesJson<'a>>>,
    /// Of the pod as a whole.
    #[serde(borrow)]
    allocated_resources: Option<ResourceMap<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition<'a> {
    #[serde(borrow)]
    r#type: Str<'a>,
    #[serde(borrow)]
    status: Str<'a>,
    #[serde(borrow)]
    reason: Str<'a>,
    #[serde(borrow)]
    message: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus<'a> {
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    resources: Option<Struct<ResourcesJson<'a>>>,
    #[serde(borrow)]
    allocated_resources: Option<ResourceMap<'a>>,
}

const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";

impl Pod<'_> {
    pub(super) fn record(&self, minor: KubeMinor) -> Result<PodRecord, Fault> {
        let Pod {
            metadata, spec, status, ..
        } = self;
        if metadata.uid.is_empty() {
            return Err(Fault::new("metadata.uid", "is missing"));
        }
        let problems = Problems::default();
        let demand = self.demand(&problems);
        let charge_when_placed = demand.charge();
        let charge = if spec.node_name.is_empty() {
            charge_when_placed.clone()
        } else {
            demand.charge_on_node(minor)
        };
        let namespace = metadata.namespace();
        let group = self.group(&problems);
        let group_terms = matches!(group, Some(GroupLink::Labels { .. })).then(|| metadata.annotations.group_terms());
        let mut record = PodSpec {
            charge: charge_when_placed,
            scoring: demand.scoring_request(),
            required_features: features::required(spec.feature_use(), minor),
            ..self.constraints(&namespace, &problems)
        };
        spec.note_unsupported(&problems);
        record.unsupported = problems.into_list();
        Ok(PodRecord {
            uid: Text::from(&*metadata.uid),
            name: Text::from(&*metadata.name),
            resource_version: metadata.version(),
            generation: metadata.generation.unwrap_or(0),
            labels: metadata.labels(),
            scheduler_name: spec.scheduler_name(),
            node_name: intern_some(&spec.node_name),
            nominated_node_name: intern_some(&status.nominated_node_name),
            phase: status.phase(),
            terminating: metadata.deletion_timestamp.is_some(),
            priority: spec.priority,
            priority_class_name: intern_some(&spec.priority_class_name),
            scheduling_gates: spec.scheduling_gates.iter().map(|gate| intern(&gate.name)).collect(),
            group,
            group_terms,
            running: &*status.phase == "Running",
            turned_away: status.turned_away(),
            controller: metadata.controller().and_then(controller_ref),
            spec: Arc::new(record),
            charge,
            condition: status.pod_scheduled(),
            namespace,
        })
    }

    /// The group that the pod says it belongs to. What stands in the spec wins over labels, right or wrong.
    fn group(&self, problems: &Problems) -> Option<GroupLink> {
        if self.spec.scheduling_group.is_some() || self.spec.workload_ref.is_some() {
            return self.spec.group(problems);
        }
        let path = Path::Root("metadata.labels");
        let labels = &self.metadata.labels;
        if let Some(name) = labels.get(COSCHEDULING_LABEL) {
            return named(name, path.field(COSCHEDULING_LABEL), problems).map(|name| GroupLink::Coscheduling { name });
        }
        let name = labels.get(GROUP_LABEL)?;
        named(name, path.field(GROUP_LABEL), problems).map(|name| GroupLink::Labels { name })
    }

    /// What the pod says about where it may run. The name of the node is left out, so that twins stay equal when they are
    /// bound.
    fn constraints(&self, namespace: &Text, problems: &Problems) -> PodSpec {
        let spec = &self.spec;
        let tolerations = Path::Root("spec.tolerations");
        let read = spec.tolerations.iter().enumerate();
        let tolerations = read.filter_map(|(at, t)| t.read(tolerations.item(at), problems));
        let owner = pod_volume::Owner {
            namespace,
            name: &self.metadata.name,
        };
        PodSpec {
            node_selector: labels(&spec.node_selector),
            tolerations: tolerations.collect(),
            node_affinity: spec.affinity.required_nodes(problems),
            preferred_node_affinity: spec.affinity.preferred_nodes(problems),
            affinity: spec.affinity.required_pods(namespace, problems),
            preferred_affinity: spec.affinity.preferred_pods(namespace, problems),
            anti_affinity: spec.affinity.required_without_pods(namespace, problems),
            preferred_anti_affinity: spec.affinity.preferred_without_pods(namespace, problems),
            spread: self.spread(namespace, problems),
            host_ports: spec.host_ports(problems),
            images: spec.images(),
            volume_images: pod_volume::images(&spec.volumes),
            volumes: pod_volume::judged(&spec.volumes, owner, Path::Root("spec.volumes"), problems),
            ..PodSpec::default()
        }
    }

    fn spread(&self, namespace: &Text, problems: &Problems) -> Box<[SpreadConstraint]> {
        if self.spec.topology_spread_constraints.is_empty() {
            return Box::default();
        }
        let path = Path::Root("spec.topologySpreadConstraints");
        let labels = self.metadata.labels();
        let constraints = self.spec.topology_spread_constraints.iter().enumerate();
        constraints
            .filter_map(|(at, constraint)| constraint.read(path.item(at), namespace, &labels, problems))
            .collect()
    }

    /// All that the pod asks for, and is reported to have.
    fn demand(&self, problems: &Problems) -> Demand<'_> {
        let containers = self
            .spec
            .containers()
            .map(|(list, at, role, container)| ContainerDemand {
                role,
                spec: Requests::of_container(&container.resources, list.item(at).field("resources"), problems),
                reported: self.status.reported_of(&container.name),
            });
        let mut demand = Demand {
            containers: containers.collect(),
            overhead: Requests::read(self.spec.overhead.iter(), Path::Root("spec.overhead"), problems),
            reported: reported(self.status.resources.as_ref(), self.status.allocated_resources.as_ref()),
            resize_is_infeasible: self.status.resize_is_infeasible(),
            ..Demand::default()
        };
        demand.set_pod_level(&self.spec.resources, problems);
        demand
    }
}

impl<'a> Spec<'a> {
    /// Notes what is in order, but beyond Muster.
    fn note_unsupported(&self, problems: &Problems) {
        if !self.resource_claims.is_empty() {
            problems.add(
                Path::Root("spec.resourceClaims"),
                "devices by resource claims (dynamic resource allocation) are not supported yet",
            );
        }
    }

    /// Images of init containers, then of the others. Source: `imagelocality.sumImageScores`.
    fn images(&self) -> Box<[Text]> {
        let containers = self.init_containers.iter().chain(self.containers.iter());
        containers.map(|container| image_name(&container.image)).collect()
    }

    fn feature_use(&self) -> FeatureUse {
        let containers = || self.containers.iter().chain(self.init_containers.iter());
        let rules = containers().flat_map(|container| container.restart_policy_rules.iter());
        let ephemeral = self.ephemeral_containers.iter().flat_map(|c| c.volume_mounts.iter());
        let mut mounts = containers().flat_map(|c| c.volume_mounts.iter()).chain(ephemeral);
        FeatureUse {
            restarts_all_containers: rules.into_iter().any(|rule| *rule.action == *"RestartAllContainers"),
            user_namespace_on_host_network: self.host_network == Some(true) && self.host_users == Some(false),
            bind_mount_options: mounts.any(|mount| !mount.bind_mount_options.is_empty()),
        }
    }

    fn scheduler_name(&self) -> Text {
        intern(if self.scheduler_name.is_empty() {
            DEFAULT_SCHEDULER_NAME
        } else {
            &self.scheduler_name
        })
    }

    /// The group that the spec names. None, with a problem noted, if what is there names none.
    fn group(&self, problems: &Problems) -> Option<GroupLink> {
        if let Some(group) = &self.scheduling_group {
            let path = Path::Root("spec.schedulingGroup");
            return named(&group.pod_group_name, path.field("podGroupName"), problems)
                .map(|name| GroupLink::PodGroup { name });
        }
        let link = self.workload_ref.as_ref()?;
        let path = Path::Root("spec.workloadRef");
        let workload = named(&link.name, path.field("name"), problems);
        let pod_group = named(&link.pod_group, path.field("podGroup"), problems);
        Some(GroupLink::Workload {
            workload: workload?,
            pod_group: pod_group?,
            replica_key: intern(&link.pod_group_replica_key),
        })
    }

    /// All containers with the paths of their lists, init containers in their order.
    fn containers(&self) -> impl Iterator<Item = (Path<'static>, usize, Role, &Struct<Container<'a>>)> {
        let main = self.containers.iter().enumerate();
        let main = main.map(|(at, container)| (Path::Root("spec.containers"), at, Role::Main, container));
        let init = self.init_containers.iter().enumerate().map(|(at, container)| {
            let role = if *container.restart_policy == *"Always" {
                Role::Sidecar
            } else {
                Role::Init
            };
            (Path::Root("spec.initContainers"), at, role, container)
        });
        main.chain(init)
    }

    /// The ports of all containers that keep running.
    fn host_ports(&self, problems: &Problems) -> Box<[HostPort]> {
        let host_network = self.host_network.unwrap_or(false);
        let mut ports = Vec::new();
        for (list, at, _, container) in self.containers().filter(|(_, _, role, _)| *role != Role::Init) {
            let path = list.item(at);
            let path = path.field("ports");
            let read = container.ports.iter().enumerate();
            ports.extend(read.filter_map(|(at, port)| port.host_port(host_network, path.item(at), problems)));
        }
        ports.sort();
        ports.dedup();
        ports.into()
    }
}

impl Port<'_> {
    /// The port of the node, if it takes one. In the network of the node, a container's port is the node's.
    fn host_port(&self, host_network: bool, path: Path<'_>, problems: &Problems) -> Option<HostPort> {
        let stated = self.host_port.unwrap_or(0);
        let (name, number) = match stated {
            0 if host_network => ("containerPort", self.container_port.unwrap_or(0)),
            _ => ("hostPort", stated),
        };
        if number == 0 {
            return None;
        }
        let Ok(port) = u16::try_from(number) else {
            problems.add(path.field(name), format_args!("{number} is not between 1 and 65535"));
            return None;
        };
        let protocol = match &*self.protocol {
            "" | "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            other => {
                problems.add(
                    path.field("protocol"),
                    format_args!("{:?} is not TCP, UDP or SCTP", brief(other)),
                );
                return None;
            }
        };
        let ip = intern(if self.host_ip.is_empty() {
            "0.0.0.0"
        } else {
            &self.host_ip
        });
        Some(HostPort { ip, protocol, port })
    }
}

/// A name that stands in this field and must not be empty.
fn named(name: &str, field: Path<'_>, problems: &Problems) -> Option<Text> {
    if name.is_empty() {
        problems.add(field, "is missing");
    }
    intern_some(name)
}

/// Reasons for which a kubelet turns a pod away, beside those that begin with `OutOf`.
/// Source: `admissionRejectionReasons` in `pkg/kubelet/kubelet.go`, and `lifecycle.PredicateFailureError`, whose reason is
/// the name of the plugin.
const ADMISSION_REASONS: [&str; 20] = [
    "AppArmor",
    "InitContainerRestartPolicyForbidden",
    "InvalidNodeInfo",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeShutdown",
    "PodFeatureUnsupported",
    "PodLevelResourcesNotSupported",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "SMTAlignmentError",
    "SupplementalGroupsPolicyNotSupported",
    "SysctlForbidden",
    "TaintToleration",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
    "UnexpectedPredicateFailureType",
    "UnknownReason",
    "VolumeAttachmentLimitExceeded",
];

impl Status<'_> {
    /// Why the kubelet turned the pod away. `Evicted` is a reason both for pods that never ran and for those that did: the
    /// message tells them apart. Source: `Kubelet.rejectPod`.
    fn turned_away(&self) -> Option<Text> {
        let reason = &*self.reason;
        let turned_away = *self.phase == *"Failed"
            && !reason.is_empty()
            && (reason.starts_with("OutOf")
                || ADMISSION_REASONS.contains(&reason)
                || self.message.starts_with("Pod was rejected: "));
        turned_away.then(|| intern(reason))
    }

    fn phase(&self) -> PodPhase {
        match &*self.phase {
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            _ => PodPhase::Active,
        }
    }

    fn pod_scheduled(&self) -> Option<PodScheduledCondition> {
        let condition = self.conditions.iter().find(|c| *c.r#type == *"PodScheduled")?;
        (*condition.status == *"False").then(|| PodScheduledCondition {
            reason: intern(&condition.reason),
            message: Text::from(&*condition.message),
        })
    }

    /// Whether the node has said that it can never do the resize that the spec asks for.
    fn resize_is_infeasible(&self) -> bool {
        let condition = self.conditions.iter().find(|c| *c.r#type == *"PodResizePending");
        condition.is_some_and(|c| *c.reason == *"Infeasible")
    }

    /// What is reported of a container. Source: `findContainerStatus` of `k8s.io/component-helpers/resource`.
    fn reported_of(&self, container: &str) -> Option<Reported<'_>> {
        let mut statuses = self
            .container_statuses
            .iter()
            .chain(self.init_container_statuses.iter());
        let status = statuses.find(|status| *status.name == *container)?;
        Some(reported(status.resources.as_ref(), status.allocated_resources.as_ref()))
    }
}

/// What is wrong in a status is the kubelet's doing: no reason to hold the pod back. What can be read counts.
fn reported<'s>(
    resources: Option<&'s Struct<ResourcesJson<'_>>>,
    allocated: Option<&'s ResourceMap<'_>>,
) -> Reported<'s> {
    let ignored = Problems::default();
    let path = Path::Root("status");
    let actuated = resources.and_then(|resources| resources.requests.as_ref());
    Reported {
        states_resources: resources.is_some(),
        actuated: actuated.map(|requests| Requests::read(requests.iter(), path, &ignored)),
        allocated: allocated.map(|requests| Requests::read(requests.iter(), path, &ignored)),
    }
}

/// The name of an image as nodes report it: with `:latest` if it names no tag or digest.
/// Source: `imagelocality.normalizedImageName`.
pub(super) fn image_name(name: &str) -> Text {
    if name.rfind(':') <= name.rfind('/') {
        intern(&format!("{name}:latest"))
    } else {
        intern(name)
    }
}
