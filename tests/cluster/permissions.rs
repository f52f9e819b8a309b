//! No right of Muster's is missing, and none is too many: with all of them every scenario below goes well and nothing is
//! refused; each is taken away in turn, the API server refuses, and something does not happen that a user or an operator
//! would miss. The switches of the chart take away what they are named after, and Muster runs on.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use muster_tests::deployed::token;
use muster_tests::endpoints::Caller;
use muster_tests::objects::pod;
use muster_tests::proxy::{Fault, Proxy, binds};
use muster_tests::rights::{self, Right};
use muster_tests::storage::{claim, volume, waiting_class, with_claim};
use muster_tests::{Cluster, Muster, PATIENCE, gang};
use muster_xtask::{KubeMinor, deploy};
use serde_json::{Value, json};

use crate::dialects::Crd;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster";
/// How long something is awaited that will not come, after the refusal because of which it will not.
const IN_VAIN: Duration = Duration::from_millis(500);
/// So many Musters start at once.
const AT_ONCE: usize = 6;

/// The switches of the chart, and the rights that there are only while one is on.
const SWITCHES: [(&str, &[&str]); 4] = [
    (
        "volumes",
        &["patch /persistentvolumeclaims", "patch /persistentvolumes"],
    ),
    ("eviction", &["create /pods/eviction"]),
    (
        "coscheduling",
        &[
            "list scheduling.x-k8s.io/podgroups",
            "watch scheduling.x-k8s.io/podgroups",
            "patch scheduling.x-k8s.io/podgroups/status",
        ],
    ),
    (
        "delegatedAuth",
        &[
            "create authentication.k8s.io/tokenreviews",
            "create authorization.k8s.io/subjectaccessreviews",
            "get /configmaps",
        ],
    ),
];

/// What a right is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Muster becomes ready: all objects that decide are known.
    BecomesReady,
    /// It follows what changes, and has nothing to complain of.
    Follows,
    /// A pod is bound.
    Binds,
    /// A bind that never arrived is noticed, and sent again.
    ReadsBack,
    /// A pod without a place says why in its condition.
    SaysWhy,
    /// The same in an event.
    RecordsEvent,
    /// A volume that is there is reserved for a claim.
    ReservesVolume,
    /// A volume is asked for where the pod is to run.
    AsksForVolume,
    /// What is left of a broken gang is evicted.
    Evicts,
    /// A group of the minor's own says how it stands.
    TellsGroup,
    /// A group of the coscheduling CRD does.
    TellsCoschedulingGroup,
    /// It leads, by the lease.
    Leads,
    /// Somebody with a token who may read metrics does.
    KnowsTokens,
    /// Somebody with a client certificate does.
    KnowsCertificates,
}

impl Scenario {
    /// All that there are where this minor runs: Workloads of 1.35 have no status.
    fn all(kube: KubeMinor) -> Vec<Scenario> {
        let mut all = vec![
            Scenario::BecomesReady,
            Scenario::Follows,
            Scenario::Binds,
            Scenario::ReadsBack,
            Scenario::SaysWhy,
            Scenario::RecordsEvent,
            Scenario::ReservesVolume,
            Scenario::AsksForVolume,
            Scenario::Evicts,
            Scenario::TellsCoschedulingGroup,
            Scenario::Leads,
            Scenario::KnowsTokens,
            Scenario::KnowsCertificates,
        ];
        if kube != KubeMinor::V1_35 {
            all.push(Scenario::TellsGroup);
        }
        all
    }
}

/// Which scenario a right is for. A right that is in no line is one too many.
fn needed_for(right: &Right) -> Scenario {
    match (&*right.group, &*right.resource, &*right.verb) {
        ("", "pods", "get") => Scenario::ReadsBack,
        (_, _, "list") => Scenario::BecomesReady,
        (_, _, "watch") => Scenario::Follows,
        ("", "pods/binding", "create") => Scenario::Binds,
        ("", "pods/status", "patch") => Scenario::SaysWhy,
        ("", "pods/eviction", "create") => Scenario::Evicts,
        ("", "persistentvolumes", "patch") => Scenario::ReservesVolume,
        ("", "persistentvolumeclaims", "patch") => Scenario::AsksForVolume,
        ("events.k8s.io", "events", "create") => Scenario::RecordsEvent,
        ("scheduling.k8s.io", "podgroups/status", "patch") => Scenario::TellsGroup,
        ("scheduling.x-k8s.io", "podgroups/status", "patch") => Scenario::TellsCoschedulingGroup,
        ("coordination.k8s.io", "leases", "get" | "patch") => Scenario::Leads,
        ("authentication.k8s.io", "tokenreviews", "create")
        | ("authorization.k8s.io", "subjectaccessreviews", "create") => Scenario::KnowsTokens,
        ("", "configmaps", "get") => Scenario::KnowsCertificates,
        _ => {
            panic!("nothing is known to need the right to {right}: take it out of deploy/, or say here what it is for")
        }
    }
}

