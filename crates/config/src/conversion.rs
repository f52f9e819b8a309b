//! From a configuration of kube-scheduler to one of Muster, with a list of what stays the same and what does not.
//!
//! The file is not written anew: what Muster reads in the same way is kept as it stands, what has no effect is left out,
//! what Muster refuses is left out and told, and a few values are changed that two schedulers beside each other must not
//! share. Whether something is refused or has no effect is what reading the file says; there is no second opinion here.

use crate::configuration::{Allowances, Configuration, from_documents};
use crate::document::{self, Node, Value, scalar};
use crate::known_plugins::{Effect, KNOWN};
use crate::problem::{Error, Problem};
use crate::profile::DEFAULT_SCHEDULER;
use crate::scheduler::UPSTREAM_LEASE;
use crate::{defaults, own};

/// Where Muster is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Beside kube-scheduler: with a scheduler name and a lease of its own.
    Beside,
    /// In the place of kube-scheduler: with its scheduler name and its lease, which keeps the two from working at once.
    Instead,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It means the same.
    Same,
    /// It means something else, or has been changed.
    Differs,
    /// It is accepted and changes nothing.
    NoEffect,
    /// Muster cannot do it: it is left out.
    Refused,
}

impl Fate {
    /// In lower case, as tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Same => "same",
            Fate::Differs => "differs",
            Fate::NoEffect => "no effect",
            Fate::Refused => "refused",
        }
    }
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The field in the file that was read. One that the file leaves out has no line.
    pub path: String,
    /// Where it stands.
    pub line: Option<u64>,
    /// What it says, when that is one value or one plugin.
    pub value: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What there is to say about it; empty when it is the same.
    pub note: String,
}

/// What came of a conversion.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// The text of Muster's file.
    pub text: String,
    /// What it says.
    pub configuration: Configuration,
    /// The list, in the order of the file; what the file leaves out comes last.
    pub findings: Vec<Finding>,
}

/// Converts the text of a kube-scheduler configuration.
///
/// # Errors
/// It is no such configuration.
pub fn convert(text: &str, place: Place) -> Result<Conversion, Error> {
    let original = document::read(text).map_err(Error::from)?;
    let mut work = Work {
        documents: original.clone(),
        removed: Vec::new(),
        findings: Vec::new(),
        place,
    };
    work.adjust();
    let accepted = work.without_what_is_refused()?;
    work.drop_what_has_no_effect(&accepted.warnings);
    work.tell_the_rest(&original);
    work.tell_what_is_left_out(&original);
    if place == Place::Instead {
        work.allow_default_scheduler_name();
    }
    let configuration = from_documents(&work.documents, work.allowances())?;
    let text = document::write(work.documents.iter().map(|document| &document.value)).map_err(|error| {
        Error::from(Problem {
            path: ".".to_owned(),
            line: None,
            message: error.to_string(),
        })
    })?;
    Ok(Conversion {
        text,
        configuration,
        findings: work.findings,
    })
}

struct Work {
    documents: Vec<Node>,
    /// Items that were taken from lists: the list's path and the item's index, in the order of removal.
    removed: Vec<(String, usize)>,
    findings: Vec<Finding>,
    place: Place,
}

impl Work {
    /// Changes what the two schedulers must not share.
    fn adjust(&mut self) {
        if self.place == Place::Instead {
            return;
        }
        let mut changed = Vec::new();
        for document in &mut self.documents {
            let profiles = child(document, "profiles");
            if let Some(Value::List(profiles)) = profiles.map(|node| &mut node.value) {
                for (i, profile) in profiles.iter_mut().enumerate() {
                    if let Some(name) = child(profile, "schedulerName").filter(|name| is(name, DEFAULT_SCHEDULER)) {
                        name.value = defaults::SCHEDULER_NAME.into();
                        changed.push((format!(".profiles[{i}].schedulerName"), name.line, NAME_CHANGED));
                    }
                }
            }
            let Some(election) = child(document, "leaderElection") else {
                continue;
            };
            for (key, upstream, ours, note) in [
                ("resourceName", UPSTREAM_LEASE, defaults::LEASE_NAME, LEASE_CHANGED),
                ("resourceNamespace", UPSTREAM_NAMESPACE, "", NAMESPACE_CHANGED),
            ] {
                if let Some(field) = child(election, key).filter(|field| is(field, upstream)) {
                    field.value = ours.into();
                    changed.push((format!(".leaderElection.{key}"), field.line, note));
                }
            }
        }
        for (path, line, note) in changed {
            self.find(path, line, Fate::Differs, note);
        }
    }

