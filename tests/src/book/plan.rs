//! What is to be done with each block of a page. Whoever writes a block says so, or says why nothing is done.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use muster_xtask::KubeMinor;
use serde_json::Value;

use super::page::{Block, Page, read_info};
use super::transcript::{self, Exchange};

/// Languages of blocks in which nothing is typed and nothing is saved: what they show is looked at by people.
const SHOWN: [&str; 4] = ["text", "json", "rust", "promql"];

/// What is done for a page.
#[derive(Debug)]
pub struct Plan {
    /// Where its blocks are run.
    pub setting: Setting,
    /// What is told, each from the beginning. The first has the blocks that name none.
    pub stories: BTreeMap<String, Vec<Step>>,
}

/// Where the blocks of a page are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// With `muster`, and without a cluster.
    Plain,
    /// With `kubectl`, `helm` and `muster` against a control plane of its own.
    Cluster(ClusterSetting),
}

/// What there is when the page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterSetting {
    /// How many nodes.
    pub nodes: usize,
    /// What each of them has: `cpu`, and resources such as `example.com/gpu`.
    pub resources: BTreeMap<String, String>,
    /// Whether Muster runs, and is asked through the API server. With `kubelet` it runs in the pods of its Deployment.
    pub muster: bool,
    /// Whether kube-scheduler runs.
    pub kube_scheduler: bool,
    /// Whether pods of Muster are run as they say, and their logs and ports can be had.
    pub kubelet: bool,
    /// Whether the CRD of scheduler-plugins is installed.
    pub coscheduling_crd: bool,
    /// Whether the CRDs of the Prometheus operator are installed.
    pub prometheus_crds: bool,
    /// A manifest of more that is there, as a path from the root of the workspace: what commands name that stands for a
    /// reader's own.
    pub given: Option<String>,
    /// The minors that the page is about; empty: all.
    pub kube: Vec<KubeMinor>,
}

/// A block that is run.
#[derive(Debug)]
pub struct Step {
    /// Where it stands in the page.
    pub line: usize,
    /// The minors that it is about; empty: all.
    pub kube: Vec<KubeMinor>,
    /// What is done.
    pub task: Task,
}

impl Step {
    /// Whether a command of it has this word.
    pub fn names(&self, program: &str) -> bool {
        let names = |text: &str| text.split_whitespace().any(|word| word == program);
        match &self.task {
            Task::Script { text, .. } | Task::Background(text) => names(text),
            Task::Transcript(exchanges) => exchanges.iter().any(|exchange| names(&exchange.command)),
            Task::Manifest { .. } => false,
        }
    }
}

/// What is done with a block.
#[derive(Debug)]
pub enum Task {
    /// Typed as it stands. It ends well, or with this code.
    Script {
        /// The lines.
        text: String,
        /// The exit code that it must have.
        code: i32,
    },
    /// Typed as it stands, and left running.
    Background(String),
    /// Typed command by command; what is printed is what the page shows.
    Transcript(Vec<Exchange>),
    /// Saved under this name, if there is one, and judged by whoever reads such documents.
    Manifest {
        /// The name of the file.
        file: Option<String>,
        /// What stands in it.
        text: String,
        /// The documents in it.
        documents: Vec<Value>,
    },
}

impl Plan {
    /// Whether some of it is about some minors only.
    pub fn tells_minors_apart(&self) -> bool {
        let page = matches!(&self.setting, Setting::Cluster(setting) if !setting.kube.is_empty());
        page || self.stories.values().flatten().any(|step| !step.kube.is_empty())
    }

    /// What is to be done for a page; `None` if nothing is.
    ///
    /// # Errors
    /// One line for each block that would not be run and does not say why.
    pub fn of(page: &Page) -> Result<Option<Plan>, Vec<String>> {
        let mut complaints = Vec::new();
        let mut stories: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        for block in &page.blocks {
            match step(block) {
                Ok(Some((story, step))) => stories.entry(story).or_default().push(step),
                Ok(None) => {}
                Err(error) => complaints.push(format!("{}: {error:#}", page.place(block.line))),
            }
        }
        let setting = match (&page.setting, stories.is_empty()) {
            (None, true) => None,
            (Some(setting), false) => {
                let setting = read_setting(setting).map_err(|error| format!("{}: {error:#}", page.path));
                setting.map_err(|complaint| complaints.push(complaint)).ok()
            }
            (None, false) => {
                complaints.push(format!(
                    "{}: no comment <!-- test: … --> says where it is run",
                    page.path
                ));
                None
            }
            (Some(_), true) => {
                complaints.push(format!("{}: nothing in it is run, and a comment says where", page.path));
                None
            }
        };
        for steps in stories.values() {
            complaints.extend(
                unused_files(steps)
                    .iter()
                    .map(|(line, file)| format!("{}: no command reads {file}", page.place(*line))),
            );
            if setting == Some(Setting::Plain) {
                complaints.extend(
                    steps
                        .iter()
                        .filter(|step| needs_cluster(step))
                        .map(|step| format!("{}: needs a cluster", page.place(step.line))),
                );
            }
        }
        if !complaints.is_empty() {
            return Err(complaints);
        }
        Ok(setting.map(|setting| Plan { setting, stories }))
    }
}

