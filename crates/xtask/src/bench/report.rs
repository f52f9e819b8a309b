//! `cargo xtask bench report`: the generated part of `docs/performance.md`, and its pictures, from the results.

mod goals;
mod pictures;

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::case::Cell;
use super::compare::{RESULTS, say};
use super::contestant::Contestant;
use super::figures::{Figure, Spread, over_rounds, placements, runs};
use super::matrix::Matrix;
use super::results::{Results, Row};
use crate::steps::workspace_root;

/// The page, and the folder of its pictures, from the root of the workspace.
const PAGE: &str = "docs/performance.md";
const PICTURES: &str = "docs/performance";

/// Where the generated part begins and ends.
const BEGIN: &str = "<!-- begin: cargo xtask bench report -->";
const END: &str = "<!-- end: cargo xtask bench report -->";

/// From what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file with the runs [default: that of `cargo xtask bench compare --matrix`]
    #[arg(long)]
    results: Option<PathBuf>,
}

/// Writes pictures and page.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = workspace_root();
    let path = args.results.clone().unwrap_or_else(|| root.join(RESULTS));
    let rows = Results::open(&path)?.rows;
    if rows.is_empty() {
        bail!(
            "{} has no runs: `cargo xtask bench compare --matrix required` makes some",
            path.display()
        );
    }
    let page = root.join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| format!("reading {PAGE}"))?;
    let text = with_section(&text, &section(&rows)?)?;
    let folder = root.join(PICTURES);
    fs::create_dir_all(&folder).with_context(|| format!("making the folder {PICTURES}"))?;
    for picture in pictures::draw(&rows)? {
        let file = folder.join(picture.file);
        fs::write(&file, picture.svg).with_context(|| format!("writing {}", file.display()))?;
    }
    fs::write(&page, text).with_context(|| format!("writing {PAGE}"))?;
    say(&format!("{PAGE} and {PICTURES} show {} runs", rows.len()))
}

/// The page with another generated part.
fn with_section(page: &str, section: &str) -> Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("{PAGE} has no lines {BEGIN} and {END}"))?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

/// The generated part: goals, all figures, and the pictures.
fn section(rows: &[Row]) -> Result<String> {
    let cells = cells(rows);
    let caption = caption(rows, &cells);
    let mut text = String::new();
    writeln!(text, "\n{}", goals::table(rows))?;
    writeln!(text, "{caption}\n\n### All figures\n")?;
    writeln!(
        text,
        "Medians, with the least and the most of the rounds where they differ.\n"
    )?;
    writeln!(text, "{}", figures_table(rows, &cells))?;
    for picture in pictures::draw(rows)? {
        writeln!(
            text,
            "![{}](performance/{})\n\n{caption}\n",
            picture.title, picture.file
        )?;
    }
    Ok(text)
}

/// The cells that there are, those of the matrix in its order and then others.
fn cells(rows: &[Row]) -> Vec<Cell> {
    let all: BTreeSet<&Cell> = rows.iter().map(|row| &row.cell).collect();
    let matrix = Matrix::Goals.cells();
    let mut cells: Vec<Cell> = all.into_iter().cloned().collect();
    cells.sort_by_key(|cell| matrix.iter().position(|other| other == cell).unwrap_or(matrix.len()));
    cells
}

