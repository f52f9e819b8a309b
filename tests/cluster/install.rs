//! Muster as users install it, on fresh control planes: what Helm and kustomize render is applied by kubectl, the pods that
//! come of it are run under their own service account, schedule a gang, survive the loss of their leader, and are seen by
//! Prometheus. The API server serves them as it serves kube-scheduler.

use std::fs;
use std::sync::MutexGuard;

use anyhow::Result;
use http::Method;
use muster_tests::deployed::{kubectl, pods_of_deployment, priority_level, run_pod, token};
use muster_tests::endpoints::Caller;
use muster_tests::objects::{install_crds, pod};
use muster_tests::prometheus::Prometheus;
use muster_tests::proxy::{Proxy, Seen};
use muster_tests::{Cluster, Muster, PATIENCE, gang, turn};
use muster_xtask::api::status_code;
use muster_xtask::deploy::{self, NAMESPACE};
use muster_xtask::{ControlPlane, KubeMinor, Options, SimulatedNode, prometheus_operator};
use serde_json::{Value, json};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster";
const SERVICE_MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/muster-system/servicemonitors/muster";
const BUDGET: &str = "/apis/policy/v1/namespaces/muster-system/poddisruptionbudgets/muster";
const FLOW_SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const N_MEMBERS: usize = 4;

/// A control plane of the test's own, and the right to be the only test that runs.
fn fresh_plane() -> (ControlPlane, MutexGuard<'static, ()>) {
    fresh_plane_with(Options::default())
}

/// Likewise, of the minor that is tested and else as the options say.
pub(crate) fn fresh_plane_with(options: Options) -> (ControlPlane, MutexGuard<'static, ()>) {
    let turn = turn();
    let kube = KubeMinor::from_environment().unwrap();
    (ControlPlane::start(&Options { kube, ..options }).unwrap(), turn)
}