/// What is done with a block, and in which story; `None` if it is only shown.
fn step(block: &Block) -> Result<Option<(String, Step)>> {
    let Some(info) = &block.info else {
        bail!("an indented block: nobody can say what it is for; put it between fences");
    };
    let (language, mut attributes) = read_info(info)?;
    if let Some(reason) = attributes.get("not-run") {
        if reason.trim().is_empty() {
            bail!("not-run gives no reason");
        }
        return Ok(None);
    }
    if SHOWN.contains(&language.as_str()) {
        return Ok(None);
    }
    let story = attributes.remove("story").unwrap_or_default();
    let kube = minors(&attributes.remove("kube").unwrap_or_default())?;
    let text = block.text.clone();
    let task = match language.as_str() {
        "sh" if attributes.remove("background").is_some() => Task::Background(text),
        "sh" => {
            let code = attributes.remove("fails").unwrap_or_else(|| "0".to_owned());
            let code = code.parse().with_context(|| format!("fails={code} is no exit code"))?;
            Task::Script { text, code }
        }
        "console" => Task::Transcript(transcript::read(&text)?),
        "yaml" => manifest(attributes.remove("file"), text)?,
        other => bail!("a block of the language {other:?} is neither run nor known to be only shown"),
    };
    if let Some(key) = attributes.keys().next() {
        bail!("a block of {language} has no attribute {key}");
    }
    let line = block.line;
    Ok(Some((story, Step { line, kube, task })))
}

fn manifest(file: Option<String>, text: String) -> Result<Task> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).context("no YAML")?;
    let nobody = documents.iter().find(|document| reader(document) == Reader::Nobody);
    if let (Some(document), None) = (nobody, &file) {
        let version = &document["apiVersion"];
        bail!("nobody here reads documents of {version}: save it under a name (file=…) for a command to read");
    }
    Ok(Task::Manifest { file, text, documents })
}

/// Who can say whether a document is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The API server.
    ApiServer,
    /// `muster config validate`.
    Configuration,
    /// `muster simulate`.
    Simulation,
    /// Only a command that is given the file.
    Nobody,
}

/// Who can say whether this document is right.
pub fn reader(document: &Value) -> Reader {
    let Some(version) = document["apiVersion"].as_str() else {
        return Reader::Nobody;
    };
    match version.split('/').next().unwrap_or_default() {
        "kubescheduler.config.k8s.io" | "muster.dev" => Reader::Configuration,
        "sim.muster.dev" => Reader::Simulation,
        "kustomize.config.k8s.io" => Reader::Nobody,
        _ => Reader::ApiServer,
    }
}

fn needs_cluster(step: &Step) -> bool {
    match &step.task {
        Task::Background(_) => true,
        Task::Manifest { documents, file, .. } => {
            file.is_none() && documents.iter().any(|document| reader(document) == Reader::ApiServer)
        }
        Task::Script { .. } | Task::Transcript(_) => false,
    }
}

/// Files that are saved, and that no later command of the story reads.
fn unused_files(steps: &[Step]) -> Vec<(usize, String)> {
    let reads = |step: &Step, file: &str| {
        // A folder is read for the kustomization in it.
        let reads = |text: &str| text.contains(file) || (file == "kustomization.yaml" && text.contains(" -k "));
        match &step.task {
            Task::Script { text, .. } | Task::Background(text) => reads(text),
            Task::Transcript(exchanges) => exchanges.iter().any(|exchange| reads(&exchange.command)),
            Task::Manifest { .. } => false,
        }
    };
    let files = steps.iter().enumerate().filter_map(|(i, step)| match &step.task {
        Task::Manifest { file: Some(file), .. } => Some((i, step.line, file)),
        _ => None,
    });
    files
        .filter(|(i, _, file)| !steps[i + 1..].iter().any(|step| reads(step, file)))
        .map(|(_, line, file)| (line, file.clone()))
        .collect()
}

fn read_setting(text: &str) -> Result<Setting> {
    let (place, attributes) = read_info(text)?;
    if place == "plain" && attributes.is_empty() {
        return Ok(Setting::Plain);
    }
    if place != "cluster" {
        bail!("a page is run \"plain\" or in a \"cluster\", not {text:?}");
    }
    let mut setting = ClusterSetting::default();
    for (key, value) in attributes {
        match (key.as_str(), value.is_empty()) {
            ("muster", true) => setting.muster = true,
            ("kube-scheduler", true) => setting.kube_scheduler = true,
            ("kubelet", true) => setting.kubelet = true,
            ("coscheduling-crd", true) => setting.coscheduling_crd = true,
            ("prometheus-crds", true) => setting.prometheus_crds = true,
            ("nodes", false) => setting.nodes = value.parse().context("the number of nodes")?,
            ("kube", false) => setting.kube = minors(&value)?,
            ("given", false) => setting.given = Some(value),
            (_, false) if key == "cpu" || key.contains('/') => {
                setting.resources.insert(key, value);
            }
            _ => bail!("a cluster has no {key}"),
        }
    }
    Ok(Setting::Cluster(setting))
}

