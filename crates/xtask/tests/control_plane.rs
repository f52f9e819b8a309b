//! The control plane as tests use it, tried for real: what runs in it, and that nothing of it is left behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use muster_xtask::api::{Api, status_code};
use muster_xtask::{ControlPlane, KubeMinor, Options, SimulatedNode};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// One for all tests. A static is never dropped: that it goes all the same is what the reaper is for.
fn shared() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| {
        let kube = KubeMinor::from_environment().unwrap();
        ControlPlane::start(&Options {
            kube,
            nodes: 3,
            audit_writes: true,
            ..Options::default()
        })
        .unwrap()
    })
}

/// A pod that upstream's scheduler wouldn't take.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "schedulerName": "nobody",
            "containers": [{ "name": "main", "image": "none", "resources": { "requests": { "cpu": "100m" } } }],
        },
    })
}

fn bind(api: &Api, namespace: &str, pod: &Value, node: &str) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": name, "uid": pod["metadata"]["uid"] },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    });
    api.post(&format!("/api/v1/namespaces/{namespace}/pods/{name}/binding"), &binding)
        .unwrap();
}

#[test]
fn a_bound_pod_runs_and_a_deleted_one_goes() {
    let cluster = shared();
    let api = cluster.api();
    cluster.create_namespace("runs").unwrap();
    // At once: the namespace is usable when it is there.
    let created = api.post("/api/v1/namespaces/runs/pods", &pod("one")).unwrap();
    assert_eq!(created["spec"]["serviceAccountName"], "default");
    bind(api, "runs", &created, "node-0");
    let started = Instant::now();
    let path = "/api/v1/namespaces/runs/pods/one";
    let is_running = |api: &Api| Ok((api.get(path)?["status"]["phase"] == "Running").then_some(()));
    api.wait_until("the pod runs", PATIENCE, is_running).unwrap();
    eprintln!("running {:?} after its binding", started.elapsed());
    assert!(
        std::fs::read_to_string(cluster.audit_log())
            .unwrap()
            .contains("\"subresource\":\"binding\"")
    );
    api.delete(path).unwrap();
    api.wait_until("the pod is gone", PATIENCE, |api| {
        Ok(api.get_if_found(path)?.is_none().then_some(()))
    })
    .unwrap();
}

#[test]
fn a_job_makes_pods() {
    let cluster = shared();
    let job = "
apiVersion: v1
kind: Namespace
metadata: {name: jobs}
---
apiVersion: batch/v1
kind: Job
metadata: {name: work, namespace: jobs}
spec:
  parallelism: 3
  completions: 3
  completionMode: Indexed
  template:
    spec:
      schedulerName: nobody
      restartPolicy: Never
      containers: [{name: main, image: none}]
";
    cluster.apply(job).unwrap();
    let three = |api: &Api| {
        let pods = api.get("/api/v1/namespaces/jobs/pods")?;
        Ok((pods["items"].as_array().map(Vec::len) == Some(3)).then_some(()))
    };
    cluster
        .api()
        .wait_until("the job has its pods", PATIENCE, three)
        .unwrap();
    cluster.apply(job).unwrap();
    cluster.delete(job).unwrap();
}

#[test]
fn groups_are_stored_and_pods_keep_their_reference() {
    let cluster = shared();
    let (group, reference) = match cluster.kube() {
        KubeMinor::V1_35 => (
            json!({
                "apiVersion": "scheduling.k8s.io/v1alpha1",
                "kind": "Workload",
                "metadata": { "name": "training" },
                "spec": { "podGroups": [{ "name": "workers", "policy": { "gang": { "minCount": 8 } } }] },
            }),
            ("workloadRef", json!({ "name": "training", "podGroup": "workers" })),
        ),
        minor => (
            json!({
                "apiVersion": if minor == KubeMinor::V1_36 { "scheduling.k8s.io/v1alpha2" } else { "scheduling.k8s.io/v1beta1" },
                "kind": "PodGroup",
                "metadata": { "name": "training" },
                "spec": { "schedulingPolicy": { "gang": { "minCount": 8 } } },
            }),
            ("schedulingGroup", json!({ "podGroupName": "training" })),
        ),
    };
    cluster.apply(&group.to_string()).unwrap();
    let mut member = pod("member");
    member["spec"][reference.0] = reference.1.clone();
    cluster.api().post("/api/v1/namespaces/default/pods", &member).unwrap();
    let stored = cluster.api().get("/api/v1/namespaces/default/pods/member").unwrap();
    assert_eq!(stored["spec"][reference.0], reference.1);
}

#[test]
fn a_service_account_may_do_only_what_it_was_given() {
    let cluster = shared();
    let manifest = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: node-reader}
rules:
- apiGroups: ['']
  resources: [nodes]
  verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: node-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: node-reader}
subjects:
- {kind: ServiceAccount, name: reader, namespace: default}
";
    cluster.apply(manifest).unwrap();
    let api = Api::connect(&cluster.service_account_kubeconfig("default", "reader").unwrap()).unwrap();
    api.wait_until("the role is in force", PATIENCE, |api| {
        api.get_if_found("/api/v1/nodes")
    })
    .unwrap();
    let error = api.get("/api/v1/namespaces/default/pods").unwrap_err();
    assert_eq!(status_code(&error), Some(403), "{error:#}");
}

#[test]
fn muster_gets_the_permissions_that_it_has_in_production() {
    let api = Api::connect(&shared().muster_kubeconfig().unwrap()).unwrap();
    api.wait_until("the role is in force", PATIENCE, |api| api.get_if_found("/api/v1/pods"))
        .unwrap();
    let error = api.get("/api/v1/secrets").unwrap_err();
    assert_eq!(status_code(&error), Some(403), "{error:#}");
}

