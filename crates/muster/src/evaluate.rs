//! `muster evaluate`: where a pod could go, why not elsewhere, and why there rather than there, without a cluster.

mod answer;
mod cases;
mod judge;
mod kinds;
mod manifests;
mod ranking;
mod table;

use crate::WrongUsage;
use anyhow::{Context as _, anyhow};
pub(crate) use judge::Judge;
use muster_framework::rules::KubeMinor;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Say where a pod could go, why not elsewhere, and why there rather than there
///
/// No cluster is needed: FILE holds it. It is either Kubernetes YAML or JSON, as kubectl get -o yaml prints it: nodes,
/// pods, and whatever else matters for pods. Pods with a nodeName run there; those without one are judged, one after the
/// other, or else a pod of each Deployment, ReplicaSet, StatefulSet and Job.
///
/// Or FILE has one case a line, each a JSON object {"id", "objects", "pod", "config"}; then a line of JSON answers each.
/// docs/evaluate.md says what stands in it. A case that cannot be judged is answered with an "error", and the next one is
/// judged.
///
/// Exit codes: 0 every pod or case was judged, whatever the verdict; 1 the input or the output broke off; 2 wrong usage,
/// configuration or manifests.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Nodes, pods and all else, or cases; `-` is the standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// Judge by the rules and in the words of this Kubernetes minor
    #[arg(long, value_name = "1.35|1.36|1.37", default_value_t, value_parser = kube_minor)]
    kube: KubeMinor,

    /// A KubeSchedulerConfiguration; without it, kube-scheduler's default profile counts. A case may state its own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// What FILE holds
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,

    /// How to print what came of manifests
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    /// Judge this pod of the manifests only. One that has a node is judged as if it were nowhere yet
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pod: Option<String>,

    /// List every node, however many there are
    #[arg(long)]
    all: bool,

    /// Break ties between equally good nodes by this seed [default: that of the configuration, else 0]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Cases if the first line is a JSON object with a "pod", else manifests
    Auto,
    /// One case a line
    Cases,
    /// Kubernetes objects, in YAML or JSON
    Manifests,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Columns, with the reasons in words
    Table,
    /// The answers that cases get, indented
    Json,
}

pub(crate) fn kube_minor(text: &str) -> Result<KubeMinor, String> {
    let known = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];
    let minor = known.into_iter().find(|minor| minor.to_string() == text);
    minor.ok_or_else(|| "known are 1.35, 1.36 and 1.37".to_owned())
}

/// Runs the command.
///
/// # Errors
/// What the user has to put right, or the input or the output breaks off.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut judge = judge(args)?;
    let name = match args.file.as_os_str() == "-" {
        true => "<stdin>".to_owned(),
        false => args.file.display().to_string(),
    };
    let mut input = BufReader::with_capacity(1 << 20, open(&args.file)?);
    let mut output = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut first_lines = Vec::new();
    if args.format == Format::Auto {
        read_first_line(&mut input, &mut first_lines).with_context(|| format!("{name} cannot be read"))?;
    }
    let written = if args.format == Format::Cases || args.format == Format::Auto && cases::is_case(&first_lines) {
        refuse_what_manifests_have(args)?;
        cases::answer_all(&mut judge, &first_lines, &mut input, &mut output)
    } else {
        let mut bytes = first_lines;
        input
            .read_to_end(&mut bytes)
            .with_context(|| format!("{name} cannot be read"))?;
        let text = String::from_utf8(bytes).map_err(|error| wrong_usage(anyhow!("{name}: {error}")))?;
        let judged = manifests::judge_all(&mut judge, muster_sim::Source { name, text }, args.pod.as_deref());
        write_manifests(args, &judged.map_err(wrong_usage)?, &mut output)
    };
    match written.and_then(|()| output.flush()) {
        // Whoever reads has seen enough: `muster evaluate … | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.context("the answers cannot be read or written")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that manifests hold, pods among it.
///
/// # Errors
/// What cannot be read, with its place.
pub(crate) fn objects(judge: &Judge, source: muster_sim::Source) -> anyhow::Result<Vec<muster_engine::Object>> {
    manifests::objects(judge, &source)
}

fn judge(args: &Args) -> anyhow::Result<Judge> {
    judge_of_file(args.kube, args.seed, args.config.as_deref())
}

/// Whoever judges by the configuration of a file, or else by the default one.
///
/// # Errors
/// It cannot be read, or is wrong.
pub(crate) fn judge_of_file(kube: KubeMinor, seed: Option<u64>, config: Option<&Path>) -> anyhow::Result<Judge> {
    let text = match config {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some(text.map_err(|error| wrong_usage(anyhow!("--config: cannot read {}: {error}", path.display())))?)
        }
    };
    Judge::new(kube, seed, text.as_deref()).map_err(|problem| {
        let file = config.unwrap_or(Path::new("")).display();
        wrong_usage(anyhow!("--config: {file}: {problem}"))
    })
}

fn open(path: &Path) -> anyhow::Result<Box<dyn std::io::Read>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| wrong_usage(anyhow!("cannot read {}: {error}", path.display())))?;
    Ok(Box::new(file))
}

/// Reads up to the end of the first line that is not blank.
fn read_first_line(input: &mut impl BufRead, lines: &mut Vec<u8>) -> std::io::Result<()> {
    while lines.trim_ascii().is_empty() && input.read_until(b'\n', lines)? != 0 {}
    Ok(())
}

fn refuse_what_manifests_have(args: &Args) -> anyhow::Result<()> {
    if args.pod.is_some() || args.all || args.output != Output::Table {
        return Err(wrong_usage(anyhow!(
            "--pod, --all and --output are for manifests, and these are cases"
        )));
    }
    Ok(())
}

fn write_manifests(args: &Args, judged: &manifests::Judged, output: &mut impl Write) -> std::io::Result<()> {
    for note in &judged.notes {
        writeln!(std::io::stderr(), "note: {note}")?;
    }
    for (at, pod) in judged.pods.iter().enumerate() {
        match args.output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *output, &answer::Answer::of_pod(&pod.id, &pod.evaluation))?;
                writeln!(output)?;
            }
            Output::Table => {
                let gap = if at == 0 { "" } else { "\n" };
                write!(output, "{gap}{}", table::table(&pod.name, &pod.evaluation, args.all))?;
            }
        }
    }
    Ok(())
}

/// What is wrong is a flag, a file or what it says.
fn wrong_usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    WrongUsage(error.into()).into()
}
