//! `muster version`.

use std::io::Write;
use std::process::ExitCode;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Print the version
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(Args {}: &Args) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "muster {VERSION}")?;
    Ok(ExitCode::SUCCESS)
}
