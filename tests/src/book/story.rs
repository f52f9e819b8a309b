//! Does what a page says, from the beginning, in a folder of its own and, if it is about a cluster, on a control plane of
//! its own.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use muster_xtask::binaries::{self, Program};
use muster_xtask::deploy::{self, NAMESPACE};
use muster_xtask::nest::{Launch, Process};
use muster_xtask::{ControlPlane, KubeMinor, Options, SimulatedNode, debian, prometheus_operator, workspace_root};
use serde_json::Value;
use tempfile::TempDir;

use super::page::Page;
use super::plan::{ClusterSetting, Plan, Reader, Setting, Step, Task, reader};
use super::transcript::{self, Exchange};
use crate::deployed::pods_of_deployment;
use crate::kubelet::Kubelet;
use crate::objects::{coscheduling_crd, install_crds};
use crate::{Muster, PATIENCE, aggregation, binary, free_port};

/// How long a command may take, in seconds.
const LONGEST_COMMAND: &str = "120";
/// How long to wait before one looks again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// What some commands take besides: each is a package of Debian's.
const OF_DEBIAN: [&str; 2] = ["curl", "jq"];
/// The port that pages forward to Muster's, as a reader does it.
const FORWARDED_PORT: &str = "10259";
/// The command that forwards it.
const PORT_FORWARD: &str = " port-forward ";
/// What a clone of the repository has that pages name.
const OF_THE_REPOSITORY: [&str; 3] = ["config", "deploy", "docs"];