/// Whether this minor has the resource: Workloads of groups are gone after 1.35, and PodGroups came then.
fn is_served(right: &Right, kube: KubeMinor) -> bool {
    let old = kube == KubeMinor::V1_35;
    match (&*right.group, &*right.resource) {
        ("scheduling.k8s.io", "workloads") => old,
        ("scheduling.k8s.io", "podgroups" | "podgroups/status") => !old,
        _ => true,
    }
}

/// One Muster with an identity of its own, and what it does. Names of objects carry its own, so that no two meet.
struct Trial<'c> {
    cluster: &'c Cluster,
    name: String,
    proxy: Proxy,
    muster: Muster,
}

impl Trial<'_> {
    fn start<'c>(cluster: &'c Cluster, name: &str, kubeconfig: &Path, more_flags: &[&str]) -> Result<Trial<'c>> {
        let proxy = Proxy::start(cluster.plane())?;
        let muster = cluster.launch_muster_as(&proxy.kubeconfig(kubeconfig)?, more_flags)?;
        Ok(Trial {
            cluster,
            name: name.to_owned(),
            proxy,
            muster,
        })
    }

    fn named(&self, what: &str) -> String {
        format!("{what}-{}", self.name)
    }

    fn pod(&self, what: &str, cpu: &str) -> Value {
        pod(&self.named(what), &self.cluster.scheduler_name(), cpu)
    }

    fn create_nodes(&self, n_nodes: usize) -> Result<()> {
        let nodes: Vec<_> = (0..n_nodes)
            .map(|n| muster_xtask::SimulatedNode::new(self.named(&format!("node{n}"))).cpu("1"))
            .collect();
        self.cluster.plane().create_nodes(&nodes)
    }

    fn get(&self, collection: &str, what: &str) -> Result<Option<Value>> {
        let path = self.cluster.path(&format!("{collection}/{}", self.named(what)));
        self.cluster.api().get_if_found(&path)
    }

    fn is_bound(&self, what: &str) -> Result<bool> {
        let pod = self.get("pods", what)?;
        Ok(pod.is_some_and(|pod| pod["spec"]["nodeName"].is_string()))
    }

    /// Makes what the scenario is about.
    fn prepare(&self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::BecomesReady | Scenario::Follows | Scenario::Leads => Ok(()),
            // They ask in `happened`.
            Scenario::KnowsTokens | Scenario::KnowsCertificates => Ok(()),
            Scenario::Binds => {
                self.create_nodes(1)?;
                self.cluster.create_pods(&[self.pod("pod", "1")])
            }
            Scenario::ReadsBack => {
                self.proxy.add(binds(Fault::CutBefore).times(1));
                self.create_nodes(1)?;
                self.cluster.create_pods(&[self.pod("pod", "1")])
            }
            Scenario::SaysWhy | Scenario::RecordsEvent => self.cluster.create_pods(&[self.pod("pod", "9")]),
            Scenario::ReservesVolume => {
                self.create_nodes(1)?;
                let class = self.create_class("kubernetes.io/no-provisioner")?;
                let name = self.named("volume");
                let disk = volume(&name, &class, &self.named("node0"));
                let api = self.cluster.api();
                api.post("/api/v1/persistentvolumes", &disk)?;
                let available = json!({ "status": { "phase": "Available" } });
                api.merge_patch(&format!("/api/v1/persistentvolumes/{name}/status"), &available)?;
                self.create_pod_with_claim(&class)
            }
            Scenario::AsksForVolume => {
                self.create_nodes(1)?;
                let class = self.create_class("example.com/disks")?;
                self.create_pod_with_claim(&class)
            }
            Scenario::Evicts => self.break_a_gang(),
            Scenario::TellsGroup => {
                self.cluster.create_group(&self.named("group"), &gang(2))?;
                let member = self
                    .cluster
                    .kube()
                    .member_of(self.pod("pod", "1"), &self.named("group"));
                self.cluster.create_pods(&[member])
            }
            Scenario::TellsCoschedulingGroup => {
                let group = json!({
                    "apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
                    "metadata": { "name": self.named("group") }, "spec": { "minMember": 2 },
                });
                self.cluster.api().post(&Crd::groups_of(self.cluster), &group)?;
                let mut member = self.pod("pod", "1");
                member["metadata"]["labels"] = json!({ "scheduling.x-k8s.io/pod-group": self.named("group") });
                self.cluster.create_pods(&[member])
            }
        }
    }

    fn create_class(&self, provisioner: &str) -> Result<String> {
        let name = self.named("class");
        let class = waiting_class(&name, provisioner);
        self.cluster
            .api()
            .post("/apis/storage.k8s.io/v1/storageclasses", &class)?;
        Ok(name)
    }

    fn create_pod_with_claim(&self, class: &str) -> Result<()> {
        let name = self.named("claim");
        let claims = self.cluster.path("persistentvolumeclaims");
        self.cluster.api().post(&claims, &claim(&name, class))?;
        self.cluster.create_pods(&[with_claim(self.pod("pod", "1"), &name)])
    }

    /// A gang of two that asks to be evicted is bound, and loses a member with its node.
    fn break_a_gang(&self) -> Result<()> {
        self.create_nodes(2)?;
        let kube = self.cluster.kube();
        let mut group = kube.group_policy(&self.named("group"), &gang(2));
        group["metadata"]["annotations"] = json!({ "muster.dev/when-broken": "evict" });
        let api = self.cluster.api();
        api.post(&self.cluster.group_policies(), &group)?;
        let members = ["pod", "other"].map(|what| kube.member_of(self.pod(what, "1"), &self.named("group")));
        self.cluster.create_pods(&members)?;
        api.wait_until("the gang is bound", PATIENCE, |_| {
            Ok((self.is_bound("pod")? && self.is_bound("other")?).then_some(()))
        })?;
        let Some(lost) = self.get("pods", "other")? else {
            bail!("a member is gone already")
        };
        let node = lost["spec"]["nodeName"].as_str().unwrap_or_default();
        api.delete(&format!("/api/v1/nodes/{node}"))?;
        let pod = self
            .cluster
            .path(&format!("pods/{}?gracePeriodSeconds=0", self.named("other")));
        api.request("DELETE", &pod, None).map(drop)
    }

    /// Whether what the scenario is about has happened.
    fn happened(&self, scenario: Scenario) -> Result<bool> {
        Ok(match scenario {
            Scenario::BecomesReady => self.muster.is_ready(),
            Scenario::Follows => self.muster.is_ready() && !self.muster.log().contains("our role lacks"),
            Scenario::Binds | Scenario::ReadsBack => self.is_bound("pod")?,
            Scenario::SaysWhy => {
                let pod = self.get("pods", "pod")?.unwrap_or_default();
                let conditions = pod["status"]["conditions"]
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                conditions.iter().any(|condition| condition["type"] == "PodScheduled")
            }
            Scenario::RecordsEvent => {
                let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.cluster.name());
                let events = self.cluster.api().get(&path)?;
                let mut events = events["items"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
                events.any(|event| event["regarding"]["name"] == self.named("pod"))
            }
            Scenario::ReservesVolume => {
                let path = format!("/api/v1/persistentvolumes/{}", self.named("volume"));
                self.cluster.api().get(&path)?["spec"]["claimRef"].is_object()
            }
            Scenario::AsksForVolume => {
                let claim = self.get("persistentvolumeclaims", "claim")?.unwrap_or_default();
                claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].is_string()
            }
            Scenario::Evicts => {
                let left = self.get("pods", "pod")?;
                left.is_none_or(|pod| pod["metadata"]["deletionTimestamp"].is_string())
            }
            Scenario::TellsGroup => {
                let path = format!("{}/{}", self.cluster.group_policies(), self.named("group"));
                self.cluster.api().get(&path)?["status"]["conditions"].is_array()
            }
            Scenario::TellsCoschedulingGroup => {
                let path = format!("{}/{}", Crd::groups_of(self.cluster), self.named("group"));
                self.cluster.api().get(&path)?["status"]["phase"].is_string()
            }
            Scenario::Leads => {
                let metrics = self.muster.metrics()?;
                metrics.sum("leader_election_master_status", &[r#"name="muster""#]) > 0.0
            }
            Scenario::KnowsTokens => self.reads_metrics(&Caller::with_token(&reader_token(self.cluster)?)),
            Scenario::KnowsCertificates => {
                let plane = self.cluster.plane();
                self.reads_metrics(&Caller::with_certificate(plane, "admin"))
            }
        })
    }

    /// Whether a caller may; not while nobody answers yet.
    fn reads_metrics(&self, caller: &Caller) -> bool {
        let answer = caller.get(self.muster.port(), "/metrics");
        answer.is_ok_and(|(status, _)| status == 200)
    }

    /// Takes pods and nodes away: what follows must not see them.
    fn clear(self) -> Result<()> {
        let api = self.cluster.api();
        let pods = self.cluster.path("pods?gracePeriodSeconds=0");
        api.request("DELETE", &pods, None)?;
        api.delete("/api/v1/nodes").map(drop)
    }

    /// The requests that the API server has refused for want of a right.
    fn refused(&self) -> Vec<String> {
        let refused = self.proxy.seen(|seen| seen.status.is_some_and(|status| status == 403));
        refused
            .iter()
            .map(|seen| format!("{} {}", seen.method, seen.target))
            .collect()
    }

    fn has_used(&self, right: &Right) -> bool {
        let used = |seen: &muster_tests::proxy::Seen| {
            right.is_used_by(seen) && seen.status.is_some_and(|status| status.is_success())
        };
        !self.proxy.seen(used).is_empty()
    }

    fn is_refused(&self, right: &Right) -> bool {
        let refused = |seen: &muster_tests::proxy::Seen| {
            right.is_used_by(seen) && seen.status.is_some_and(|status| status == 403)
        };
        !self.proxy.seen(refused).is_empty()
    }
}

