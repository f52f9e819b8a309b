//! `cargo xtask demo`: placeholder.
use anyhow::Result;
/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Runs it.
pub fn run(_: &Args) -> Result<()> {
    Ok(())
}