/// What was measured, where, when, and by which command.
fn caption(rows: &[Row], cells: &[Cell]) -> String {
    let each = |of: &dyn Fn(&Row) -> String| -> String {
        let all: BTreeSet<String> = rows.iter().map(of).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let machine = each(&|row| {
        let machine = &row.machine;
        let (cpu, cores, memory) = (&machine.cpu, machine.cores, machine.memory_gib);
        format!("{cpu}, {cores} processors, {memory} GiB, Linux {}", machine.linux)
    });
    let dates = extent(rows.iter().map(|row| row.date.strftime("%Y-%m-%d").to_string()));
    let loads = extent(rows.iter().map(|row| Load((row.load_before * 10.0).round() as u32)));
    let rounds = extent(cells.iter().flat_map(|cell| {
        Contestant::ALL
            .map(|scheduler| runs(rows, cell, scheduler).count())
            .into_iter()
            .filter(|n_runs| *n_runs > 0)
    }));
    format!(
        "*{}; rounds: {rounds}. {machine}. Kubernetes {}, Muster {}, Rust {}. {dates}; load before a run {loads}.*",
        commands(rows, cells),
        each(&|row| row.versions.kubernetes.clone()),
        each(&|row| row.versions.muster.clone()),
        each(&|row| row.versions.rustc.clone()),
    )
}

/// The command that gives all of it, or the commands.
fn commands(rows: &[Row], cells: &[Cell]) -> String {
    let is_within = |matrix: Matrix| cells.iter().all(|cell| matrix.cells().contains(cell));
    let commands: Vec<String> = if is_within(Matrix::Required) {
        vec!["cargo xtask bench compare --matrix required".to_owned()]
    } else if is_within(Matrix::Goals) {
        vec!["cargo xtask bench compare --matrix goals".to_owned()]
    } else {
        let commands: BTreeSet<&String> = rows.iter().map(|row| &row.command).collect();
        commands.into_iter().cloned().collect()
    };
    let quoted: Vec<String> = commands.iter().map(|command| format!("`{command}`")).collect();
    quoted.join(", ")
}

/// How many processes wanted a processor, in tenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load(u32);

impl Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// The least and the most, or the one that there is.
fn extent<T: Ord + Display>(values: impl Iterator<Item = T> + Clone) -> String {
    match (values.clone().min(), values.max()) {
        (Some(least), Some(most)) if least == most => least.to_string(),
        (Some(least), Some(most)) => format!("{least} to {most}"),
        _ => String::new(),
    }
}

fn figures_table(rows: &[Row], cells: &[Cell]) -> String {
    let mut text =
        "| case | scheduler | first bind, s | last bind, s | binds/s | CPU s per 1,000 | peak, MiB | writes a pod \
                    | refused binds | placements |\n|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for cell in cells {
        for scheduler in Contestant::ALL {
            if runs(rows, cell, scheduler).next().is_none() {
                continue;
            }
            let figures = [
                Figure::First,
                Figure::Last,
                Figure::Rate,
                Figure::CpuPerThousand,
                Figure::PeakMib,
                Figure::WritesPerPod,
                Figure::RefusedBinds,
            ];
            let figures = figures.map(|figure| shown(over_rounds(rows, cell, scheduler, figure)));
            let placements = match placements(rows, cell, scheduler) {
                Ok(right) => right,
                Err(failure) => format!("**{failure}**"),
            };
            text += &format!("| {cell} | {scheduler} | {} | {placements} |\n", figures.join(" | "));
        }
    }
    text
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or("–".to_owned(), |spread| spread.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::case::Case;
    use super::super::results::tests::row;
    use super::*;
    use crate::kube_minor::KubeMinor;

    /// Muster a tenth slower than the null scheduler, and kube-scheduler four times as slow.
    pub(super) fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for cell in [
            Cell::usual(KubeMinor::V1_35, Case::Plain, 1000),
            Cell {
                pods: 5000,
                ..Cell::usual(KubeMinor::V1_35, Case::ZoneSpread, 1000)
            },
            Cell::usual(KubeMinor::V1_35, Case::Gang, 1000),
            Cell::usual(KubeMinor::V1_35, Case::Start, 5000),
        ] {
            for round in 1..=2 {
                let drift = 1.0 + 0.25 * (round - 1) as f64;
                rows.push(row(&cell, round, Contestant::Muster, 1.1 * drift));
                rows.push(row(&cell, round, Contestant::KubeScheduler, 4.0));
                rows.push(row(&cell, round, Contestant::Null, drift));
            }
        }
        rows
    }

    #[test]
    fn the_section_says_all_that_was_measured() {
        insta::assert_snapshot!(section(&rows()).unwrap());
    }

    #[test]
    fn a_wrong_placement_is_said_in_place_of_figures() {
        let mut rows = rows();
        let muster = rows.iter_mut().find(|row| row.scheduler == Contestant::Muster).unwrap();
        muster.outcome.judgement.as_mut().unwrap().wrong = Some("pod-1 on node-1: no".to_owned());
        let section = section(&rows).unwrap();
        let line = section.lines().find(|line| line.contains("| muster |")).unwrap();
        assert_eq!(
            line,
            "| plain, 1,000 nodes, 5,000 pods, 1.35 | muster | – | – | – | – | – | – | – | **wrong: pod-1 on node-1: no** |"
        );
    }

    #[test]
    fn extents_are_of_numbers_and_not_of_words() {
        assert_eq!(extent([Load(98), Load(102)].into_iter()), "9.8 to 10.2");
        assert_eq!(extent([5, 5].into_iter()), "5");
    }

    #[test]
    fn only_the_generated_part_of_the_page_changes() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = with_section(&page, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(with_section(&new, "new\n").unwrap(), new);
        assert!(with_section("before\nafter\n", "new\n").is_err());
    }

    #[test]
    fn the_page_has_a_place_for_it() {
        let page = fs::read_to_string(workspace_root().join(PAGE)).unwrap();
        with_section(&page, "new\n").unwrap();
    }
}
