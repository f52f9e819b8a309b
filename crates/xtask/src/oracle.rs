//! `cargo xtask oracle`: Muster's verdicts and scores against those of upstream's own scheduler plugins.
//!
//! What is asked and how it is judged stands in the package `muster-oracle`; this puts the programs and the cases
//! together. See docs/testing.md.

mod mutants;
mod rounds;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::thread;

use anyhow::{Context as _, Result, bail};
use muster_oracle::explained::{EXPLANATIONS, explanation};
use muster_oracle::program::Program;
use muster_oracle::regressions::{self, Regression};
use muster_oracle::{Case, Difference, differences, generate, shrink};

use crate::binaries::ensure_oracle;
use crate::kube_minor::KubeMinor;
use crate::steps::{step, workspace_root};
use crate::test::build_muster;
use rounds::{Outcome, Programs, Rounds};

/// How many differences are shrunk and written: the others mostly have the same causes.
const SHRUNK: usize = 5;

/// How many smaller cases are tried to shrink one.
const MOST_QUESTIONS: usize = 4000;

/// What `cargo xtask test` asks too: changing the seed asks other cases from then on.
const DEFAULT_CASES: u64 = 20_000;
const DEFAULT_SEED: u64 = 1;

/// What to ask, and of whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The Kubernetes minor whose scheduler is asked: 1.35, 1.36 or 1.37.
    #[arg(long, default_value_t)]
    kube: KubeMinor,
    /// How many random cases to ask; with --mutations, at most, for each mutation.
    #[arg(long, default_value_t = DEFAULT_CASES)]
    cases: u64,
    /// The seed of the random cases.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// How many pairs of programs work side by side.
    #[arg(long, default_value_t = default_jobs())]
    jobs: NonZeroUsize,
    /// Ask this one case, such as 1-4711 (seed and number) or a file with a case, and show what both say.
    #[arg(long, conflicts_with_all = ["mutations", "update_regressions", "upstream_alone"])]
    case: Option<String>,
    /// Ask all cases, however many differ.
    #[arg(long)]
    keep_going: bool,
    /// Ask upstream twice and leave Muster out: tries the cases, not Muster.
    #[arg(long)]
    upstream_alone: bool,
    /// Ask upstream the kept cases anew and store what it answers.
    #[arg(long, conflicts_with = "mutations")]
    update_regressions: bool,
    /// Build Muster with deliberate mistakes, and see that each is noticed.
    #[arg(long)]
    mutations: bool,
}

impl Args {
    /// Random cases in a minor, as many and the same ones as when nothing else is said.
    pub(crate) fn random_cases(kube: KubeMinor) -> Args {
        Args {
            kube,
            cases: DEFAULT_CASES,
            seed: DEFAULT_SEED,
            jobs: default_jobs(),
            case: None,
            keep_going: false,
            upstream_alone: false,
            update_regressions: false,
            mutations: false,
        }
    }
}

/// Upstream's program works on several cases at once by itself, so one pair of programs for two processors.
fn default_jobs() -> NonZeroUsize {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN)
}

/// Asks, compares and reports; fails on any difference that has no explanation.
pub fn run(args: &Args) -> Result<()> {
    if args.update_regressions {
        return update_regressions();
    }
    let upstream = step("build of upstream's oracle", || ensure_oracle(args.kube))?;
    if args.mutations {
        return mutants::run(&upstream, args);
    }
    let programs = if args.upstream_alone {
        Programs::upstream_alone(&upstream)
    } else {
        // As the tests run it: to build it optimised takes longer than the cases do, and here sums that overflow panic.
        Programs::new(&upstream, &step("build of muster", build_muster)?, args.kube)
    };
    match &args.case {
        Some(name) => show(&programs, &named_case(name, args.kube)?, args.kube),
        None => {
            ask_kept_cases(&programs, args.kube)?;
            ask_random_cases(&programs, args)
        }
    }
}

/// The case of a seed and a number, or one in a file.
fn named_case(name: &str, kube: KubeMinor) -> Result<Case> {
    let numbers = name
        .split_once('-')
        .and_then(|(seed, index)| Some((seed.parse().ok()?, index.parse().ok()?)));
    if let Some((seed, index)) = numbers {
        return Ok(generate(seed, index, kube.number()));
    }
    let text = fs::read_to_string(name).with_context(|| format!("reading the case {name:?}"))?;
    let value: serde_json::Value = serde_json::from_str(&text).with_context(|| format!("reading {name}"))?;
    // A kept case has it under `case`.
    Case::from_json(value.get("case").unwrap_or(&value)).with_context(|| format!("reading {name}"))
}

fn show(programs: &Programs, case: &Case, kube: KubeMinor) -> Result<()> {
    let (mut upstream, mut muster) = programs.start();
    let (upstream, muster) = (upstream.ask(case)?, muster.ask(case)?);
    eprintln!("The case, in Kubernetes {kube}:\n{:#}", case.to_json());
    eprintln!("Upstream:\n{:#}\nMuster:\n{:#}", upstream.value(), muster.value());
    let differences = differences(&upstream, &muster);
    for difference in &differences {
        eprintln!("{difference}");
    }
    if !differences.is_empty() {
        bail!("the answers differ in {} places", differences.len());
    }
    Ok(())
}

