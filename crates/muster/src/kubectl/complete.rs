//! Completion for `kubectl muster`. kubectl runs an executable of the name `kubectl_complete-muster` with the words so far, and
//! expects what cobra's `__complete` writes: a candidate a line, with its description behind a tab, and a directive at the end.
//!
//! Source: `k8s.io/kubectl/pkg/cmd/plugin.SetupPluginCompletion` and cobra's `completions.go`.

use clap::{Arg, Command};

/// The text of `kubectl_complete-muster`.
pub(crate) const EXECUTABLE: &str = "#!/bin/sh
# Completion of `kubectl muster`. kubectl runs it with the words that have been typed: put it into the PATH beside
# kubectl-muster, as kubectl_complete-muster, and make it executable.
exec kubectl-muster __complete \"$@\"
";

/// cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: &str = ":4\n";
/// cobra's `ShellCompDirectiveDefault`: the shell completes names of files.
const FILES: &str = ":0\n";

/// What could stand in the place of the last word.
pub(crate) fn complete(root: &Command, words: &[String]) -> String {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let mut command = root;
    let mut expects = None;
    for word in before {
        expects = match word.strip_prefix('-') {
            // The value of a switch does not stand in a word of its own.
            Some(_) => value_of(root, command, word).filter(|flag| !flag.is_require_equals_set()),
            None if expects.take().is_some() => None,
            None => {
                command = command.find_subcommand(word).unwrap_or(command);
                None
            }
        };
    }
    let candidates = match (expects, last.split_once('=')) {
        (Some(flag), _) => return values(flag, "", last),
        (None, Some((name, value))) if name.starts_with('-') => match value_of(root, command, name) {
            Some(flag) => return values(flag, &format!("{name}="), value),
            None => Vec::new(),
        },
        _ if last.starts_with('-') => flags(root, command),
        _ => subcommands(command),
    };
    rendered(candidates, last, NO_FILES)
}

/// The flag of this name, when it has a value.
fn value_of<'c>(root: &'c Command, command: &'c Command, word: &str) -> Option<&'c Arg> {
    let is_it = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(&short.to_string())),
    };
    all_flags(root, command)
        .find(is_it)
        .filter(|arg| arg.get_action().takes_values())
}

fn all_flags<'c>(root: &'c Command, command: &'c Command) -> impl Iterator<Item = &'c Arg> {
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    let own = command.get_arguments().filter(|arg| !arg.is_global_set());
    own.chain(global)
}

fn flags(root: &Command, command: &Command) -> Vec<(String, String)> {
    let shown = all_flags(root, command).filter(|arg| !arg.is_hide_set());
    let longs = shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), first_line(arg.get_help()))));
    longs.collect()
}

fn subcommands(command: &Command) -> Vec<(String, String)> {
    let shown = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    shown
        .map(|sub| (sub.get_name().to_owned(), first_line(sub.get_about())))
        .collect()
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn values(flag: &Arg, prefix: &str, begun: &str) -> String {
    let possible = flag.get_possible_values();
    let value = |value: &clap::builder::PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        (format!("{prefix}{}", value.get_name()), help)
    };
    let is_file = flag
        .get_value_names()
        .is_some_and(|names| names.iter().any(|name| name.as_str() == "FILE"));
    let directive = if is_file { FILES } else { NO_FILES };
    rendered(
        possible.iter().map(value).collect(),
        &format!("{prefix}{begun}"),
        directive,
    )
}

fn rendered(candidates: Vec<(String, String)>, begun: &str, directive: &str) -> String {
    let fitting = candidates.into_iter().filter(|(word, _)| word.starts_with(begun));
    let line = |(word, help): (String, String)| {
        if help.is_empty() {
            format!("{word}\n")
        } else {
            format!("{word}\t{help}\n")
        }
    };
    fitting.map(line).collect::<String>() + directive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::Cli;
    use clap::CommandFactory as _;
    use proptest::prelude::*;

    fn completed(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        complete(&Cli::command(), &words)
    }

    #[test]
    fn candidates() {
        let cases: [&[&str]; 13] = [
            &[""],
            &["g"],
            &["get", ""],
            &["-n", "shop", "get", ""],
            &["get", "gangs", "--na"],
            &["get", "gangs", "-o", ""],
            &["get", "gangs", "--output=j"],
            &["--kubeconfig", "x"],
            &["get", "gangs", "--as"],
            &["--client-key", ""],
            &["--as", "get", ""],
            &["--insecure-skip-tls-verify", "get", ""],
            &["--cache-dir", "get", "--c"],
        ];
        let shown = cases.map(|words| format!("{words:?}\n{}", completed(words)));
        insta::assert_snapshot!(shown.join("\n"));
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(words in prop::collection::vec("(get|gangs|-n|-o|--|--output=|[-=a-z]{0,4})", 0..6)) {
            let text = complete(&Cli::command(), &words);
            prop_assert!(text.ends_with(NO_FILES) || text.ends_with(FILES));
        }
    }
}
