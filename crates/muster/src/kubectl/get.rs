//! `kubectl muster get`: lists, and what changes in them.

use super::age::age;
use super::flags::{ConnectArgs, ListArgs, Output};
use super::gangs::{Gang, Gangs, KINDS, Status};
use super::table::{Cell, Colour, Column, Table};
use super::{API_VERSION, Failure};
use crate::text;
use jiff::Timestamp;
use muster_api::envelope::EventType;
use muster_api::paths::list_path;
use muster_framework::record::Kind;
use muster_kube::{ReadError, Reader};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// List what Muster schedules
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    Gangs(GangsArgs),
}

/// List the pod groups, in whatever dialect they are written
///
/// STATUS: Waiting, none of the members has a node; Partial, some have, fewer than the group needs; Scheduled; Finished; Failed;
/// Empty. REASON is what Muster has written on the group or its pods, in one word; -o wide has the sentence.
#[derive(clap::Args, Debug)]
#[command(visible_aliases = ["gang", "podgroups", "podgroup"])]
pub(crate) struct GangsArgs {
    /// Only these: a name as the list has it, or that of the Workload
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    list: ListArgs,
}

/// Runs the command.
///
/// # Errors
/// The API server does not answer, or not as it should; a name is not found.
pub(crate) async fn run(command: &Command, connect: &ConnectArgs) -> Result<(), Failure> {
    let Command::Gangs(args) = command;
    let reader = Reader::connect(&connect.options()).await?;
    let namespace = (!args.list.all_namespaces).then(|| connect.namespace(reader.namespace()).to_owned());
    let mut printer = Printer {
        args,
        namespace: namespace.clone(),
        shown: BTreeMap::new(),
    };
    let mut gangs = Gangs::default();
    let mut positions = Vec::new();
    for kind in KINDS {
        let path = path(kind, namespace.as_deref());
        positions.push((kind, list(&reader, kind, &path, &mut gangs).await?));
    }
    printer.print_all(&gangs)?;
    if !args.list.watch {
        return Ok(());
    }
    let (sender, mut news) = mpsc::channel(256);
    for (kind, position) in positions {
        let Some(position) = position else { continue };
        let follower = Follower {
            reader: reader.clone(),
            kind,
            path: path(kind, namespace.as_deref()),
            news: sender.clone(),
        };
        tokio::spawn(follower.run(position));
    }
    drop(sender);
    while let Some(first) = news.recv().await {
        fold(first?, &mut gangs);
        // What belongs together comes together, and is printed once.
        while let Ok(Some(next)) = tokio::time::timeout(QUIET, news.recv()).await {
            fold(next?, &mut gangs);
        }
        printer.print_changes(&gangs)?;
    }
    Ok(())
}

/// So long must nothing happen before changes are printed.
const QUIET: Duration = Duration::from_millis(100);

/// How long to leave a server alone that has ended a watch.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the objects are, of one namespace or of all.
fn path(kind: Kind, namespace: Option<&str>) -> String {
    let all = list_path(kind);
    match (namespace, all.rsplit_once('/')) {
        (Some(namespace), Some((group, resource))) => format!("{group}/namespaces/{namespace}/{resource}"),
        _ => all.to_owned(),
    }
}

/// Lists a kind; None, and noted, if the server does not have it.
async fn list(reader: &Reader, kind: Kind, path: &str, gangs: &mut Gangs) -> Result<Option<String>, ReadError> {
    gangs.clear(kind);
    match reader.list(path, |object| apply(gangs, kind, object)).await {
        Err(error) if error.is_not_found() && kind.holds_group_policies() => {
            gangs.not_served(kind);
            Ok(None)
        }
        listed => listed.map(Some),
    }
}

/// One object that cannot be read must not hide the others.
fn apply(gangs: &mut Gangs, kind: Kind, object: &[u8]) {
    if let Err(error) = gangs.apply(kind, object) {
        text::tell(&format!("warning: {error}\n"));
    }
}

/// What a follower has to tell.
enum News {
    /// Everything of a kind, anew.
    All(Kind, Vec<Vec<u8>>),
    Event(Kind, EventType, bytes::Bytes),
}

fn fold(news: News, gangs: &mut Gangs) {
    match news {
        News::All(kind, objects) => {
            gangs.clear(kind);
            objects.iter().for_each(|object| apply(gangs, kind, object));
        }
        News::Event(kind, EventType::Deleted, object) => gangs.remove(kind, &object),
        News::Event(kind, EventType::Added | EventType::Modified, object) => apply(gangs, kind, &object),
        News::Event(..) => {}
    }
}