fn ask_kept_cases(programs: &Programs, kube: KubeMinor) -> Result<()> {
    let (mut upstream, mut muster) = programs.start();
    let mut complaints = Vec::new();
    for (path, kept) in regressions::load(&regressions::folder())? {
        if !kept.minors.contains(&kube.to_string()) {
            continue;
        }
        let case = kept.case()?;
        let answer = upstream.ask(&case)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if kept.stored_answer(&kube.to_string()).as_ref() != Some(&answer) {
            complaints.push(format!("{name}: upstream no longer answers what is stored"));
        }
        let differing = unexplained(&case, differences(&answer, &muster.ask(&case)?));
        complaints.extend(differing.iter().map(|difference| format!("{name}: {difference}")));
    }
    if !complaints.is_empty() {
        bail!("on the kept cases:\n{}", complaints.join("\n"));
    }
    Ok(())
}

fn unexplained(case: &Case, differences: Vec<Difference>) -> Vec<Difference> {
    differences
        .into_iter()
        .filter(|difference| explanation(case, difference).is_none())
        .collect()
}

fn ask_random_cases(programs: &Programs, args: &Args) -> Result<()> {
    let rounds = Rounds {
        kube: args.kube,
        seed: args.seed,
        cases: args.cases,
        jobs: args.jobs,
        keep_going: args.keep_going,
    };
    let outcome = step(&format!("{} cases of seed {}", args.cases, args.seed), || {
        rounds.ask(programs)
    })?;
    report(programs, args, &outcome)
}

fn report(programs: &Programs, args: &Args, outcome: &Outcome) -> Result<()> {
    eprintln!("{}", outcome.coverage);
    for explanation in EXPLANATIONS {
        let count = outcome.explained.get(explanation.name).copied().unwrap_or_default();
        eprintln!("explained: {} × {} ({})", count, explanation.name, explanation.reason);
    }
    let mut complaints = Vec::new();
    for (case, error) in outcome.refused.iter().take(SHRUNK) {
        complaints.push(format!("upstream refuses the case {}: {error}", case.id));
    }
    if SHRUNK < outcome.refused.len() {
        complaints.push(format!("… and {} more cases", outcome.refused.len() - SHRUNK));
    }
    if !outcome.differing.is_empty() {
        complaints.push(write_shrunk(programs, args.kube, outcome)?);
    } else if !args.upstream_alone || outcome.refused.is_empty() {
        complaints.extend(outcome.coverage.missing());
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    eprintln!(
        "{} cases in Kubernetes {}: no unexplained difference",
        outcome.asked, args.kube
    );
    Ok(())
}

/// Shrinks the first case of each kind of difference and writes it where it can be looked at, and kept.
fn write_shrunk(programs: &Programs, kube: KubeMinor, outcome: &Outcome) -> Result<String> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut firsts = Vec::new();
    for (case, difference) in &outcome.differing {
        let count = kinds.entry(&difference.shape).or_default();
        *count += 1;
        if *count == 1 {
            firsts.push((case, difference));
        }
    }
    let mut text = format!("{} of {} cases differ:\n", outcome.differing.len(), outcome.asked);
    for (kind, count) in &kinds {
        text += &format!("{count:>7} × {kind}\n");
    }
    let folder = workspace_root().join("target/oracle");
    fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let (mut upstream, mut muster) = programs.start();
    for (case, difference) in firsts.into_iter().take(SHRUNK) {
        let kept = shrunk(&mut upstream, &mut muster, case, difference, kube)?;
        let path = folder.join(format!("{kube}-{}.json", case.id));
        regressions::store(&path, &kept)?;
        let shown = path.strip_prefix(workspace_root()).unwrap_or(&path);
        text += &format!("\n{}\n  → {}\n", kept.note, shown.display());
    }
    Ok(text)
}

/// The smallest case found that differs in the same way, ready to be kept.
fn shrunk(
    upstream: &mut Program,
    muster: &mut Program,
    case: &Case,
    difference: &Difference,
    kube: KubeMinor,
) -> Result<Regression> {
    let mut first_difference = |case: &Case| -> Option<Difference> {
        let answer = upstream.ask(case).ok()?;
        // A case that upstream refuses is no case, unless that is what it's about.
        if answer.error().is_some() && difference.path != "error" {
            return None;
        }
        let found = differences(&answer, &muster.ask(case).ok()?);
        unexplained(case, found).into_iter().next()
    };
    let is_same = |found: &Difference| found.shape == difference.shape;
    let smallest = shrink::shrink(case, MOST_QUESTIONS, |case| {
        first_difference(case).is_some_and(|found| is_same(&found))
    });
    let found = first_difference(&smallest).unwrap_or_else(|| difference.clone());
    let answer = upstream.ask(&smallest)?;
    Ok(Regression {
        note: format!("{} of case {}", found, case.id),
        minors: vec![kube.to_string()],
        case: smallest.to_json(),
        upstream: BTreeMap::from([(kube.to_string(), answer.value().clone())]),
    })
}

fn update_regressions() -> Result<()> {
    let kept = regressions::load(&regressions::folder())?;
    let mut asked = kept.clone();
    for (_, regression) in &mut asked {
        regression.upstream.clear();
    }
    for kube in KubeMinor::ALL {
        let minor = kube.to_string();
        let mut upstream = Program::new(&ensure_oracle(kube)?, &[]);
        for (path, regression) in asked.iter_mut().filter(|(_, kept)| kept.minors.contains(&minor)) {
            let answer = upstream.ask(&regression.case()?)?;
            if let Some(error) = answer.error() {
                bail!("upstream refuses {}: {error}", path.display());
            }
            regression.upstream.insert(minor.clone(), answer.value().clone());
        }
    }
    let changed = asked.iter().filter(|entry| !kept.contains(entry)).count();
    for (path, regression) in &asked {
        regressions::store(path, regression)?;
    }
    eprintln!("{} kept cases, {changed} with other answers than before", asked.len());
    Ok(())
}
