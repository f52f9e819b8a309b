//! `cargo xtask book`: builds the pages of `docs/` as a book. What is in them is tested elsewhere; see docs/testing.md.

use std::process::Command;

use anyhow::Result;

use crate::steps::{run as run_command, workspace_root};
use crate::tools;

/// The release of mdBook that is installed where there is none.
const MDBOOK: &str = "0.5.4";

/// What to do with the book.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show it in a browser, and build it anew whenever a page changes.
    #[arg(long)]
    serve: bool,
}

/// Builds the book into `target/book`, or serves it until it is interrupted.
pub fn run(args: &Args) -> Result<()> {
    let mdbook = tools::ensure("mdbook", MDBOOK)?;
    let book = workspace_root().join("docs");
    let mut command = Command::new(mdbook);
    if args.serve {
        return run_command(command.args(["serve", "--open"]).arg(book));
    }
    run_command(command.arg("build").arg(book))?;
    let index = workspace_root().join("target/book/index.html");
    eprintln!("the book is in {}", index.display());
    Ok(())
}