#[test]
fn a_special_node_keeps_what_is_special() {
    let cluster = shared();
    let node = SimulatedNode::new("special")
        .cpu("2")
        .resource("example.com/gpu", "8")
        .label("pool", "gpu")
        .taint("dedicated", "gpu", "NoSchedule");
    cluster.create_nodes(&[node]).unwrap();
    let stored = cluster.api().get("/api/v1/nodes/special").unwrap();
    assert_eq!(stored["status"]["allocatable"]["example.com/gpu"], "8");
    assert_eq!(stored["metadata"]["labels"]["pool"], "gpu");
    // And nothing was added: no taint of a node that isn't ready.
    assert_eq!(
        stored["spec"]["taints"],
        json!([{ "key": "dedicated", "value": "gpu", "effect": "NoSchedule" }])
    );
    cluster.delete_node("special").unwrap();
}

#[test]
fn a_killed_api_server_comes_back_with_everything() {
    let options = Options {
        kube: shared().kube(),
        nodes: 1,
        kwok: false,
        ..Options::default()
    };
    let cluster = ControlPlane::start(&Options {
        controller_manager: false,
        ..options
    })
    .unwrap();
    cluster
        .api()
        .post("/api/v1/namespaces/default/pods", &pod("kept"))
        .unwrap();
    cluster.kill_api_server().unwrap();
    assert!(cluster.api().get("/api/v1/nodes").is_err());
    cluster.start_api_server().unwrap();
    cluster.api().get("/api/v1/namespaces/default/pods/kept").unwrap();
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(!dir.exists());
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let options = Options {
        api_server_flags: vec!["--nonsense".into()],
        kube: shared().kube(),
        ..Options::default()
    };
    let error = format!("{:#}", ControlPlane::start(&options).unwrap_err());
    assert!(error.contains("unknown flag: --nonsense"), "{error}");
}

/// Set in the process that plays the owner in the tests below: how it is to end.
const OWNER_VARIABLE: &str = "MUSTER_TEST_OWNER";

/// Not a test of its own: the owner whose end the tests below look at.
#[test]
fn owner() {
    let Ok(end) = std::env::var(OWNER_VARIABLE) else { return };
    static OWNED: OnceLock<ControlPlane> = OnceLock::new();
    let kube = KubeMinor::from_environment().unwrap();
    let cluster = OWNED.get_or_init(|| {
        ControlPlane::start(&Options {
            kube,
            ..Options::default()
        })
        .unwrap()
    });
    eprintln!("DIR {}", cluster.dir().display());
    match end.as_str() {
        "panic" => panic!("as asked"),
        "exit" => std::process::exit(0),
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
}

fn start_owner(end: &str) -> Child {
    // A shell without job control starts what it puts in the background with SIGINT ignored, and that is inherited. The
    // owner has to be one that can be interrupted, wherever the tests run.
    Command::new("env")
        .arg("--default-signal=INT")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--nocapture"])
        .env(OWNER_VARIABLE, end)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn dir_of(owner: &mut Child) -> PathBuf {
    let lines = BufReader::new(owner.stderr.take().unwrap()).lines();
    let dir = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("DIR ").map(PathBuf::from))
        .unwrap();
    assert!(dir.is_dir());
    dir
}

/// Everything that has the directory in its command line or in its environment, the reaper included.
fn processes_of(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.to_str().unwrap();
    let names_dir = |path: PathBuf| std::fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(dir));
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|path| names_dir(path.join("cmdline")) || names_dir(path.join("environ")))
        .collect()
}

fn assert_nothing_is_left(dir: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while dir.exists() || !processes_of(dir).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left behind: {} and {:?}",
            dir.display(),
            processes_of(dir)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_left_of_an_owner_that_panics_or_exits() {
    for end in ["panic", "exit"] {
        let mut owner = start_owner(end);
        let dir = dir_of(&mut owner);
        owner.wait().unwrap();
        assert_nothing_is_left(&dir);
    }
}

#[test]
fn nothing_is_left_of_an_owner_that_is_killed() {
    let mut owner = start_owner("sleep");
    let dir = dir_of(&mut owner);
    // etcd, API server, controllers, kwok, and the reaper.
    assert_eq!(processes_of(&dir).len(), 5);
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_nothing_is_left(&dir);
}

#[test]
fn nothing_is_left_of_an_owner_that_is_interrupted_while_it_starts() {
    for milliseconds in [5, 50, 300, 900, 1800, 2600] {
        let mut owner = start_owner("sleep");
        let pid = owner.id();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let status = Command::new("kill")
            .args(["-s", "INT", &pid.to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        wait_for_the_end(&mut owner);
        // What isn't told yet can be found by the owner's pid, which is in the directory's name.
        let deadline = Instant::now() + PATIENCE;
        let left = || (processes_of(Path::new(&format!("-{pid}-"))), has_directory_of(pid));
        while left() != (Vec::new(), false) {
            assert!(
                Instant::now() < deadline,
                "something is left of the owner {pid}, interrupted after {milliseconds} ms: {:?}",
                left()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits for the end of an owner, but not for ever.
fn wait_for_the_end(owner: &mut Child) {
    let deadline = Instant::now() + PATIENCE;
    while owner.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            owner.kill().unwrap();
            panic!("the owner lives on after it was interrupted");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn has_directory_of(pid: u32) -> bool {
    let folders = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let entries = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("muster-") && name.contains(&format!("-{pid}-"))
    })
}