pub(crate) fn holder(plane: &ControlPlane) -> String {
    let lease = plane.api().get(LEASE).unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn leads(muster: &Muster) -> bool {
    muster.log().contains("this process leads from now on")
}

/// A gang of four for which there is just enough room, in a namespace of its own.
pub(crate) fn schedule_a_gang(plane: &ControlPlane, name: &str) {
    let nodes: Vec<_> = (0..N_MEMBERS)
        .map(|n| SimulatedNode::new(format!("{name}-{n}")).cpu("1"))
        .collect();
    plane.create_nodes(&nodes).unwrap();
    plane.create_namespace(name).unwrap();
    let api = plane.api();
    let group = plane.kube().group_policy("train", &gang(N_MEMBERS as i32));
    api.post(&plane.kube().group_policies_path(name), &group).unwrap();
    let pods = format!("/api/v1/namespaces/{name}/pods");
    let members = (0..N_MEMBERS).map(|n| pod(&format!("w{n}"), "muster", "1"));
    let members: Vec<Value> = members.map(|pod| plane.kube().member_of(pod, "train")).collect();
    api.post_all(&pods, &members).unwrap();
    api.wait_until("the gang is bound", PATIENCE, |api| {
        let pods = api.get(&pods)?["items"].as_array().cloned().unwrap_or_default();
        Ok(pods.iter().all(|pod| pod["spec"]["nodeName"].is_string()).then_some(()))
    })
    .unwrap();
}

/// Installs the kinds that the Prometheus operator brings.
fn install_operator_kinds(plane: &ControlPlane) {
    install_crds(plane, &prometheus_operator::definitions().unwrap()).unwrap();
}

/// The kinds are the operator's own: a field that it does not have is refused by name.
fn refuses_misspelt_fields(plane: &ControlPlane) {
    let objects = deploy::kustomization(plane.kube(), "overlays/monitored").unwrap();
    for (kind, place, right, wrong) in [
        ("ServiceMonitor", "/spec/endpoints/0", "scheme", "shceme"),
        ("PrometheusRule", "/spec/groups/0/rules/0", "expr", "expression"),
    ] {
        let mut object = objects.iter().find(|object| object["kind"] == kind).unwrap().clone();
        let fields = object.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        let value = fields.remove(right).unwrap();
        fields.insert(wrong.to_owned(), value);
        let file = plane.dir().join("misspelt.json");
        fs::write(&file, object.to_string()).unwrap();
        let refusal = kubectl(plane, &["apply", "-f", file.to_str().unwrap()]).unwrap_err();
        let refusal = format!("{refusal:#}");
        assert!(
            refusal.contains("unknown field") && refusal.contains(wrong),
            "{refusal}"
        );
    }
}

/// A real Prometheus, set up as its operator would by the ServiceMonitor, reads the one that leads. It does so as the service
/// account that the manifests give the right to; somebody else is refused.
fn is_seen_by_prometheus(plane: &ControlPlane, leader: &Muster) {
    kubectl(plane, &["create", "namespace", "monitoring"]).unwrap();
    let [prometheus, somebody] = ["prometheus-k8s", "somebody"].map(|account| {
        let create = ["--namespace", "monitoring", "create", "serviceaccount", account];
        kubectl(plane, &create).unwrap();
        token(plane, "monitoring", account).unwrap()
    });
    let refused = Caller::with_token(&somebody).get(leader.port(), "/metrics").unwrap();
    assert_eq!(refused.0, 403, "{}", refused.1);
    let monitor = plane.api().get(SERVICE_MONITOR).unwrap();
    let prometheus = Prometheus::start(plane, &monitor, leader, &prometheus).unwrap();
    let bound = format!("sum(scheduler_schedule_attempts_total{{job='muster', result='scheduled'}}) == {N_MEMBERS}");
    for expression in [
        "up{job='muster'} == 1",
        "leader_election_master_status{job='muster', name='muster'} == 1",
        // What it has bound since it leads.
        &*bound,
    ] {
        prometheus.wait_for_series(expression).unwrap();
    }
}

/// Applies one of the kustomizations; gives a line for each object that was taken.
pub(crate) fn apply_kustomization(plane: &ControlPlane, folder: &str) -> String {
    let objects = deploy::kustomization(plane.kube(), folder).unwrap();
    let said = kubectl(plane, &["apply", "-k", &format!("deploy/kustomize/{folder}")]).unwrap();
    assert_eq!(said.lines().count(), objects.len(), "{folder}: {said}");
    said
}

/// The first line of kubectl's about an object that was there before and is another now.
fn changed(said: &str) -> Option<&str> {
    // kubectl puts the selector of a budget in the place of the one that is there, every time, also where it is the same.
    let replaced = "poddisruptionbudget.policy/muster configured";
    let mut lines = said.lines().filter(|line| *line != replaced);
    lines.find(|line| line.ends_with(" configured"))
}

/// Which one of its specs the disruption budget has: it counts them.
fn generation_of_budget(plane: &ControlPlane) -> i64 {
    let budget = plane.api().get(BUDGET).unwrap();
    budget["metadata"]["generation"].as_i64().unwrap()
}

/// A replica says where a pod is, whether it leads or asks the leader: its rights suffice for that.
fn explains(plane: &ControlPlane, replica: &Muster) {
    let path = "/apis/explain.muster.dev/v1alpha1/namespaces/first/podexplanations/w0/full";
    let administrator = Caller::with_certificate(plane, "admin");
    let explained = plane.api().wait_until("each replica explains", PATIENCE, |_| {
        let (status, body) = administrator.get(replica.port(), path)?;
        Ok((status == 200 && body.contains(r#""byLeader":true"#)).then_some(()))
    });
    explained.unwrap_or_else(|error| panic!("{error:#}\n{}", replica.log()));
}

/// From the Deployment's pods to a gang that is scheduled after the leader was lost; gives the one that leads then.
fn works(plane: &ControlPlane) -> Muster {
    let pods = pods_of_deployment(plane).unwrap();
    let mut replicas: Vec<Muster> = pods.iter().map(|pod| run_pod(plane, pod).unwrap()).collect();
    assert_eq!(replicas.len(), 2);
    let first = plane
        .api()
        .wait_until("one of the two leads", PATIENCE, |_| {
            Ok(replicas.iter().position(leads))
        })
        .unwrap();
    let before = holder(plane);
    schedule_a_gang(plane, "first");
    replicas.iter().for_each(|replica| explains(plane, replica));
    replicas.remove(first).kill().unwrap();
    schedule_a_gang(plane, "second");
    let second = replicas.remove(0);
    assert!(leads(&second));
    assert_ne!(holder(plane), before);
    second
}

/// Renders the chart with such values; gives the file.
fn write_chart(plane: &ControlPlane, values: &[&str]) -> String {
    let rendered = deploy::render_chart(plane.kube(), values).unwrap();
    let file = plane.dir().join("chart.yaml");
    fs::write(&file, rendered).unwrap();
    file.display().to_string()
}

#[test]
fn what_the_chart_comes_to_is_accepted_and_works() {
    let (plane, _turn) = fresh_plane();
    install_operator_kinds(&plane);
    let values = [
        "networkPolicy.enabled=true",
        "metrics.serviceMonitor.enabled=true",
        "metrics.prometheusRule.enabled=true",
        "config.leaderElection.leaseDuration=12s",
    ];
    let file = write_chart(&plane, &values);
    // As `helm install --create-namespace` would, and as strict as the kustomization makes it.
    kubectl(&plane, &["create", "namespace", NAMESPACE]).unwrap();
    let level = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&plane, &["label", "namespace", NAMESPACE, level]).unwrap();
    kubectl(&plane, &["apply", "-f", &file]).unwrap();
    let leader = works(&plane);
    is_seen_by_prometheus(&plane, &leader);
    // A ServiceMonitor can say more; nobody here has such a Secret.
    let more = ["tls.secretName=muster-tls", "metrics.serviceMonitor.interval=15s"];
    let file = write_chart(&plane, &[&values[..], &more].concat());
    kubectl(&plane, &["apply", "--dry-run=server", "-f", &file]).unwrap();
}

#[test]
fn what_the_kustomization_comes_to_is_accepted_and_works() {
    let (plane, _turn) = fresh_plane();
    apply_kustomization(&plane, "overlays/default");
    let leader = works(&plane);
    // The file with everything in it says the same, and applying it takes the lease from nobody.
    let before = (holder(&plane), generation_of_budget(&plane));
    let said = kubectl(&plane, &["apply", "-f", "deploy/muster.yaml"]).unwrap();
    assert!(said.lines().count() > 20, "{said}");
    assert_eq!(changed(&said), None);
    assert!(!said.contains(" created"), "{said}");
    // Nor does what comes on top of it.
    install_operator_kinds(&plane);
    assert_eq!(changed(&apply_kustomization(&plane, "overlays/monitored")), None);
    assert_eq!((holder(&plane), generation_of_budget(&plane)), before);
    is_seen_by_prometheus(&plane, &leader);
}

#[test]
fn every_kustomization_is_accepted_and_the_base_alone_schedules() {
    let (plane, _turn) = fresh_plane();
    apply_kustomization(&plane, "base");
    let pods = pods_of_deployment(&plane).unwrap();
    assert_eq!(pods.len(), 1);
    let muster = run_pod(&plane, &pods[0]).unwrap();
    schedule_a_gang(&plane, "alone");
    // The right is missing to find out who an administrator is.
    let administrator = Caller::with_certificate(&plane, "admin");
    let (status, body) = administrator.get(muster.port(), "/metrics").unwrap();
    assert_eq!(status, 401, "{body}");
    drop(muster);

    install_operator_kinds(&plane);
    refuses_misspelt_fields(&plane);
    for folder in deploy::kustomizations().unwrap() {
        apply_kustomization(&plane, &folder);
    }
}

/// What a scheduler sends to put a pod on a node.
fn binding(pod: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": pod },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    })
}

/// Puts one of Muster's pods on a node; kwok says that it runs there, and is ready.
fn start_on(plane: &ControlPlane, pod: &Value, node: &str) {
    let pod = name_of(pod);
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/binding");
    plane.api().post(&path, &binding(pod, node)).unwrap();
}

fn name_of(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

/// Asks for the eviction of one of Muster's pods, as a drain does.
fn evict(plane: &ControlPlane, pod: &Value) -> Result<Value> {
    let pod = name_of(pod);
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod } });
    plane.api().post(&path, &eviction)
}

/// Waits until the controller of disruption budgets has counted Muster's pods, and lets one go.
fn wait_until_one_may_go(plane: &ControlPlane) {
    let waited = plane.api().wait_until("one pod may go", PATIENCE, |api| {
        Ok((api.get(BUDGET)?["status"]["disruptionsAllowed"] == 1).then_some(()))
    });
    waited.unwrap();
}

#[test]
fn of_two_replicas_one_may_go_at_a_time() {
    let (plane, _turn) = fresh_plane();
    apply_kustomization(&plane, "overlays/default");
    plane.create_nodes(&[SimulatedNode::new("here")]).unwrap();
    let pods = pods_of_deployment(&plane).unwrap();
    let [first, second] = &pods[..] else {
        panic!("{} pods", pods.len())
    };
    pods.iter().for_each(|pod| start_on(&plane, pod, "here"));
    wait_until_one_may_go(&plane);
    evict(&plane, first).unwrap();
    let refused = evict(&plane, second).unwrap_err();
    let said = format!("{refused:#}");
    assert_eq!(status_code(&refused), Some(429), "{said}");
    assert!(said.contains("would violate the pod's disruption budget"), "{said}");

    // As soon as another has come for the first, the second may go.
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let another = plane.api().wait_until("another is made", PATIENCE, |api| {
        let pods = api.get(&pods)?["items"].as_array().cloned().unwrap_or_default();
        Ok(pods.into_iter().find(|pod| pod["spec"]["nodeName"].is_null()))
    });
    start_on(&plane, &another.unwrap(), "here");
    wait_until_one_may_go(&plane);
    evict(&plane, second).unwrap();
}

/// The levels at which the API server serves kube-scheduler: when it renews its lease, and when it binds a pod.
fn levels_of_kube_scheduler(cluster: &Cluster) -> [String; 2] {
    let kubeconfig = cluster.plane().dir().join("kube-scheduler.kubeconfig");
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let lease = json!({ "metadata": { "name": "kube-scheduler" } });
    let lease = cluster.api().post(leases, &lease).unwrap();
    let renewal = priority_level(&kubeconfig, "PUT", &format!("{leases}/kube-scheduler"), Some(&lease));
    cluster.create_pods(&[pod("theirs", "kube-scheduler", "1")]).unwrap();
    let binding = binding("theirs", &format!("{}-0", cluster.name()));
    let path = cluster.path("pods/theirs/binding");
    let bind = priority_level(&kubeconfig, "POST", &path, Some(&binding));
    [renewal.unwrap(), bind.unwrap()]
}

#[test]
fn requests_have_the_priority_that_kube_schedulers_have() {
    let cluster = Cluster::new("priority");
    cluster.create_nodes(0, 2, "1").unwrap();
    let [of_lease, usual] = levels_of_kube_scheduler(&cluster);
    assert_ne!(of_lease, usual);
    // The API server takes a moment to follow its own flow schemas.
    for (path, wanted) in [("/api/v1/nodes?limit=1", &usual), (LEASE, &of_lease)] {
        let waited = cluster
            .api()
            .wait_until(&format!("{path} has its priority"), PATIENCE, |_| {
                Ok((priority_level(cluster.kubeconfig(), "GET", path, None)? == *wanted).then_some(()))
            });
        waited.unwrap();
    }

    // From then on each request of Muster's is served as kube-scheduler's are, whatever it sends to the same end.
    let nobody = json!({ "spec": { "holderIdentity": null } });
    cluster.api().merge_patch(LEASE, &nobody).unwrap();
    let proxy = Proxy::start(cluster.plane()).unwrap();
    let flags = [
        "--leader-elect",
        "--leader-elect-resource-namespace=muster-system",
        "--leader-elect-retry-period=500ms",
    ];
    let _muster = cluster.start_muster_behind(&proxy, &flags).unwrap();
    cluster
        .create_pods(&[pod("ours", &cluster.scheduler_name(), "1")])
        .unwrap();
    cluster.wait_bound(2).unwrap();
    let well = |seen: &Seen| seen.status.is_some_and(|status| status.is_success());
    let is_lease_written = |seen: &Seen| seen.path() == LEASE && seen.method != Method::GET && well(seen);
    let is_bind = |seen: &Seen| seen.path() == cluster.path("pods/ours/binding") && well(seen);
    let sent = cluster
        .api()
        .wait_until("the lease is taken and renewed, and a pod bound", PATIENCE, |_| {
            Ok((proxy.seen(is_lease_written).len() > 1 && !proxy.seen(is_bind).is_empty()).then_some(()))
        });
    sent.unwrap();
    for seen in proxy.seen(|seen| seen.status.is_some()) {
        let wanted = if seen.path() == LEASE { &of_lease } else { &usual };
        let level = seen.priority_level.as_ref();
        assert_eq!(level, Some(wanted), "{} {}", seen.method, seen.target);
    }
}

/// What a FlowSchema of the control plane says.
fn flow_schema(cluster: &Cluster, name: &str) -> Value {
    cluster.api().get(&format!("{FLOW_SCHEMAS}/{name}")).unwrap()["spec"].take()
}

/// The same without the fields at these places, each of which has to be there.
fn without(mut spec: Value, places: &[&str]) -> Value {
    for place in places {
        let (place, field) = place.rsplit_once('/').unwrap();
        let fields = spec.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        assert!(fields.remove(field).is_some(), "no {field} in {fields:?}");
    }
    spec
}

#[test]
fn flow_schemas_say_of_muster_what_the_api_servers_own_say_of_kube_scheduler() {
    let cluster = Cluster::new("flow-schemas");
    let whose = ["/matchingPrecedence", "/rules/0/subjects"];
    // Theirs is for every lease of the system, and for what kube-scheduler does with its own.
    let which = ["/rules/0/resourceRules/0/verbs", "/rules/0/resourceRules/0/namespaces"];
    for (ours, theirs, differs) in [
        ("muster", "kube-scheduler", whose.to_vec()),
        (
            "muster-leader-election",
            "system-leader-election",
            [whose, which].concat(),
        ),
    ] {
        let said = |name: &str| without(flow_schema(&cluster, name), &differs);
        assert_eq!(said(ours), said(theirs), "{ours} and {theirs}");
        // There is such a level.
        let path = format!("{FLOW_SCHEMAS}/{ours}");
        let waited = cluster.api().wait_until("it is said of it", PATIENCE, |api| {
            let schema = api.get(&path)?;
            let conditions = schema["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let stands = |said: &Value| said["type"] == "Dangling" && said["status"] == "False";
            Ok(conditions.iter().any(stands).then_some(()))
        });
        waited.unwrap();
    }
    // The first that matches counts: the lease's before that of everything else, and ours before that of everybody.
    let in_order = [
        "system-leader-election",
        "muster-leader-election",
        "kube-scheduler",
        "muster",
        "service-accounts",
    ];
    let precedences = in_order.map(|name| flow_schema(&cluster, name)["matchingPrecedence"].as_i64().unwrap());
    assert!(precedences.is_sorted_by(|a, b| a < b), "{precedences:?}");
}
