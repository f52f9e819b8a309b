//! `kubectl muster explain`: where a pod or a group stands, why, and what would help.

use super::flags::{ConnectArgs, DirectArgs};
use super::{Failure, ask};
use crate::WrongUsage;
use crate::evaluate::{judge_of_file, kube_minor};
use crate::explain::document::Document;
use crate::explain::{self, offline, paths};
use crate::text;
use anyhow::anyhow;
use muster_engine::Subject;
use muster_framework::rules::KubeMinor;
use muster_kube::{ReadError, Reader};
use std::path::PathBuf;

/// Explain where a pod or a pod group stands, why it waits, and what would help
///
/// The running Muster is asked through the API server, where the chart's APIService is installed. Without it, open a way
/// with kubectl port-forward and name it with --server-url. With --filename or --from-snapshot nobody is asked: the file
/// holds the cluster.
///
/// Every remedy was tried on a copy of the state, with the filters that decide, unless it says otherwise.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// pod/NAME or podgroup/NAME, or the two in two words; a group of a Workload is podgroup/WORKLOAD/PODGROUP
    #[arg(value_name = "TYPE/NAME", required = true, num_args = 1..=2)]
    subject: Vec<String>,

    /// How to print
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    /// Explain from Kubernetes objects in YAML or JSON, as kubectl get -o yaml prints them; - is the standard input
    #[arg(short, long, value_name = "FILE", group = "offline", conflicts_with = "server_url")]
    filename: Option<PathBuf>,

    /// Explain from a file of muster snapshot, as things stood when it was taken; - is the standard input
    #[arg(long, value_name = "FILE", group = "offline", conflicts_with = "server_url")]
    from_snapshot: Option<PathBuf>,

    /// With --filename or --from-snapshot: the configuration of the scheduler, in place of the one in the snapshot
    #[arg(long, value_name = "FILE", requires = "offline")]
    config: Option<PathBuf>,

    /// With --filename: whose rules and words count
    #[arg(long, value_name = "1.35|1.36|1.37", default_value_t, value_parser = kube_minor, requires = "filename")]
    kube: KubeMinor,

    #[command(flatten)]
    direct: DirectArgs,
}

impl Args {
    /// What to explain, in the namespace where it is.
    fn subject(&self, namespace: &str) -> Result<Subject, String> {
        match self.subject.as_slice() {
            [kind, name] if !kind.contains('/') => explain::subject(&format!("{kind}/{name}"), namespace),
            [first, second, ..] => Err(format!("{second:?} is one argument too many behind {first:?}")),
            one => explain::subject(&one.concat(), namespace),
        }
    }
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// The text with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Runs the command.
///
/// # Errors
/// What kept the answer from coming.
pub(crate) async fn run(args: &Args, connect: &ConnectArgs) -> Result<(), Failure> {
    let document = match from_file(args, connect.namespace("default")).map_err(Failure::Other)? {
        Some(document) => document,
        None => ask(args, connect).await?,
    };
    print(args, &document).map_err(Failure::Other)
}

/// What a file says. None: no file is named.
fn from_file(args: &Args, namespace: &str) -> anyhow::Result<Option<Document>> {
    let subject = || args.subject(namespace).map_err(|problem| WrongUsage(anyhow!(problem)));
    let config = args.config.as_deref();
    Ok(match (&args.filename, &args.from_snapshot) {
        (Some(file), _) => {
            let subject = subject()?;
            let judge = judge_of_file(args.kube, None, config)?;
            Some(offline::explain(&judge, file, &subject)?)
        }
        (None, Some(file)) => Some(offline::explain_snapshot(config, file, &subject()?)?),
        (None, None) => None,
    })
}

async fn ask(args: &Args, connect: &ConnectArgs) -> Result<Document, Failure> {
    let reader = ask::reader(&args.direct, connect.options()).await?;
    let subject = args.subject(connect.namespace(reader.namespace()));
    let subject = subject.map_err(|problem| Failure::Other(WrongUsage(anyhow!(problem)).into()))?;
    match explanation(&reader, &subject).await {
        Err(Failure::Read(error)) if error.is_not_found() => Err(ask::why_absent(&reader, &args.direct, error).await),
        answer => answer,
    }
}

/// What the leader says of a pod or a group.
///
/// # Errors
/// What kept the answer from coming.
pub(super) async fn explanation(reader: &Reader, subject: &Subject) -> Result<Document, Failure> {
    let body = ask::leader(async || ask_once(reader, subject).await).await?;
    serde_json::from_slice(&body).map_err(|error| ask::not_understood("explanation", &error))
}

/// With the names of pods in other namespaces, if one may see these.
async fn ask_once(reader: &Reader, subject: &Subject) -> Result<bytes::Bytes, ReadError> {
    match reader.get(&paths::path_of(subject, true)).await {
        Err(ReadError::Server { code: 403, .. }) => reader.get(&paths::path_of(subject, false)).await,
        answer => answer,
    }
}

fn print(args: &Args, document: &Document) -> anyhow::Result<()> {
    let printed = match args.output {
        None | Some(Output::Wide) => explain::text::text(document, args.output.is_some()),
        Some(Output::Json) => format!("{}\n", serde_json::to_string_pretty(document)?),
        Some(Output::Yaml) => serde_saphyr::to_string(document)?,
    };
    text::print(&printed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_subject_is_one_word_or_two() {
        let subject = |words: &[&str]| {
            let alone = Alone::try_parse_from([&["explain"], words].concat()).expect("well-formed");
            alone.args.subject("shop")
        };
        assert_eq!(subject(&["pod", "web"]), explain::subject("pod/web", "shop"));
        let group = subject(&["-o", "json", "podgroup", "train/workers"]);
        assert_eq!(group, explain::subject("podgroup/train/workers", "shop"));
        assert!(group.is_ok());
        let said = "\"pod/late\" is one argument too many behind \"pod/web\"";
        assert_eq!(subject(&["pod/web", "pod/late"]), Err(said.to_owned()));
        assert!(subject(&["pod"]).is_err());
        assert!(Alone::try_parse_from(["explain"]).is_err());
    }
}
