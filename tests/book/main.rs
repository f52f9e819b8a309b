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

/// Most of what pages look for in logs is said only when something goes wrong: the pages' commands find nothing.
#[test]
fn what_pages_look_for_in_logs_is_logged() {
    let mut paths = Vec::new();
    add_files(&workspace_root().join("crates"), "rs", &mut paths).unwrap();
    paths.retain(|path| path.contains("/src/"));
    let read = |path: &String| fs::read_to_string(workspace_root().join(path)).unwrap();
    let sources: String = paths.iter().map(read).collect();
    let mut n_looks = 0;
    let mut complaints = Vec::new();
    for page in pages().unwrap() {
        for (line, words) in looked_for_in_logs(&read(&page.path)) {
            n_looks += 1;
            // As a message begins; a comment has no quotation mark before the words.
            if !sources.contains(&format!("\"{words}")) {
                complaints.push(format!("{}: nobody logs {words:?}", page.place(line)));
            }
        }
    }
    none(&complaints);
    assert!(
        5 <= n_looks,
        "commands and tables look for words in logs, not only {n_looks} times"
    );
}

/// The words that a page looks for in logs, each with its line: in what `kubectl logs` prints, and in tables of what stands in
/// a log. Words with `…` are not Muster's, or begin with what is not.
fn looked_for_in_logs(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_table = false;
    for (n, line) in text.lines().enumerate() {
        let after_grep = line
            .split_once(" logs ")
            .and_then(|(_, rest)| rest.split_once("| grep "));
        let quoted = after_grep.and_then(|(_, pattern)| pattern.split('\'').nth(1));
        let mut words: Vec<&str> = quoted.into_iter().flat_map(|pattern| pattern.split('|')).collect();
        in_table = line.starts_with("| in the log |") || (in_table && line.starts_with('|'));
        if in_table {
            let cell = line.split('|').nth(1).unwrap_or_default();
            words.extend(cell.split('`').skip(1).step_by(2).filter(|words| !words.contains('…')));
        }
        found.extend(words.into_iter().map(|words| (n + 1, words.to_owned())));
    }
    found
}

#[test]
fn words_in_logs_are_looked_for_by_commands_and_tables() {
    let text = "kubectl logs a -c b | grep -E 'one|two three' | tail\nkubectl logs a | wc\n\n| in the log | do |\n|---|---|\n\
                | `four`, `five` | `six` |\n| `seven …` | |\n\n| `eight` | |\n";
    let found: Vec<(usize, String)> = looked_for_in_logs(text);
    let found: Vec<(usize, &str)> = found.iter().map(|(line, words)| (*line, words.as_str())).collect();
    assert_eq!(found, [(1, "one"), (1, "two three"), (6, "four"), (6, "five")]);
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
