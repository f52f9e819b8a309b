//! The book is complete, its links lead somewhere, each of its blocks is run or says why not, and pages that need no
//! cluster do what they say. Pages about clusters: `tests/cluster/book.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use muster_tests::book::page::Page;
use muster_tests::book::plan::{Plan, Setting, Task};
use muster_tests::book::{BOOK, add_files, chosen_pages, pages, story};
use muster_xtask::{KubeMinor, workspace_root};

const SUMMARY: &str = "docs/SUMMARY.md";

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn every_block_is_run_or_says_why_not() {
    let complaints: Vec<String> = pages()
        .unwrap()
        .iter()
        .filter_map(|page| Plan::of(page).err())
        .flatten()
        .collect();
    none(&complaints);
}

#[test]
fn pages_without_a_cluster_do_what_they_say() {
    let plain = |page: &Page| {
        matches!(
            Plan::of(page),
            Ok(Some(Plan {
                setting: Setting::Plain,
                ..
            }))
        )
    };
    let complaints: Vec<String> = chosen_pages()
        .unwrap()
        .iter()
        .filter(|page| plain(page))
        .flat_map(|page| story::tell(page, KubeMinor::default()))
        .collect();
    none(&complaints);
}

#[test]
fn every_example_is_used_by_a_page() {
    let mut examples = Vec::new();
    for extension in ["yaml", "csv"] {
        add_files(&workspace_root().join("docs/examples"), extension, &mut examples).unwrap();
    }
    let mut used = String::new();
    for page in pages().unwrap() {
        let Ok(Some(plan)) = Plan::of(&page) else {
            continue;
        };
        if let Setting::Cluster(setting) = &plan.setting {
            used.extend(setting.given.as_deref());
        }
        for step in plan.stories.values().flatten() {
            match &step.task {
                Task::Script { text, .. } => used.push_str(text),
                Task::Transcript(exchanges) => used.extend(exchanges.iter().map(|e| e.command.as_str())),
                Task::Background(_) | Task::Manifest { .. } => {}
            }
        }
    }
    examples.retain(|example| !used.contains(example.as_str()));
    none(&examples);
}

/// Simulated nodes have no kubelet that logs could be read from. What pages look for in them is at least what Muster says.
#[test]
fn what_pages_look_for_in_logs_is_in_the_sources() {
    let mut paths = Vec::new();
    add_files(&workspace_root().join("crates"), "rs", &mut paths).unwrap();
    paths.retain(|path| path.contains("/src/"));
    let read = |path: &String| fs::read_to_string(workspace_root().join(path)).unwrap();
    let sources: String = paths.iter().map(read).collect();
    let mut n_looks = 0;
    let mut complaints = Vec::new();
    for page in pages().unwrap() {
        for block in &page.blocks {
            for words in block.text.lines().filter_map(looked_for_in_logs) {
                n_looks += 1;
                if !sources.contains(words) {
                    complaints.push(format!("{}: nobody logs {words:?}", page.place(block.line)));
                }
            }
        }
    }
    none(&complaints);
    assert!(0 < n_looks, "the runbooks look for words in logs");
}

/// The words that a command looks for in what `kubectl logs` prints.
fn looked_for_in_logs(command: &str) -> Option<&str> {
    let (_, after) = command.split_once(" logs ")?;
    let (_, quoted) = after.split_once("| grep '")?;
    quoted.split_once('\'').map(|(words, _)| words)
}

#[test]
fn the_summary_names_every_page_once() {
    let summary = Page::read(SUMMARY).unwrap();
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for link in &summary.links {
        *named.entry(format!("{BOOK}/{}", link.target)).or_default() += 1;
    }
    let mut complaints: Vec<String> = named
        .iter()
        .filter(|(_, times)| **times != 1)
        .map(|(page, times)| format!("{page} is named {times} times"))
        .collect();
    for page in pages().unwrap().iter().filter(|page| page.path != SUMMARY) {
        if !named.contains_key(&page.path) {
            complaints.push(format!("{} is in no chapter", page.path));
        }
    }
    none(&complaints);
}

/// A link out of the book's folder works where the repository is read, and leads nowhere once the book is published.
#[test]
fn no_link_leaves_the_book() {
    let inside = format!("{BOOK}/");
    let mut complaints = Vec::new();
    for page in &pages().unwrap() {
        for link in page.links.iter().filter(|link| !link.target.contains("://")) {
            if !beside(&page.path, &link.target).starts_with(&inside) {
                let place = page.place(link.line);
                complaints.push(format!(
                    "{place}: {} is no page of the book: name the path as code",
                    link.target
                ));
            }
        }
    }
    none(&complaints);
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = pages().unwrap();
    pages.extend(["README.md", "deploy/README.md", "CHANGELOG.md"].map(|path| Page::read(path).unwrap()));
    let anchors: BTreeMap<&str, &BTreeSet<String>> = pages.iter().map(|p| (p.path.as_str(), &p.anchors)).collect();
    let mut complaints = Vec::new();
    for page in &pages {
        for link in page.links.iter().filter(|link| !link.target.contains("://")) {
            let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let path = if path.is_empty() {
                page.path.clone()
            } else {
                beside(&page.path, path)
            };
            let wrong = match anchors.get(path.as_str()) {
                _ if !workspace_root().join(&path).exists() => "leads nowhere",
                Some(anchors) if !anchor.is_empty() && !anchors.contains(anchor) => "has no such heading",
                _ => continue,
            };
            complaints.push(format!("{}: {} {wrong}", page.place(link.line), link.target));
        }
    }
    none(&complaints);
}

/// The path that a relative link in a page leads to, from the root of the workspace.
fn beside(page: &str, target: &str) -> String {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.display().to_string()
}

#[test]
fn links_are_followed_from_the_folder_of_their_page() {
    assert_eq!(beside("docs/runbooks/a.md", "../groups.md"), "docs/groups.md");
    assert_eq!(beside("docs/a.md", "../deploy/README.md"), "deploy/README.md");
    assert_eq!(beside("README.md", "docs/a.md"), "docs/a.md");
    assert!(fs::exists(workspace_root().join(SUMMARY)).unwrap());
}