fn minors(text: &str) -> Result<Vec<KubeMinor>> {
    let minors: BTreeSet<KubeMinor> = text.split_whitespace().map(str::parse).collect::<Result<_>>()?;
    Ok(minors.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(setting: &str, blocks: &[(&str, &str)]) -> Result<Option<Plan>, Vec<String>> {
        let blocks = blocks
            .iter()
            .map(|(info, text)| format!("```{info}\n{text}\n```\n"))
            .collect::<Vec<_>>()
            .join("\n");
        Plan::of(&Page::parse("p.md", &format!("{setting}\n\n{blocks}")))
    }

    const PLAIN: &str = "<!-- test: plain -->";

    #[test]
    fn a_block_is_run_or_says_why_not() {
        let plan_of = plan(
            PLAIN,
            &[("sh", "muster version"), ("text", "x"), ("sh not-run=\"a cloud\"", "y")],
        );
        let plan_of = plan_of.unwrap().unwrap();
        assert_eq!(plan_of.stories[""].len(), 1);
        assert!(!plan_of.tells_minors_apart());
        assert!(
            plan("", &[("rust", "x"), ("sh not-run=\"a cloud\"", "y")])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn whatever_would_be_passed_over_is_complained_of() {
        for (setting, info, text, complaint) in [
            ("", "sh", "muster version", "no comment"),
            (PLAIN, "text", "x", "nothing in it is run"),
            (PLAIN, "", "x", "language \"\""),
            (PLAIN, "bash", "x", "language \"bash\""),
            (PLAIN, "sh not-run", "x", "no reason"),
            (PLAIN, "sh fails=yes", "x", "no exit code"),
            (PLAIN, "sh when=later", "x", "no attribute when"),
            (PLAIN, "console", "no prompt", "begins with"),
            (PLAIN, "yaml", "a: [", "no YAML"),
            (PLAIN, "yaml", "replicas: 2", "nobody here reads"),
            (
                PLAIN,
                "yaml file=values.yaml",
                "replicas: 2",
                "no command reads values.yaml",
            ),
            (PLAIN, "yaml", "apiVersion: v1\nkind: Pod", "needs a cluster"),
            (PLAIN, "sh background", "muster run", "needs a cluster"),
            ("<!-- test: cloud -->", "sh", "x", "plain"),
            ("<!-- test: cluster gpus=3 -->", "sh", "x", "a cluster has no gpus"),
            ("<!-- test: cluster given -->", "sh", "x", "a cluster has no given"),
            ("<!-- test: cluster kube=1.20 -->", "sh", "x", "1.20"),
        ] {
            let complaints = plan(setting, &[(info, text)]).unwrap_err();
            assert!(
                complaints.iter().any(|c| c.contains(complaint)),
                "{info}: {complaints:?}"
            );
        }
        let indented = Page::parse("p.md", "x\n\n    muster version\n");
        assert!(Plan::of(&indented).unwrap_err()[0].contains("p.md:3: an indented block"));
    }

    #[test]
    fn a_file_is_read_by_a_later_command_of_its_story() {
        let file = ("yaml file=values.yaml story=a", "replicas: 2");
        let command = ("sh story=a", "helm template -f values.yaml");
        let cluster = "<!-- test: cluster nodes=2 cpu=8 example.com/gpu=1 muster kube=1.35 given=docs/a.yaml -->";
        let plan_of = plan(cluster, &[file, command]).unwrap().unwrap();
        assert_eq!(plan_of.stories["a"].len(), 2);
        let Setting::Cluster(setting) = &plan_of.setting else {
            panic!("a cluster was asked for");
        };
        assert_eq!((setting.nodes, setting.kube.as_slice()), (2, &[KubeMinor::V1_35][..]));
        assert_eq!(setting.resources["example.com/gpu"], "1");
        assert_eq!(setting.given.as_deref(), Some("docs/a.yaml"));
        assert!(plan_of.tells_minors_apart());
        assert!(plan(cluster, &[command, file]).is_err());
        assert!(plan(cluster, &[file, ("sh", "helm template -f values.yaml")]).is_err());
    }

    #[test]
    fn each_document_has_its_reader() {
        for (version, expected) in [
            ("v1", Reader::ApiServer),
            ("batch/v1", Reader::ApiServer),
            ("scheduling.k8s.io/v1alpha1", Reader::ApiServer),
            ("kubescheduler.config.k8s.io/v1", Reader::Configuration),
            ("muster.dev/v1alpha1", Reader::Configuration),
            ("sim.muster.dev/v1alpha1", Reader::Simulation),
            ("kustomize.config.k8s.io/v1beta1", Reader::Nobody),
        ] {
            assert_eq!(
                reader(&serde_json::json!({ "apiVersion": version })),
                expected,
                "{version}"
            );
        }
    }
}