    fn allowances(&self) -> Allowances {
        Allowances {
            default_scheduler_name: self.place == Place::Instead,
            unnamed: defaults::SCHEDULER_NAME,
        }
    }

    /// Takes out what reading refuses, one field at a time, until nothing is refused.
    fn without_what_is_refused(&mut self) -> Result<Configuration, Error> {
        loop {
            let error = match from_documents(&self.documents, self.allowances()) {
                Ok(configuration) => return Ok(configuration),
                Err(error) => error,
            };
            let Some(problem) = error.problems().first().cloned() else {
                return Err(error);
            };
            let path = self.original(&problem.path);
            // What is wrong with the document itself cannot be left out.
            if !self.remove(&problem.path) {
                return Err(error);
            }
            // An entry that cannot be without what was just taken from it goes with it.
            if !self.findings.iter().any(|finding| within(&finding.path, &path)) {
                self.find(path, problem.line, Fate::Refused, &problem.message);
            }
        }
    }

    fn drop_what_has_no_effect(&mut self, warnings: &[Problem]) {
        let told: Vec<(String, &Problem)> = warnings
            .iter()
            .map(|warning| (self.original(&warning.path), warning))
            .collect();
        for (path, warning) in told {
            let nothing = warning.message.starts_with(NO_EFFECT);
            // Plugins without an effect keep their place in the lists, for the day when they have one.
            let plugin = warning.message.starts_with("has no effect on ");
            let fate = if nothing { Fate::NoEffect } else { Fate::Same };
            self.find(path.clone(), warning.line, fate, &warning.message);
            if nothing && !plugin {
                self.remove(&self.current(&path));
            }
        }
    }

    /// Every field about which nothing has been said is the same.
    fn tell_the_rest(&mut self, original: &[Node]) {
        let mut fields = Vec::new();
        for document in original {
            let root = if is_own(document) { own::KIND } else { "" };
            collect(document, root.to_owned(), &mut fields);
        }
        let mut findings = Vec::new();
        for (path, line) in fields {
            let about = |finding: &&Finding| within(&finding.path, &path) || within(&path, &finding.path);
            let said: Vec<Finding> = self.findings.iter().filter(about).cloned().collect();
            if said.is_empty() {
                findings.push(finding(path, line, Fate::Same, ""));
            } else {
                findings.extend(said);
            }
        }
        // What was said of a field that is not listed by itself, such as a document as a whole.
        findings.extend(self.findings.iter().cloned());
        let mut told: Vec<Finding> = Vec::new();
        for finding in findings {
            if !told.contains(&finding) {
                told.push(finding);
            }
        }
        for finding in &mut told {
            finding.value = value_at(original, &finding.path);
        }
        self.findings = told;
    }

    /// Where kube-scheduler's default is not Muster's, and the file leaves it to the default.
    fn tell_what_is_left_out(&mut self, original: &[Node]) {
        let Some(document) = original.iter().find(|document| !is_own(document)) else {
            return;
        };
        let absent = |path: &[&str]| match lookup(document, path) {
            None => true,
            Some(node) => node.value == Value::Null,
        };
        let unnamed = |profiles: &Node| match &profiles.value {
            Value::List(profiles) => profiles
                .iter()
                .any(|profile| lookup(profile, &["schedulerName"]).is_none()),
            _ => true,
        };
        let beside = self.place == Place::Beside;
        let without_name = lookup(document, &["profiles"]).is_none_or(unnamed);
        let rows = [
            (without_name && beside, ".profiles[].schedulerName", NAME_CHANGED),
            (
                absent(&["leaderElection", "resourceName"]) && beside,
                ".leaderElection.resourceName",
                LEASE_CHANGED,
            ),
            (
                absent(&["leaderElection", "resourceNamespace"]) && beside,
                ".leaderElection.resourceNamespace",
                NAMESPACE_CHANGED,
            ),
            (
                absent(&["clientConnection", "qps"]),
                ".clientConnection.qps",
                "left out: kube-scheduler sends 50 requests a second and 100 at once, Muster as many as the API server's \
                 priority and fairness lets it",
            ),
            (
                absent(&["percentageOfNodesToScore"]),
                ".percentageOfNodesToScore",
                "left out: kube-scheduler looks at a part of the nodes of a large cluster, Muster at all of them",
            ),
        ];
        for (_, path, note) in rows.into_iter().filter(|(differs, ..)| *differs) {
            self.find(path.to_owned(), None, Fate::Differs, note);
        }
        for plugin in KNOWN {
            let told = |finding: &Finding| finding.value == plugin.name;
            if let Effect::Missing(why) = plugin.effect
                && !self.findings.iter().any(told)
            {
                let path = format!("plugin {}", plugin.name);
                self.find(path, None, Fate::NoEffect, &format!("in the default profile: {why}"));
            }
        }
    }

