//! Muster with deliberate mistakes, each of which must be noticed.
//!
//! The mistakes go into a copy of the workspace under `target`, which keeps its own builds, so that from one mistake to
//! the next only the plugin and what depends on it is compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use muster_oracle::coverage::plugins;
use muster_oracle::explained::explanation;
use muster_oracle::mutations;
use muster_oracle::program::Program;
use muster_oracle::{Answer, Case, differences, generate};

use super::Args;
use super::rounds::{Programs, ROUND};
use crate::mutants::Scratch;
use crate::steps::{cargo, step, workspace_root};
use crate::test::build_binary;

/// Tries all mutations of the plugins that this minor has.
pub(super) fn run(upstream: &Path, args: &Args) -> Result<()> {
    let minor = args.kube.number();
    let mut table = mutations::load(&mutations::folder())?;
    for entry in &mut table {
        entry
            .mutations
            .retain(|mutation| mutation.matters_in(&args.kube.to_string()));
    }
    table.retain(|entry| !entry.mutations.is_empty());
    let mutated: BTreeSet<&str> = table.iter().map(|entry| entry.plugin.as_str()).collect();
    let mut complaints: Vec<String> = plugins(minor)
        .into_iter()
        .filter(|name| !mutated.contains(name))
        .map(|name| format!("{name} has no mutation"))
        .collect();
    table.retain(|entry| plugins(minor).contains(&entry.plugin.as_str()));

    let scratch = Scratch::refresh(&workspace_root().join("target/oracle/mutants"))?;
    let muster = step("build of muster without a mistake", || build(&scratch))?;
    // The next build writes to the same place.
    let unmutated = scratch.target().join("muster-unmutated");
    fs::copy(&muster, &unmutated).with_context(|| format!("copying {}", muster.display()))?;
    let mut cases = AgreedCases::new(Programs::new(upstream, &unmutated, args.kube), args);

    eprintln!("{:<33}{:<60}caught", "plugin", "mistake");
    for entry in &table {
        for mutation in &entry.mutations {
            let muster = scratch.with(mutation, || build(&scratch))?;
            let (_, mut mutant) = Programs::new(upstream, &muster, args.kube).start();
            let caught = cases.first_noticed(&mut mutant)?;
            let told = match caught {
                Some(number) => format!("after {number} cases"),
                None => "NO".to_owned(),
            };
            eprintln!("{:<33}{:<60}{told}", entry.plugin, mutation.name);
            if caught.is_none() {
                complaints.push(format!("{}: nobody noticed that {}", entry.plugin, mutation.name));
            }
        }
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// Cases with upstream's answers, asked as they are needed, and once for all mutants.
struct AgreedCases {
    upstream: Program,
    unmutated: Program,
    minor: u32,
    seed: u64,
    most: u64,
    /// What upstream and the unmutated Muster agree on: any difference there comes from the mistake.
    agreed: Vec<Vec<(Case, Answer)>>,
}

impl AgreedCases {
    fn new(programs: Programs, args: &Args) -> AgreedCases {
        let (upstream, unmutated) = programs.start();
        AgreedCases {
            upstream,
            unmutated,
            minor: args.kube.number(),
            seed: args.seed,
            most: args.cases,
            agreed: Vec::new(),
        }
    }

    /// How many cases it took until the mutant gave itself away.
    fn first_noticed(&mut self, mutant: &mut Program) -> Result<Option<u64>> {
        let mut round = 0;
        while ROUND * round < self.most {
            let agreed = self.round(round)?;
            let cases: Vec<Case> = agreed.iter().map(|(case, _)| case.clone()).collect();
            let answers = mutant.ask_all(&cases)?;
            let noticed = agreed
                .iter()
                .zip(&answers)
                .position(|((case, upstream), mutant)| differs(case, upstream, mutant));
            if let Some(at) = noticed {
                return Ok(Some(ROUND * round + at as u64 + 1));
            }
            round += 1;
        }
        Ok(None)
    }

    fn round(&mut self, round: u64) -> Result<&[(Case, Answer)]> {
        let at = usize::try_from(round).context("so many rounds")?;
        while self.agreed.len() <= at {
            let first = ROUND * self.agreed.len() as u64;
            let cases: Vec<Case> = (first..first + ROUND)
                .map(|number| generate(self.seed, number, self.minor))
                .collect();
            let upstream = self.upstream.ask_all(&cases)?;
            let unmutated = self.unmutated.ask_all(&cases)?;
            let agreed = cases.into_iter().zip(upstream.into_iter().zip(unmutated));
            let agreed = agreed
                .filter(|(case, (upstream, unmutated))| !differs(case, upstream, unmutated))
                .map(|(case, (upstream, _))| (case, upstream));
            self.agreed.push(agreed.collect());
        }
        Ok(&self.agreed[at])
    }
}

fn differs(case: &Case, upstream: &Answer, muster: &Answer) -> bool {
    differences(upstream, muster)
        .iter()
        .any(|difference| explanation(case, difference).is_none())
}

fn build(scratch: &Scratch) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--quiet", "--package", "muster", "--bin", "muster"]);
    command
        .current_dir(scratch.workspace())
        .env("CARGO_TARGET_DIR", scratch.target());
    build_binary("muster", command)
}