/// A token of a service account that has the role for readers of metrics, as Prometheus has it.
fn reader_token(cluster: &Cluster) -> Result<String> {
    let (namespace, name) = (cluster.name(), "prometheus");
    cluster.plane().apply_objects(&[
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("{namespace}-{name}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "muster-metrics-reader" },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
        }),
    ])?;
    token(cluster.plane(), namespace, name)
}

/// The flags for a scenario; `configuration` has broken gangs evicted soon.
fn flags(scenario: Scenario, configuration: &str) -> Vec<&str> {
    match scenario {
        Scenario::Leads => vec!["--leader-elect", "--leader-elect-resource-namespace=muster-system"],
        Scenario::Evicts => vec![configuration],
        // The other tests have metrics read by everybody.
        Scenario::KnowsTokens | Scenario::KnowsCertificates => {
            vec!["--authorization-always-allow-paths=/healthz,/readyz,/livez"]
        }
        _ => Vec::new(),
    }
}

/// Without the right the API server refuses, and what the right is for does not happen.
fn fails_without(cluster: &Cluster, number: usize, all: &[Right], configuration: &str) -> Result<()> {
    let right = &all[number];
    let scenario = needed_for(right);
    let name = format!("without-{number}");
    let others: Vec<Right> = all.iter().filter(|other| *other != right).cloned().collect();
    let kubeconfig = rights::identity(cluster.plane(), cluster.name(), &name, &others)?;
    let trial = Trial::start(cluster, &name, &kubeconfig, &flags(scenario, configuration))?;
    trial.prepare(scenario)?;
    let api = cluster.api();
    let refused = api.wait_until(&format!("the API server refuses to {right}"), PATIENCE, |_| {
        // Some rights are needed only when somebody asks.
        trial.happened(scenario)?;
        Ok(trial.is_refused(right).then_some(()))
    });
    refused.with_context(|| format!("refused: {:?}; Muster says\n{}", trial.refused(), trial.muster.log()))?;
    thread::sleep(IN_VAIN);
    if trial.happened(scenario)? {
        bail!("without the right to {right} {scenario:?} happens all the same");
    }
    // Whoever reads the log learns which right it is, in the words of a role.
    if ["list", "watch"].contains(&&*right.verb) {
        let words = format!("our role lacks verb {:?} on resource {:?}", right.verb, right.resource);
        // The log quotes what has quotes in it.
        if !trial.muster.log().replace('\\', "").contains(&words) {
            bail!("the log does not say {words:?}");
        }
    }
    trial.clear()
}