    fn allow_default_scheduler_name(&mut self) {
        let allow = ("allowDefaultSchedulerName".to_owned(), scalar(Value::Bool(true)));
        let own = self.documents.iter_mut().find(|document| is_own(document));
        if let Some(Value::Map(entries)) = own.map(|document| &mut document.value) {
            entries.retain(|(key, _)| *key != allow.0);
            entries.push(allow);
            return;
        }
        let entry = |key: &str, value: &str| (key.to_owned(), scalar(value.into()));
        let entries = vec![entry("apiVersion", own::API_VERSION), entry("kind", own::KIND), allow];
        self.documents.push(scalar(Value::Map(entries)));
    }

    fn find(&mut self, path: String, line: Option<u64>, fate: Fate, note: &str) {
        self.findings.push(finding(path, line, fate, note));
    }

    /// Takes a field out, or the innermost around it that there is; false if that is a document as a whole.
    fn remove(&mut self, path: &str) -> bool {
        let (own, path) = match path.strip_prefix(own::KIND) {
            Some(rest) => (true, rest),
            None => (false, path),
        };
        let Some(document) = self.documents.iter_mut().find(|document| is_own(document) == own) else {
            return false;
        };
        let steps = steps(document, path);
        let Some((last, before)) = steps.split_last() else {
            return false;
        };
        let header = ["apiVersion", "kind"].map(|key| Step::Key(key.to_owned()));
        if before.is_empty() && header.contains(last) {
            return false;
        }
        let mut parent = document;
        for step in before {
            let Some(next) = step.of_mut(parent) else { return false };
            parent = next;
        }
        match (last, &mut parent.value) {
            (Step::Key(key), Value::Map(entries)) => entries.retain(|(known, _)| known != key),
            (Step::Index(index), Value::List(items)) => {
                items.remove(*index);
                let root = if own { own::KIND } else { "" };
                let list: String = before.iter().map(Step::to_string).collect();
                self.removed.push((format!("{root}{list}"), *index));
            }
            _ => return false,
        }
        true
    }

    /// Where a field stood before other items of its lists were taken out.
    fn original(&self, path: &str) -> String {
        let back = |path: String, (list, index): &(String, usize)| {
            shift(&path, list, |i| if *index <= i { i + 1 } else { i }).unwrap_or(path)
        };
        self.removed.iter().rev().fold(path.to_owned(), back)
    }

    /// Where a field stands now.
    fn current(&self, path: &str) -> String {
        let forth = |path: String, (list, index): &(String, usize)| {
            shift(&path, list, |i| if *index < i { i - 1 } else { i }).unwrap_or(path)
        };
        self.removed.iter().fold(path.to_owned(), forth)
    }
}

fn finding(path: String, line: Option<u64>, fate: Fate, note: &str) -> Finding {
    Finding {
        path,
        line,
        value: String::new(),
        fate,
        note: note.to_owned(),
    }
}

/// The lease of kube-scheduler is kept here. Source: `RecommendedDefaultLeaderElectionConfiguration`.
const UPSTREAM_NAMESPACE: &str = "kube-system";

const NO_EFFECT: &str = "has no effect";
const NAME_CHANGED: &str = "is muster now, not default-scheduler: pods choose it with spec.schedulerName; to take \
                            kube-scheduler's place instead, convert with --instead";
const LEASE_CHANGED: &str = "is muster now, not kube-scheduler: Muster does nothing while another holds its lease";
const NAMESPACE_CHANGED: &str = "is the namespace that Muster runs in now, not kube-system: its role allows no other";

