//! `kubectl muster top`: what waits and why, what is held for whom, how much happens and how long it takes, as it goes on.
//!
//! ```text
//!  live ──keys──► view ──► draw             rows, summary, rates: what stands in the lines
//!   └──asks──► Muster ──► view              text: the same once, without a terminal
//! ```

mod draw;
mod live;
mod rates;
mod rows;
mod summary;
mod text;
mod view;

use super::flags::{ConnectArgs, DirectArgs};
use super::table::colours_are_wanted;
use super::{Failure, ask};
use crate::explain::document::Document as Explanation;
use crate::overview::document::Document;
use crate::overview::paths::path_of;
use muster_engine::Subject;
use muster_kube::{ConnectOptions, ReadError, Reader};
use std::io::IsTerminal as _;
use std::time::Duration;

/// How long the view waits for an answer where nobody says otherwise: a server that is silent must not look like one that has
/// nothing to do.
const PATIENCE: Duration = Duration::from_secs(15);

/// Watch the queue, the gangs, the places that are held, and how fast it all goes
///
/// Enter explains what is selected, ? tells the other keys. It takes the right to list pods: in all namespaces, or with -n in
/// one; of one namespace, the scheduler's rates and latencies are not told. The running Muster is asked through the API server,
/// where the chart's APIService is installed; without it, open a way with kubectl port-forward and name it with --server-url.
///
/// Without a terminal it prints one answer and ends, as with --once.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print one answer and end
    #[arg(long)]
    once: bool,

    /// Print one answer in this format and end
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    /// How long to wait between answers, such as 500ms or 5s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,

    /// Look at all namespaces, as without -n
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    #[command(flatten)]
    direct: DirectArgs,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Not so short that asking is all that the scheduler does.
fn interval(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_millis(100);
    let interval = muster_config::parse_duration(text)?;
    if interval < SHORTEST {
        return Err("must be at least 100ms".to_owned());
    }
    Ok(interval)
}

/// Runs the command.
///
/// # Errors
/// What kept the answer from coming; the live view shows that instead, and asks again.
pub(crate) async fn run(args: &Args, connect: &ConnectArgs) -> Result<(), Failure> {
    let options = connect.options();
    let is_live =
        args.output.is_none() && !args.once && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let options = ConnectOptions {
        request_timeout: options.request_timeout.or(is_live.then_some(PATIENCE)),
        ..options
    };
    let questions = Questions {
        reader: ask::reader(&args.direct, options).await?,
        namespace: looked_at(args, connect),
        direct: &args.direct,
    };
    if !is_live {
        let answer = questions.overview().await?;
        return print(args, &answer).map_err(Failure::Other);
    }
    let about = match &questions.namespace {
        None => "all namespaces".to_owned(),
        Some(namespace) => format!("namespace {namespace}"),
    };
    let view = view::View::new(about, colours_are_wanted());
    live::run(&questions, args.interval, view).await.map_err(Failure::Other)
}

/// None: all namespaces.
fn looked_at(args: &Args, connect: &ConnectArgs) -> Option<String> {
    let given = connect.given_namespace().filter(|_| !args.all_namespaces);
    given.map(str::to_owned)
}

fn print(args: &Args, answer: &Document) -> anyhow::Result<()> {
    let printed = match args.output {
        None => text::text(answer),
        Some(Output::Json) => format!("{}\n", serde_json::to_string_pretty(answer)?),
        Some(Output::Yaml) => serde_saphyr::to_string(answer)?,
    };
    crate::text::print(&printed)
}

/// Whom is asked, and about what.
struct Questions<'a> {
    reader: Reader,
    /// None: all.
    namespace: Option<String>,
    direct: &'a DirectArgs,
}

impl Questions<'_> {
    async fn overview(&self) -> Result<Document, Failure> {
        let path = path_of(self.namespace.as_deref());
        match ask::leader(async || self.reader.get(&path).await).await {
            Ok(body) => serde_json::from_slice(&body).map_err(|error| ask::not_understood("overview", &error)),
            Err(error) if error.is_not_found() => Err(ask::why_absent(&self.reader, self.direct, error).await),
            Err(ReadError::Server {
                reason,
                message,
                code: 403,
            }) if self.namespace.is_none() => Err(Failure::Read(ReadError::Server {
                reason,
                message: format!("{message} (-n NAME looks at one namespace)"),
                code: 403,
            })),
            Err(error) => Err(error.into()),
        }
    }

    async fn explanation(&self, subject: &Subject) -> Result<Explanation, Failure> {
        super::explain::explanation(&self.reader, subject).await
    }
}

#[cfg(test)]
mod tests;