/// Tells all stories of a page on that minor; gives what did not come as the page says.
pub fn tell(page: &Page, kube: KubeMinor) -> Vec<String> {
    let plan = match Plan::of(page) {
        Ok(Some(plan)) => plan,
        Ok(None) => return Vec::new(),
        Err(complaints) => return complaints,
    };
    let meant = |minors: &[KubeMinor]| minors.is_empty() || minors.contains(&kube);
    if let Setting::Cluster(setting) = &plan.setting
        && !meant(&setting.kube)
    {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (name, steps) in &plan.stories {
        let story = if name.is_empty() {
            page.path.clone()
        } else {
            format!("{} ({name})", page.path)
        };
        eprintln!("{story} on {kube} …");
        let steps: Vec<&Step> = steps.iter().filter(|step| meant(&step.kube)).collect();
        let mut desk = match Desk::new(&plan.setting, &steps, kube) {
            Ok(desk) => desk,
            Err(error) => {
                complaints.push(format!("{story}: {error:#}"));
                continue;
            }
        };
        for step in steps {
            if let Err(error) = desk.take(step) {
                let log = desk.log();
                complaints.push(format!("{}: {error:#}{log}", page.place(step.line)));
                // What follows depends on it.
                break;
            }
        }
    }
    complaints
}

/// Where a reader sits: a folder, programs, and perhaps a cluster.
struct Desk {
    // First, so that they end before the control plane does.
    muster: Option<Muster>,
    background: Vec<Process>,
    kubelet: Option<Kubelet>,
    plane: Option<ControlPlane>,
    /// Where this desk has what a reader has at [`FORWARDED_PORT`].
    forwarded_port: u16,
    folder: TempDir,
}

/// What a command came to.
struct Outcome {
    code: Option<i32>,
    printed: String,
}

impl Desk {
    fn new(setting: &Setting, steps: &[&Step], kube: KubeMinor) -> Result<Desk> {
        let folder = tempfile::tempdir().context("a folder for a page")?;
        let mut desk = Desk {
            muster: None,
            background: Vec::new(),
            kubelet: None,
            plane: None,
            forwarded_port: free_port()?,
            folder,
        };
        for path in [desk.tools(), desk.here(), desk.memory(), desk.home().join(".kube")] {
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        for name in OF_THE_REPOSITORY {
            symlink(workspace_root().join(name), desk.here().join(name))
                .with_context(|| format!("a link to {name}"))?;
        }
        fs::write(desk.memory().join("place"), desk.here().display().to_string()).context("where commands begin")?;
        fs::write(desk.memory().join("environment"), "").context("what commands begin with")?;
        desk.add_tool("muster", &binary()?)?;
        for program in OF_DEBIAN {
            if steps.iter().any(|step| step.names(program)) {
                debian::ensure_installed(program, program)?;
            }
        }
        if let Setting::Cluster(setting) = setting {
            desk.add_tool("kubectl-muster", &binary()?)?;
            desk.add_tool("kubectl", &binaries::ensure(Program::Kubectl, kube)?)?;
            desk.add_tool("helm", &binaries::ensure(Program::Helm, kube)?)?;
            desk.start_cluster(setting, kube)?;
        }
        Ok(desk)
    }

    fn tools(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// The folder that commands begin in.
    fn here(&self) -> PathBuf {
        self.home().join("muster")
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// What one command leaves to the next: where it was, and its environment.
    fn memory(&self) -> PathBuf {
        self.folder.path().join("memory")
    }

    fn add_tool(&self, name: &str, path: &Path) -> Result<()> {
        symlink(path, self.tools().join(name)).with_context(|| format!("a link to {name}"))
    }

    fn start_cluster(&mut self, setting: &ClusterSetting, kube: KubeMinor) -> Result<()> {
        let plane = ControlPlane::start(&Options {
            kube,
            // Muster's own pods are placed by it.
            kube_scheduler: setting.kube_scheduler || setting.kubelet,
            ..Options::default()
        })?;
        if setting.kubelet {
            self.kubelet = Some(Kubelet::start(&plane)?);
        }
        plane.create_nodes(&nodes(setting, self.kubelet.as_ref()))?;
        plane.api().wait_until("pods can be made", PATIENCE, |api| {
            api.get_if_found("/api/v1/namespaces/default/serviceaccounts/default")
        })?;
        if setting.coscheduling_crd {
            install_crds(&plane, &[coscheduling_crd()])?;
        }
        if setting.prometheus_crds {
            install_crds(&plane, &prometheus_operator::definitions()?)?;
        }
        if let Some(given) = &setting.given {
            let path = workspace_root().join(given);
            let manifest = fs::read_to_string(path).with_context(|| format!("reading {given}"))?;
            plane.apply(&manifest)?;
        }
        fs::copy(plane.kubeconfig(), self.home().join(".kube/config")).context("copying the kubeconfig")?;
        match (setting.muster, &mut self.kubelet) {
            (true, Some(kubelet)) => install(&plane, kubelet)?,
            (true, None) => self.muster = Some(start_muster(&plane)?),
            (false, _) => {}
        }
        self.plane = Some(plane);
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<()> {
        match &step.task {
            Task::Script { text, code } => {
                let wanted = |outcome: &Outcome| outcome.code == Some(*code);
                let outcome = self.type_until(text, wanted)?;
                if !wanted(&outcome) {
                    let Outcome { code: found, printed } = outcome;
                    bail!("ended with {found:?} instead of {code}:\n{printed}");
                }
                Ok(())
            }
            Task::Background(text) => {
                self.play_kubelet()?;
                self.type_and_leave(text)
            }
            Task::Transcript(exchanges) => exchanges.iter().try_for_each(|exchange| self.exchange(exchange)),
            Task::Manifest { file, text, documents } => self.save(file.as_deref(), text, documents),
        }
    }

    fn exchange(&mut self, Exchange { command, shown }: &Exchange) -> Result<()> {
        let wanted = |outcome: &Outcome| outcome.code == Some(0) && transcript::agrees(shown, &outcome.printed);
        let outcome = self.type_until(command, wanted)?;
        if !wanted(&outcome) {
            let Outcome { code, printed } = outcome;
            bail!("{command}\nended with {code:?} and printed\n{printed}\nwhere the page shows\n{shown}");
        }
        Ok(())
    }

    /// Types a command, again and again if it only looks, until what comes is what is wanted.
    fn type_until(&mut self, text: &str, wanted: impl Fn(&Outcome) -> bool) -> Result<Outcome> {
        let started = Instant::now();
        loop {
            self.play_kubelet()?;
            let outcome = self.type_once(text)?;
            if wanted(&outcome) || !only_looks(text) || PATIENCE < started.elapsed() {
                self.play_kubelet()?;
                eprintln!("$ {text}\n{}", outcome.printed);
                return Ok(outcome);
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// A command as one types it into a shell, which keeps its folder and its environment.
    fn type_once(&self, text: &str) -> Result<Outcome> {
        let memory = self.memory();
        let memory = memory.display();
        let script = format!(
            "exec 2>&1\ncd \"$(cat {memory}/place)\"\n. {memory}/environment\n\
             trap 'pwd >{memory}/place; export -p >{memory}/environment' EXIT\nset -eu -o pipefail\n{}\n",
            at_port(text, self.forwarded_port)
        );
        let mut command = Command::new("timeout");
        command.args([LONGEST_COMMAND, "bash", "-c", &script]);
        let output = command
            .env_clear()
            .envs(self.environment()?)
            .stdin(Stdio::null())
            .output()
            .context("starting bash")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Outcome {
            code: output.status.code(),
            printed: printed.replace(&format!("{}/", self.here().display()), ""),
        })
    }

    fn type_and_leave(&mut self, text: &str) -> Result<()> {
        let plane = self
            .plane
            .as_ref()
            .context("only clusters look after what is left running")?;
        let launch = Launch {
            name: format!("background-{}", self.background.len()),
            program: "bash".into(),
            args: vec!["-c".to_owned(), at_port(text, self.forwarded_port)],
            environment: self.environment()?,
            working_dir: Some(self.here()),
        };
        let mut process = plane.launch(&launch)?;
        let started = Instant::now();
        // What follows goes through it, and a reader sees when it is there.
        while text.contains(PORT_FORWARD) && TcpStream::connect(("127.0.0.1", self.forwarded_port)).is_err() {
            process.expect_running()?;
            ensure!(started.elapsed() < PATIENCE, "nothing is forwarded:\n{}", process.log());
            std::thread::sleep(BETWEEN_LOOKS);
        }
        self.background.push(process);
        Ok(())
    }

    fn environment(&self) -> Result<Vec<(String, String)>> {
        let path = std::env::var("PATH").context("the environment has a PATH")?;
        let always = [
            ("PATH", format!("{}:{path}", self.tools().display())),
            ("HOME", self.home().display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "dumb".to_owned()),
        ];
        Ok(always.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// Saves a file, and has its documents judged.
    fn save(&self, file: Option<&str>, text: &str, documents: &[Value]) -> Result<()> {
        let path = self.here().join(file.unwrap_or("unnamed.yaml"));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        let readers: Vec<Reader> = documents.iter().map(reader).collect();
        let path = path.display();
        // One with a name is read by a command, which may be there to say what is wrong with it.
        if readers.contains(&Reader::Configuration) && file.is_none() {
            self.must_end_well(&format!("muster config validate {path}"))?;
        }
        if readers.contains(&Reader::Simulation) {
            self.must_end_well(&format!("muster simulate {path}"))?;
        } else if self.plane.is_some() && readers.contains(&Reader::ApiServer) {
            let answer = self.must_end_well(&format!(
                "kubectl create --dry-run=server -o json -f {path} 2>/dev/null"
            ))?;
            nothing_is_dropped(documents, &answer)?;
        }
        Ok(())
    }

    fn must_end_well(&self, command: &str) -> Result<String> {
        let Outcome { code, printed } = self.type_once(command)?;
        if code != Some(0) {
            let again = self.type_once(&command.replace(" 2>/dev/null", ""))?.printed;
            bail!("{command}\nended with {code:?}:\n{printed}{again}");
        }
        Ok(printed)
    }

    /// Does for the pods of Muster what a kubelet would, if there is to be one.
    fn play_kubelet(&mut self) -> Result<()> {
        match (&mut self.kubelet, &self.plane) {
            (Some(kubelet), Some(plane)) => kubelet.run_pods(plane),
            _ => Ok(()),
        }
    }

    /// The end of what Muster and programs in the background have said.
    fn log(&self) -> String {
        let logs = self.background.iter().map(Process::log);
        let pods = self.kubelet.iter().flat_map(Kubelet::pods);
        let logs = logs.chain(self.muster.iter().chain(pods).map(Muster::log));
        let tail = |log: String| format!("\n---- a log ----\n{}", muster_xtask::nest::tail(&log, 30));
        logs.map(tail).collect()
    }
}

/// Installs Muster as `deploy/` has it, and registers one of its pods for questions of `kubectl muster explain`.
fn install(plane: &ControlPlane, kubelet: &mut Kubelet) -> Result<()> {
    plane.apply_objects(&deploy::one_file()?)?;
    let n_pods = pods_of_deployment(plane)?.len();
    let started = Instant::now();
    while kubelet.pods().count() < n_pods {
        ensure!(started.elapsed() < PATIENCE, "the pods of Muster get no nodes");
        std::thread::sleep(BETWEEN_LOOKS);
        kubelet.run_pods(plane)?;
    }
    let any = kubelet.pods().next().context("the Deployment has no pods")?;
    aggregation::register(plane, any)
}

/// The nodes that a page begins with.
fn nodes(setting: &ClusterSetting, kubelet: Option<&Kubelet>) -> Vec<SimulatedNode> {
    let with = |node: SimulatedNode, (name, amount): (&String, &String)| match name.as_str() {
        "cpu" => node.cpu(amount),
        _ => node.resource(name, amount),
    };
    let node = |node: SimulatedNode| {
        let node = setting.resources.iter().fold(node, with);
        match kubelet {
            Some(kubelet) => node.kubelet(kubelet.port()),
            None => node,
        }
    };
    SimulatedNode::fleet(setting.nodes).into_iter().map(node).collect()
}

/// What a page says, with another port forwarded: other tests on this machine may forward theirs at the same time.
fn at_port(text: &str, port: u16) -> String {
    let at_port = |line: &str| {
        if line.contains(PORT_FORWARD) {
            let both = line.replace(&format!(" {FORWARDED_PORT}:"), &format!(" {port}:"));
            both.replace(&format!(" {FORWARDED_PORT}"), &format!(" {port}:{FORWARDED_PORT}"))
        } else {
            line.replace(&format!("localhost:{FORWARDED_PORT}"), &format!("localhost:{port}"))
        }
    };
    text.lines().map(at_port).collect::<Vec<_>>().join("\n")
}

/// Starts Muster as `deploy/` has it, outside of the cluster, and registers it for questions of `kubectl muster explain`.
fn start_muster(plane: &ControlPlane) -> Result<Muster> {
    let kubeconfig = plane.muster_kubeconfig()?;
    let args = vec![
        "run".to_owned(),
        format!("--leader-elect-resource-namespace={NAMESPACE}"),
    ];
    let mut muster = Muster::launch(plane, "muster", &kubeconfig, args)?;
    muster.wait_until_ready()?;
    aggregation::register(plane, &muster)?;
    Ok(muster)
}

/// Whether all lines begin with commands that change nothing, and may so be typed as often as one likes.
fn only_looks(text: &str) -> bool {
    const LOOKS: [&str; 10] = [
        "get", "describe", "wait", "status", "muster", "events", "logs", "auth", "version", "explain",
    ];
    let joined = text.replace("\\\n", " ");
    let mut lines = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.all(|line| {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("muster") => true,
            Some("kubectl") => words.any(|word| LOOKS.contains(&word)),
            _ => false,
        }
    })
}

/// The API server gives back all that a manifest says: it leaves out in silence what a feature gate hides.
fn nothing_is_dropped(documents: &[Value], answer: &str) -> Result<()> {
    let kept: Vec<Value> = serde_json::Deserializer::from_str(answer)
        .into_iter()
        .collect::<Result<_, _>>()
        .context("reading what the API server gives back")?;
    if documents.len() != kept.len() {
        bail!(
            "of {} objects the API server gives back {}",
            documents.len(),
            kept.len()
        );
    }
    for (said, kept) in documents.iter().zip(&kept) {
        if let Some(place) = first_dropped(said, kept) {
            bail!("the API server leaves out {place} of the {}", said["kind"]);
        }
    }
    Ok(())
}

/// The first place in what was said that is not there, or something else, in what was kept.
fn first_dropped(said: &Value, kept: &Value) -> Option<String> {
    match (said, kept) {
        (Value::Object(said), Value::Object(kept)) => said.iter().find_map(|(key, value)| {
            let kept = kept.get(key).unwrap_or(&Value::Null);
            first_dropped(value, kept).map(|place| format!(".{key}{place}"))
        }),
        (Value::Array(said), Value::Array(kept)) => said.iter().enumerate().find_map(|(i, value)| {
            let kept = kept.get(i).unwrap_or(&Value::Null);
            first_dropped(value, kept).map(|place| format!("[{i}]{place}"))
        }),
        // Quantities may be written as numbers.
        _ if said == kept || Some(said.to_string().as_str()) == kept.as_str() => None,
        _ => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_commands_that_change_nothing_are_typed_again() {
        for text in [
            "kubectl get pods",
            "kubectl -n muster-system rollout status deployment/muster",
            "kubectl muster explain pod/w \\\n  -o json",
            "# look\nmuster version\nkubectl wait --for=condition=Ready pod/a",
        ] {
            assert!(only_looks(text), "{text}");
        }
        for text in [
            "kubectl apply -f a.yaml",
            "kubectl delete pod/a",
            "helm install x",
            "kubectl get pods\nrm x",
        ] {
            assert!(!only_looks(text), "{text}");
        }
    }

    #[test]
    fn a_page_s_port_is_another_one_here() {
        for (said, typed) in [
            (
                "kubectl port-forward pod/a 10259",
                "kubectl port-forward pod/a 4000:10259",
            ),
            (
                "kubectl port-forward service/a 10259:443 # b",
                "kubectl port-forward service/a 4000:443 # b",
            ),
            (
                "a=1\nexport B=https://localhost:10259",
                "a=1\nexport B=https://localhost:4000",
            ),
            ("muster run --secure-port 10259", "muster run --secure-port 10259"),
        ] {
            assert_eq!(at_port(said, 4000), typed);
        }
    }

    #[test]
    fn what_the_api_server_leaves_out_is_named() {
        let said = json!({"kind": "Pod", "spec": {"workloadRef": {"name": "train"}, "containers": [{"cpu": 1}]}});
        let kept = json!({"kind": "Pod", "spec": {"containers": [{"cpu": "1", "name": "main"}], "x": 1}});
        assert_eq!(first_dropped(&said, &kept).as_deref(), Some(".spec.workloadRef"));
        let kept = json!({"kind": "Pod", "spec": {"workloadRef": {"name": "train"}, "containers": [{"cpu": "1"}]}});
        assert_eq!(first_dropped(&said, &kept), None);
        assert!(nothing_is_dropped(&[said.clone(), said.clone()], &kept.to_string()).is_err());
        assert!(nothing_is_dropped(&[said], &kept.to_string()).is_ok());
    }
}