fn configuration(cluster: &Cluster) -> String {
    cluster
        .write_muster_configuration(&json!({ "gangs": { "brokenGrace": "1s" } }))
        .unwrap()
}

/// Nobody holds the lease: the last who did may have been killed.
fn free_the_lease(cluster: &Cluster) {
    let nobody = json!({ "spec": { "holderIdentity": null } });
    cluster.api().merge_patch(LEASE, &nobody).unwrap();
}

#[test]
fn the_rights_suffice_and_each_is_used() {
    let cluster = Cluster::new("rights-suffice");
    let _crd = Crd::install(&cluster);
    let configuration = configuration(&cluster);
    let kube = cluster.kube();
    let rights: Vec<Right> = rights::all()
        .unwrap()
        .into_iter()
        .filter(|r| is_served(r, kube))
        .collect();
    for scenario in Scenario::all(kube) {
        free_the_lease(&cluster);
        let name = format!("{scenario:?}").to_lowercase();
        let flags = flags(scenario, &configuration);
        let trial = Trial::start(&cluster, &name, cluster.kubeconfig(), &flags).unwrap();
        trial.prepare(scenario).unwrap();
        let what = format!("{scenario:?} happens");
        let waited = cluster
            .api()
            .wait_until(&what, PATIENCE, |_| Ok(trial.happened(scenario)?.then_some(())));
        waited.unwrap_or_else(|error| panic!("{error:#}\n{}", trial.muster.log()));
        for right in rights.iter().filter(|right| needed_for(right) == scenario) {
            let used = cluster
                .api()
                .wait_until(&format!("the right to {right} is used"), PATIENCE, |_| {
                    Ok(trial.has_used(right).then_some(()))
                });
            used.unwrap();
        }
        assert_eq!(trial.refused(), Vec::<String>::new(), "{scenario:?}");
        trial.clear().unwrap();
    }
}

