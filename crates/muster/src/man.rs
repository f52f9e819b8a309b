//! `muster man`: the manual pages, one for each command.

use crate::WrongUsage;
use crate::{kubectl, text};
use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the manual pages into a folder
///
/// One page for each command, such as muster-run.1 and kubectl-muster-get-gangs.1. Read one with man ./muster-run.1.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The folder; it is made if need be
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes them, and prints their names.
///
/// # Errors
/// A page cannot be written.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder)
        .with_context(|| format!("{folder} cannot be made"))
        .map_err(WrongUsage)?;
    let mut names = String::new();
    for (name, page) in pages() {
        std::fs::write(args.folder.join(&name), page).with_context(|| format!("{folder}/{name} cannot be written"))?;
        names += &format!("{name}\n");
    }
    text::print(&names)?;
    Ok(ExitCode::SUCCESS)
}

/// The pages with their file names.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut pages = Vec::new();
    for root in [crate::Cli::command(), kubectl::Cli::command()] {
        let name = root.get_name().to_owned();
        // Widths of a terminal would end up in the pages.
        let mut root = root.term_width(0).disable_help_subcommand(true);
        root.build();
        collect(&root, &name, &mut pages);
    }
    pages
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let mut page = Vec::new();
    // Man renders into anything that can be written to; a vector cannot fail.
    let rendered = Man::new(command.clone().display_name(name.to_owned())).render(&mut page);
    debug_assert!(rendered.is_ok());
    pages.push((format!("{name}.1"), page));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let names: Vec<String> = pages().into_iter().map(|(name, _)| name).collect();
        insta::assert_snapshot!(names.join("\n"));
    }

    #[test]
    fn the_page_of_get_gangs() {
        let (_, page) = pages()
            .into_iter()
            .find(|(name, _)| name == "kubectl-muster-get-gangs.1")
            .unwrap();
        insta::assert_snapshot!(String::from_utf8(page).unwrap());
    }
}
