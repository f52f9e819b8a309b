//! Pods.

use super::amounts::{Amounts, Demand, ResourceMap, ResourcesJson, Role};
use super::intern::{intern, intern_some};
use super::json::{List, Map, Presence, Str, Struct};
use super::metadata::labels;
use super::path::{Path, Problems};
use super::placement::{Affinity, Skipped, TolerationJson};
use super::volume::{VolumeJson, note_constraints};
use super::{Fault, brief, kube_object};
use muster_framework::Text;
use muster_framework::group::GroupLink;
use muster_framework::record::{HostPort, PodPhase, PodRecord, PodScheduledCondition, PodSpec, Protocol};
use muster_framework::resource::Charge;
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
    scheduling_group: Presence,
    #[serde(borrow)]
    node_selector: Map<'a, Str<'a>>,
    #[serde(borrow)]
    affinity: Struct<Affinity<'a>>,
    #[serde(borrow)]
    tolerations: List<Struct<TolerationJson<'a>>>,
    topology_spread_constraints: List<Skipped>,
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
struct Container<'a> {
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    restart_policy: Str<'a>,
    #[serde(borrow)]
    resources: Struct<ResourcesJson<'a>>,
    #[serde(borrow)]
    ports: List<Struct<Port<'a>>>,
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
    nominated_node_name: Str<'a>,
    #[serde(borrow)]
    conditions: List<Struct<Condition<'a>>>,
    #[serde(borrow)]
    container_statuses: List<Struct<ContainerStatus<'a>>>,
    #[serde(borrow)]
    init_container_statuses: List<Struct<ContainerStatus<'a>>>,
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
    allocated_resources: ResourceMap<'a>,
}

const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";

impl Pod<'_> {
    pub(super) fn record(&self) -> Result<PodRecord, Fault> {
        let Pod {
            metadata, spec, status, ..
        } = self;
        if metadata.uid.is_empty() {
            return Err(Fault::new("metadata.uid", "is missing"));
        }
        let problems = Problems::default();
        let demand = spec.demand(&problems);
        let charge_when_placed = demand.charge();
        let charge = if spec.node_name.is_empty() {
            charge_when_placed.clone()
        } else {
            status
                .charge(demand, spec)
                .unwrap_or_else(|| charge_when_placed.clone())
        };
        let namespace = metadata.namespace();
        let group = spec.group(&problems);
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
            spec: Arc::new(spec.record(&namespace, charge_when_placed, problems)),
            charge,
            condition: status.pod_scheduled(),
            namespace,
        })
    }
}

impl Spec<'_> {
    /// What plugins read; the name of the node is left out, so that twins stay equal when they are bound.
    fn record(&self, namespace: &Text, charge: Charge, problems: Problems) -> PodSpec {
        let tolerations = Path::Root("spec.tolerations");
        let read = self
            .tolerations
            .iter()
            .enumerate()
            .filter_map(|(at, t)| t.read(tolerations.item(at), &problems));
        let mut spec = PodSpec {
            node_name: None,
            node_selector: labels(&self.node_selector),
            node_affinity: self.affinity.required_nodes(&problems),
            preferred_node_affinity: self.affinity.preferred_nodes(&problems),
            tolerations: read.collect(),
            host_ports: self.host_ports(&problems),
            charge,
            anti_affinity: self.affinity.anti_affinity(namespace, &problems),
            unsupported: Box::new([]),
        };
        self.note_unsupported(&problems);
        spec.unsupported = problems.into_list();
        spec
    }

    /// Notes what is in order, but beyond Muster.
    fn note_unsupported(&self, problems: &Problems) {
        self.affinity.note_unsupported(problems);
        if !self.topology_spread_constraints.is_empty() {
            let field = Path::Root("spec.topologySpreadConstraints");
            problems.add(field, "topology spread constraints are not supported yet");
        }
        if !self.resource_claims.is_empty() {
            problems.add(
                Path::Root("spec.resourceClaims"),
                "resource claims are not supported yet",
            );
        }
        if self.scheduling_group.is_some() {
            let problem = "pod groups of Kubernetes 1.36 and later are not supported yet";
            problems.add(Path::Root("spec.schedulingGroup"), problem);
        }
        note_constraints(&self.volumes, Path::Root("spec.volumes"), problems);
    }

    fn scheduler_name(&self) -> Text {
        intern(if self.scheduler_name.is_empty() {
            DEFAULT_SCHEDULER_NAME
        } else {
            &self.scheduler_name
        })
    }

    fn group(&self, problems: &Problems) -> Option<GroupLink> {
        let link = self.workload_ref.as_ref()?;
        let path = Path::Root("spec.workloadRef");
        let mut complete = true;
        for (name, value) in [("name", &link.name), ("podGroup", &link.pod_group)] {
            if value.is_empty() {
                problems.add(path.field(name), "is missing");
                complete = false;
            }
        }
        complete.then(|| GroupLink::Workload {
            workload: intern(&link.name),
            pod_group: intern(&link.pod_group),
            replica_key: intern(&link.pod_group_replica_key),
        })
    }

    /// All containers with the paths of their lists, init containers in their order.
    fn containers(&self) -> impl Iterator<Item = (Path<'static>, usize, Role, &Struct<Container<'_>>)> {
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

    fn demand(&self, problems: &Problems) -> Demand {
        let containers = self.containers().map(|(list, at, role, container)| {
            (
                role,
                Amounts::requested(&container.resources, list.item(at).field("resources"), problems),
            )
        });
        Demand::new(containers.collect(), &self.resources, &self.overhead, problems)
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

impl Status<'_> {
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

    /// What a pod on a node takes while a resize is under way: per container the most of what is asked for, given and in
    /// use. None when no container reports anything.
    /// Source: `determineEffectiveRequests` in `k8s.io/component-helpers/resource`.
    fn charge(&self, mut demand: Demand, spec: &Spec<'_>) -> Option<Charge> {
        let infeasible = self.resize_is_infeasible();
        let mut reported = false;
        for ((role, amounts), (_, _, _, container)) in demand.containers.iter_mut().zip(spec.containers()) {
            let Some(resources) = (*role != Role::Init)
                .then(|| self.resources_of(&container.name))
                .flatten()
            else {
                continue;
            };
            reported = true;
            if infeasible {
                *amounts = Amounts::default();
            }
            amounts.raise_to(&resources);
        }
        reported.then(|| demand.charge())
    }

    fn resources_of(&self, container: &str) -> Option<Amounts> {
        let statuses = self
            .init_container_statuses
            .iter()
            .rev()
            .chain(self.container_statuses.iter().rev());
        let status = statuses.into_iter().find(|status| *status.name == *container)?;
        // What is wrong in a status is the kubelet's doing: no reason to hold the pod back. What can be read counts.
        let ignored = Problems::default();
        let path = Path::Root("status");
        let mut amounts = Amounts::read(&status.resources.as_ref()?.requests, path, &ignored);
        amounts.raise_to(&Amounts::read(&status.allocated_resources, path, &ignored));
        Some(amounts)
    }
}