#[test]
fn none_of_the_rights_can_be_missing() {
    let cluster = Cluster::new("rights-needed");
    let _crd = Crd::install(&cluster);
    let configuration = configuration(&cluster);
    let all = rights::all().unwrap();
    let numbers = (0..all.len()).filter(|number| is_served(&all[*number], cluster.kube()));
    // Those that only read do not disturb each other.
    let (reading, acting): (Vec<usize>, Vec<usize>) =
        numbers.partition(|number| [Scenario::BecomesReady, Scenario::Follows].contains(&needed_for(&all[*number])));
    let check = |number: usize| {
        let failed = fails_without(&cluster, number, &all, &configuration);
        failed.unwrap_or_else(|error| panic!("{}: {error:#}", all[number]));
    };
    for numbers in reading.chunks(AT_ONCE) {
        thread::scope(|scope| {
            for number in numbers {
                scope.spawn(|| check(*number));
            }
        });
    }
    for number in acting {
        free_the_lease(&cluster);
        check(number);
    }
}

#[test]
fn a_switch_that_is_off_takes_its_rights_and_muster_schedules_without_them() {
    let cluster = Cluster::new("rights-off");
    let all = rights::all().unwrap();
    for (switch, expected) in SWITCHES {
        let rendered = deploy::chart(cluster.kube(), &[&format!("rbac.{switch}=false")]).unwrap();
        let left = rights::of(&rendered).unwrap();
        let (kept, gone): (Vec<Right>, Vec<Right>) = all.iter().cloned().partition(|right| left.contains(right));
        let gone: Vec<String> = gone.iter().map(Right::to_string).collect();
        assert_eq!(gone, expected, "{switch}");
        assert_eq!(left, kept, "without {switch} there are rights that there were not");

        let name = format!("off-{}", switch.to_lowercase());
        let kubeconfig = rights::identity(cluster.plane(), cluster.name(), &name, &left).unwrap();
        let trial = Trial::start(&cluster, &name, &kubeconfig, &[]).unwrap();
        trial.prepare(Scenario::Binds).unwrap();
        let bound = |_: &_| Ok((trial.muster.is_ready() && trial.happened(Scenario::Binds)?).then_some(()));
        let waited = cluster
            .api()
            .wait_until("it is ready, and a pod is bound", PATIENCE, bound);
        waited.unwrap_or_else(|error| panic!("without {switch}: {error:#}\n{}", trial.muster.log()));
        trial.clear().unwrap();
    }
}
