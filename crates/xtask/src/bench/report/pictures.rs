//! The pictures of the page: ratios as bars, and what was bound when as curves.

use anyhow::Result;

use super::super::case::{Case, Cell, thousands};
use super::super::chart::{self, BLUE, Bars, GREEN, GREY, ORANGE, Panel, Scale, Series};
use super::super::contestant::Contestant;
use super::super::figures::{Figure, ratio, runs};
use super::super::results::Row;
use super::cells;

/// A picture for the page.
pub(super) struct Picture {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

const PACE: &str =
    "Pace, from the start to the last bind, as a share of the null scheduler's (1 = deciding costs nothing)";
const CPU: &str = "Processor time per bind, as a multiple of the null scheduler's (logarithmic)";
const BESIDE: &str = "What kube-scheduler needs, as a multiple of what Muster needs (logarithmic)";
const BOUND: &str = "Pods bound since the start of the scheduler, median run (time is logarithmic)";

/// Draws all of them.
pub(super) fn draw(rows: &[Row]) -> Result<Vec<Picture>> {
    let of_null =
        |figure| move |rows: &[Row], cell: &Cell, scheduler| ratio(rows, cell, figure, scheduler, Contestant::Null);
    let picture = |file, title, svg| Picture { file, title, svg };
    let deciding = [Contestant::Muster, Contestant::KubeScheduler];
    let pairs = |figure: Figure, title: &'static str, scale: Scale| {
        let groups = cells(rows).into_iter().map(|cell| {
            let values = deciding.map(|scheduler| of_null(figure)(rows, &cell, scheduler));
            (label(&cell), values.to_vec())
        });
        chart::bars(&Bars {
            title,
            series: deciding.map(series).to_vec(),
            groups: groups.collect(),
            scale,
        })
    };
    Ok(vec![
        picture("pace.svg", PACE, pairs(Figure::RateFromStart, PACE, Scale::Linear)?),
        picture("cpu.svg", CPU, pairs(Figure::CpuPerThousand, CPU, Scale::Logarithmic)?),
        picture("beside-kube-scheduler.svg", BESIDE, beside_kube_scheduler(rows)?),
        picture("bound.svg", BOUND, bound(rows)?),
    ])
}

fn series(scheduler: Contestant) -> Series {
    let (name, colour) = match scheduler {
        Contestant::Muster => ("Muster", BLUE),
        Contestant::KubeScheduler => ("kube-scheduler", ORANGE),
        Contestant::Null => ("null scheduler", GREY),
        Contestant::NullWithoutEvents => ("null scheduler without events", GREEN),
    };
    Series { name, colour }
}

/// A cell in three short lines.
fn label(cell: &Cell) -> Vec<String> {
    let case = match cell.case {
        Case::Gang => format!("{} × {}", cell.gangs, thousands(cell.pods / cell.gangs)),
        case => case.to_string(),
    };
    let kind = if cell.case == Case::Gang { "gangs, " } else { "" };
    vec![
        case,
        format!("{kind}{} nodes", thousands(cell.nodes)),
        cell.kube.to_string(),
    ]
}

fn beside_kube_scheduler(rows: &[Row]) -> Result<String> {
    let measures = [
        ("time to the last bind", BLUE, Figure::Last),
        ("processor time", ORANGE, Figure::CpuPerThousand),
        ("peak memory", GREEN, Figure::PeakMib),
    ];
    let groups = cells(rows).into_iter().map(|cell| {
        let times = |figure| ratio(rows, &cell, figure, Contestant::KubeScheduler, Contestant::Muster);
        let values = measures.map(|(_, _, figure)| times(figure)).to_vec();
        (label(&cell), values)
    });
    chart::bars(&Bars {
        title: BESIDE,
        series: measures.map(|(name, colour, _)| Series { name, colour }).to_vec(),
        groups: groups.collect(),
        scale: Scale::Logarithmic,
    })
}

fn bound(rows: &[Row]) -> Result<String> {
    // With a handful of pods there is no curve to see.
    let cells = cells(rows).into_iter().filter(|cell| cell.case != Case::Start);
    let panels: Vec<Panel> = cells
        .map(|cell| Panel {
            title: cell.to_string(),
            curves: Contestant::ALL
                .into_iter()
                .filter_map(|scheduler| Some((series(scheduler), curve(rows, &cell, scheduler)?)))
                .collect(),
        })
        .collect();
    chart::curves(BOUND, &Contestant::ALL.map(series), &panels)
}

/// The run whose last bind is in the middle of all rounds.
fn curve(rows: &[Row], cell: &Cell, scheduler: Contestant) -> Option<Vec<(f64, f64)>> {
    let last = |row: &Row| Figure::Last.of(&row.outcome);
    let mut runs: Vec<&Row> = runs(rows, cell, scheduler).filter(|row| last(row).is_some()).collect();
    runs.sort_by(|a, b| f64::total_cmp(&last(a).unwrap_or(0.0), &last(b).unwrap_or(0.0)));
    let outcome = &runs.get(runs.len() / 2)?.outcome;
    let n_steps = outcome.curve_s.len().checked_sub(1)?;
    let bound_at = |step: usize| 1 + (outcome.bound - 1) * step / n_steps;
    let points = outcome.curve_s.iter().enumerate();
    Some(points.map(|(step, at)| (*at, bound_at(step) as f64)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::rows;
    use super::*;

    #[test]
    fn every_picture_shows_every_cell_and_is_the_same_each_time() {
        let pictures = draw(&rows()).unwrap();
        for (picture, again) in pictures.iter().zip(draw(&rows()).unwrap()) {
            assert_eq!(picture.svg, again.svg);
            for words in ["plain", "zone-spread", "gang"] {
                assert!(picture.svg.contains(words), "{}: {words}", picture.file);
            }
        }
        assert_eq!(pictures.len(), 4);
    }

    #[test]
    fn a_curve_ends_with_all_pods_at_the_last_bind() {
        let rows = rows();
        let cell = &rows[0].cell;
        let curve = curve(&rows, cell, Contestant::KubeScheduler).unwrap();
        assert_eq!(curve.first(), Some(&(0.8, 1.0)));
        assert_eq!(curve.last(), Some(&(20.8, 5000.0)));
    }
}