/// One step down a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Step {
    fn of<'n>(&self, node: &'n Node) -> Option<&'n Node> {
        match (self, &node.value) {
            (Step::Key(key), Value::Map(entries)) => entries.iter().find(|(known, _)| known == key).map(|(_, n)| n),
            (Step::Index(index), Value::List(items)) => items.get(*index),
            _ => None,
        }
    }

    fn of_mut<'n>(&self, node: &'n mut Node) -> Option<&'n mut Node> {
        match (self, &mut node.value) {
            (Step::Key(key), Value::Map(entries)) => entries.iter_mut().find(|(known, _)| known == key).map(|(_, n)| n),
            (Step::Index(index), Value::List(items)) => items.get_mut(*index),
            _ => None,
        }
    }
}

/// The steps to a field, as far as the tree has them. A key may itself have points and brackets in it.
fn steps(mut node: &Node, mut path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((step, rest)) = first_step(node, path) {
        let Some(next) = step.of(node) else { break };
        (node, path) = (next, rest);
        steps.push(step);
    }
    steps
}

fn first_step<'p>(node: &Node, path: &'p str) -> Option<(Step, &'p str)> {
    match &node.value {
        Value::Map(entries) => {
            let rest = path.strip_prefix('.')?;
            let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
            let fitting = entries.iter().filter_map(|(key, _)| {
                let rest = rest.strip_prefix(key.as_str()).filter(|rest| ends(rest))?;
                Some((Step::Key(key.clone()), rest))
            });
            fitting.min_by_key(|(_, rest)| rest.len())
        }
        Value::List(_) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            Some((Step::Index(index.parse().ok()?), rest))
        }
        _ => None,
    }
}

/// What a field says, when that is one value or one plugin; empty otherwise, and where there is no such field.
fn value_at(documents: &[Node], path: &str) -> String {
    let (own, path) = match path.strip_prefix(own::KIND) {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    let Some(document) = documents.iter().find(|document| is_own(document) == own) else {
        return String::new();
    };
    let steps = steps(document, path);
    if steps.iter().map(Step::to_string).collect::<String>() != path {
        return String::new();
    }
    match steps.iter().try_fold(document, |node, step| step.of(node)) {
        None => String::new(),
        Some(node) => match (&node.value, lookup(node, &["name"])) {
            (Value::Bool(value), _) => value.to_string(),
            (Value::Integer(value), _) => value.to_string(),
            (Value::Number(value), _) => value.to_string(),
            (Value::String(text), _) => text.clone(),
            (_, Some(name)) => match &name.value {
                Value::String(text) => text.clone(),
                _ => String::new(),
            },
            _ => String::new(),
        },
    }
}

fn lookup<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter()
        .try_fold(node, |node, key| Step::Key((*key).to_owned()).of(node))
}

fn child<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    Step::Key(key.to_owned()).of_mut(node)
}

fn is(node: &Node, text: &str) -> bool {
    matches!(&node.value, Value::String(value) if value == text)
}

fn is_own(document: &Node) -> bool {
    lookup(document, &["kind"]).is_some_and(|kind| is(kind, own::KIND))
}

/// `path` with another index into `list`; None if it does not lead through it.
fn shift(path: &str, list: &str, index: impl Fn(usize) -> usize) -> Option<String> {
    let (i, rest) = path.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    Some(format!("{list}[{}]{rest}", index(i.parse().ok()?)))
}

/// Whether `path` is `outer` or a field in it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The fields that are listed by themselves: values that hold no others, and entries of lists of plugins.
fn collect(node: &Node, path: String, out: &mut Vec<(String, Option<u64>)>) {
    let entry_of_plugins = path.contains(".plugins.") && path.ends_with(']');
    match &node.value {
        Value::Map(entries) if !entry_of_plugins && !entries.is_empty() => {
            for (key, node) in entries {
                if !matches!(key.as_str(), "apiVersion" | "kind") {
                    collect(node, format!("{path}.{key}"), out);
                }
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
            for (i, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{i}]"), out);
            }
        }
        // Nothing is said.
        Value::Null => {}
        Value::Map(entries) if entries.is_empty() => {}
        _ => out.push((path, node.line)),
    }
}