/// Follows a kind.
struct Follower {
    reader: Reader,
    kind: Kind,
    path: String,
    news: mpsc::Sender<Result<News, ReadError>>,
}

impl Follower {
    /// Until nobody listens, or the server can no longer be read.
    async fn run(self, mut position: String) {
        loop {
            match self.watch(&position).await {
                Ok(()) => {}
                Err(error) if error.is_expired() => {}
                Err(error) => {
                    // Whoever is told ends; if nobody is there any more, all has ended.
                    let _ = self.news.send(Err(error)).await;
                    return;
                }
            }
            if self.news.is_closed() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
            // A watch that has ended may have missed something: a list tells it, and deletions too.
            let mut objects = Vec::new();
            let listed = self
                .reader
                .list(&self.path, |object| objects.push(object.to_vec()))
                .await;
            let news = match listed {
                Ok(version) => {
                    position = version;
                    Ok(News::All(self.kind, objects))
                }
                Err(error) => Err(error),
            };
            let failed = news.is_err();
            if self.news.send(news).await.is_err() || failed {
                return;
            }
        }
    }

    async fn watch(&self, position: &str) -> Result<(), ReadError> {
        let mut watch = self.reader.watch(&self.path, position).await?;
        while let Some((event_type, object)) = watch.next().await? {
            let news = News::Event(self.kind, event_type, object);
            if self.news.send(Ok(news)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Prints rows, and remembers what it has printed.
struct Printer<'a> {
    args: &'a GangsArgs,
    namespace: Option<String>,
    /// By namespace, dialect and name.
    shown: BTreeMap<(String, &'static str, String), Gang>,
}

impl Printer<'_> {
    fn rows(&self, gangs: &Gangs) -> Vec<Gang> {
        let selector = self.args.list.selector.clone().unwrap_or_default();
        let mut rows = gangs.rows(&selector);
        if !self.args.names.is_empty() {
            rows.retain(|gang| self.args.names.iter().any(|name| is_called(gang, name)));
        }
        rows
    }

    fn print_all(&mut self, gangs: &Gangs) -> Result<(), Failure> {
        let rows = self.rows(gangs);
        let missing = |name: &&String| !rows.iter().any(|gang| is_called(gang, name));
        // A watch waits for what is not there yet.
        if let Some(name) = self.args.names.iter().find(missing).filter(|_| !self.args.list.watch) {
            return Err(Failure::from(ReadError::Server {
                reason: "NotFound".to_owned(),
                message: format!("gangs {name:?} not found"),
                code: 404,
            }));
        }
        self.shown = rows.iter().map(|gang| (id(gang), gang.clone())).collect();
        let nothing = rows.is_empty() && matches!(self.args.list.output, None | Some(Output::Wide | Output::Name));
        if nothing && !self.args.list.watch {
            text::tell(&match &self.namespace {
                Some(namespace) => format!("No resources found in {namespace} namespace.\n"),
                None => "No resources found\n".to_owned(),
            });
            return Ok(());
        }
        self.print(&rows, true)
    }

    fn print_changes(&mut self, gangs: &Gangs) -> Result<(), Failure> {
        let rows = self.rows(gangs);
        let changed: Vec<Gang> = rows
            .iter()
            .filter(|gang| self.shown.get(&id(gang)) != Some(gang))
            .cloned()
            .collect();
        self.shown = rows.into_iter().map(|gang| (id(&gang), gang)).collect();
        if changed.is_empty() {
            Ok(())
        } else {
            self.print(&changed, false)
        }
    }

    fn print(&self, rows: &[Gang], first: bool) -> Result<(), Failure> {
        let headers = first && !self.args.list.no_headers;
        let now = Timestamp::now();
        let out = match self.args.list.output {
            None => table(rows, self.namespace.is_none(), false, now).render(headers),
            Some(Output::Wide) => table(rows, self.namespace.is_none(), true, now).render(headers),
            Some(Output::Name) => rows
                .iter()
                .map(resource_name)
                .fold(String::new(), |out, name| out + &name + "\n"),
            Some(Output::Json) => format!("{:#}\n", list_object(rows)),
            Some(Output::Yaml) => {
                let yaml = serde_saphyr::to_string(&list_object(rows)).map_err(|error| Failure::Other(error.into()))?;
                if first { yaml } else { format!("---\n{yaml}") }
            }
        };
        text::print(&out).map_err(Failure::Other)
    }
}

fn id(gang: &Gang) -> (String, &'static str, String) {
    (gang.namespace.clone(), gang.dialect, gang.name.clone())
}

fn is_called(gang: &Gang, name: &str) -> bool {
    gang.name == name || gang.name.split('/').next() == Some(name)
}

/// Groups without an object are no resource, and have a name of ours.
fn resource_name(gang: &Gang) -> String {
    gang.object.clone().unwrap_or_else(|| format!("gang/{}", gang.name))
}

fn list_object(rows: &[Gang]) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": "GangList", "items": rows })
}

fn table(rows: &[Gang], namespaces: bool, wide: bool, now: Timestamp) -> Table {
    let columns = ["NAME", "DIALECT", "MIN", "MEMBERS", "BOUND", "STATUS", "REASON", "AGE"];
    let columns = namespaces.then_some("NAMESPACE").into_iter().chain(columns);
    let columns = columns.chain(wide.then_some(["SCHEDULER", "MESSAGE"]).into_iter().flatten());
    let mut table = Table::new(columns.map(Column::of).collect()).with_colours_if_wanted();
    for gang in rows {
        let some = |text: &str| {
            if text.is_empty() {
                "<none>".to_owned()
            } else {
                text.to_owned()
            }
        };
        let mut cells: Vec<Cell> = Vec::new();
        if namespaces {
            cells.push(gang.namespace.clone().into());
        }
        cells.extend([
            gang.name.clone().into(),
            gang.dialect.into(),
            gang.min_count.map_or("<none>".to_owned(), |min| min.to_string()).into(),
            gang.members.to_string().into(),
            gang.bound.to_string().into(),
            Cell::from(gang.status.name()).in_colour(colour(gang.status)),
            gang.reason.clone().into(),
            gang.creation_timestamp
                .map_or("<unknown>".to_owned(), |since| age(since, now))
                .into(),
        ]);
        if wide {
            let schedulers: Vec<&str> = gang.schedulers.iter().map(String::as_str).collect();
            cells.extend([some(&schedulers.join(",")).into(), one_line(&gang.message).into()]);
        }
        table.row(cells);
    }
    table
}

/// Messages of others may have line breaks, which would end the row.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn colour(status: Status) -> Colour {
    match status {
        Status::Scheduled | Status::Finished | Status::Empty => Colour::Green,
        Status::Waiting => Colour::Yellow,
        Status::Partial | Status::Failed => Colour::Red,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gangs() -> Vec<Gang> {
        let gang = |name: &str, status, reason: &str| Gang {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            dialect: "PodGroup/v1beta1",
            object: Some(format!("podgroup.scheduling.k8s.io/{name}")),
            min_count: Some(8),
            members: 8,
            bound: if status == Status::Scheduled { 8 } else { 0 },
            status,
            reason: reason.to_owned(),
            message: if reason.is_empty() {
                ""
            } else {
                "no room:\n3 nodes are full"
            }
            .to_owned(),
            schedulers: ["muster".to_owned()].into(),
            creation_timestamp: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        };
        let labels = Gang {
            dialect: "labels",
            object: None,
            min_count: None,
            schedulers: Default::default(),
            creation_timestamp: None,
            ..gang("l", Status::Empty, "")
        };
        vec![
            gang("train", Status::Waiting, "Unschedulable"),
            gang("serve/web[0]", Status::Scheduled, ""),
            labels,
        ]
    }

    fn shown(namespaces: bool, wide: bool, headers: bool) -> String {
        let now = "2026-01-01T00:05:03Z".parse().unwrap();
        table(&gangs(), namespaces, wide, now).render(headers)
    }

    #[test]
    fn tables() {
        let all = [
            shown(false, false, true),
            shown(true, true, true),
            shown(true, false, false),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn lists_and_names() {
        let names: Vec<String> = gangs().iter().map(resource_name).collect();
        insta::assert_snapshot!(format!("{:#}\n{}", list_object(&gangs()[..1]), names.join("\n")));
    }

    #[test]
    fn names_are_those_of_the_list_or_of_the_workload() {
        let all = gangs();
        assert!(is_called(&all[1], "serve/web[0]") && is_called(&all[1], "serve") && !is_called(&all[1], "web"));
    }

    #[test]
    fn paths_of_a_namespace() {
        assert_eq!(path(Kind::Pod, Some("a")), "/api/v1/namespaces/a/pods");
        assert_eq!(
            path(Kind::Workload, Some("a")),
            "/apis/scheduling.k8s.io/v1alpha1/namespaces/a/workloads"
        );
        assert_eq!(path(Kind::Pod, None), "/api/v1/pods");
    }
}
