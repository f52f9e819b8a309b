//! What Muster is to reach beside others, and what it has reached.

use super::super::case::{Case, Cell};
use super::super::contestant::Contestant;
use super::super::figures::{Figure, Spread, over_rounds, ratio, short};
use super::super::results::Row;
use super::{cells, shown};
use crate::kube_minor::KubeMinor;

/// A line of the table.
struct Goal<'a> {
    what: String,
    /// How Muster and kube-scheduler are measured by it.
    of: Box<dyn Fn(Contestant) -> Option<Spread> + 'a>,
    to_reach: f64,
    aim: f64,
}

impl Goal<'_> {
    /// Where the aim is above what is to be reached, more is better.
    fn verdict(&self, median: f64) -> String {
        let (reached, aimed, short_by) = if self.to_reach < self.aim {
            (
                self.to_reach <= median,
                self.aim <= median,
                self.to_reach / median - 1.0,
            )
        } else {
            (
                median <= self.to_reach,
                median <= self.aim,
                median / self.to_reach - 1.0,
            )
        };
        match (reached, aimed) {
            (_, true) => "aim reached".to_owned(),
            (true, false) => "reached".to_owned(),
            (false, false) => {
                // What is hardly short is not short by nothing.
                let decimals = usize::from(short_by < 0.1);
                format!("**short by {:.decimals$} %**", short_by * 100.0)
            }
        }
    }

    fn line(&self) -> Option<String> {
        let muster = (self.of)(Contestant::Muster);
        let kube = (self.of)(Contestant::KubeScheduler);
        if muster.is_none() && kube.is_none() {
            return None;
        }
        Some(format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            self.what,
            shown(kube),
            short(self.to_reach),
            short(self.aim),
            shown(muster),
            muster.map_or("–".to_owned(), |muster| self.verdict(muster.median))
        ))
    }
}

/// The goals of which something was measured.
pub(super) fn table(rows: &[Row]) -> String {
    let cells = cells(rows);
    let mut goals = Vec::new();
    for cell in cells.iter().filter(|cell| cell.kube == KubeMinor::default()) {
        goals.extend(paces(rows, cell));
    }
    for (to, goals_by_case) in [
        (Contestant::Null, [(1.5, 1.2), (1.6, 1.2)]),
        (Contestant::KubeScheduler, [(0.17, 0.12), (0.06, 0.03)]),
    ] {
        for cell in cells.iter().filter(|cell| cell.kube == KubeMinor::default()) {
            let (to_reach, aim) = match cell.case {
                Case::Plain => goals_by_case[0],
                Case::ZoneSpread | Case::ZoneAffinity => goals_by_case[1],
                _ => continue,
            };
            goals.push(times(
                rows,
                cell,
                "CPU per 1,000 binds",
                Figure::CpuPerThousand,
                to,
                to_reach,
                aim,
            ));
        }
    }
    for cell in &cells {
        goals.extend(relative_to_plain(rows, cell, &cells));
    }
    for cell in cells
        .iter()
        .filter(|cell| cell.case == Case::Gang && cell.nodes == 1000)
    {
        let to = Contestant::Null;
        goals.push(times(rows, cell, "start to last bind", Figure::Last, to, 1.2, 1.05));
    }
    for cell in cells.iter().filter(|cell| cell.case == Case::Start) {
        let to = Contestant::KubeScheduler;
        goals.push(times(rows, cell, "peak memory", Figure::PeakMib, to, 0.25, 0.15));
        goals.push(times(rows, cell, "start to first bind", Figure::First, to, 0.5, 0.3));
    }
    let head = "| what | kube-scheduler | to reach | aim | Muster | |\n|---|---|---|---|---|---|\n";
    let lines: String = goals.iter().filter_map(Goal::line).collect();
    format!("{head}{lines}")
}

/// Binds a second as a share of what the null scheduler does, for plain pods.
fn paces<'a>(rows: &'a [Row], cell: &'a Cell) -> Option<Goal<'a>> {
    (cell.case == Case::Plain).then(|| times(rows, cell, "binds/s", Figure::Rate, Contestant::Null, 0.85, 0.95))
}

/// A figure as a multiple of another contestant's.
fn times<'a>(
    rows: &'a [Row],
    cell: &'a Cell,
    what: &str,
    figure: Figure,
    to: Contestant,
    to_reach: f64,
    aim: f64,
) -> Goal<'a> {
    let whose = if to == Contestant::Null {
        "the null scheduler's"
    } else {
        "kube-scheduler's"
    };
    Goal {
        what: format!("{what} ÷ {whose}: {cell}"),
        of: Box::new(move |scheduler| ratio(rows, cell, figure, scheduler, to)),
        to_reach,
        aim,
    }
}

/// How much of the pace of plain pods, on as many nodes, is left when pods ask for more: of as many plain pods where these
/// were measured, since the start and the end of a run are a larger share of a short one. The medians are compared: what was
/// measured after another does not come in pairs.
fn relative_to_plain<'a>(rows: &'a [Row], cell: &'a Cell, cells: &'a [Cell]) -> Option<Goal<'a>> {
    if !matches!(
        cell.case,
        Case::ZoneSpread | Case::ZoneAffinity | Case::HostAntiAffinity
    ) {
        return None;
    }
    let is_plain = |other: &&Cell| other.case == Case::Plain && other.nodes == cell.nodes && other.kube == cell.kube;
    let plain = cells
        .iter()
        .filter(is_plain)
        .min_by_key(|other| other.pods.abs_diff(cell.pods))?;
    let median = move |cell: &Cell, scheduler| Some(over_rounds(rows, cell, scheduler, Figure::Rate)?.median);
    Some(Goal {
        what: format!("binds/s ÷ those of plain pods: {cell}"),
        of: Box::new(move |scheduler| Spread::of([median(cell, scheduler)? / median(plain, scheduler)?])),
        to_reach: 0.85,
        aim: 0.95,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_knows_which_way_is_better() {
        let goal = |to_reach, aim| Goal {
            what: String::new(),
            of: Box::new(|_| None),
            to_reach,
            aim,
        };
        for (to_reach, aim, median, expected) in [
            (0.85, 0.95, 0.97, "aim reached"),
            (0.85, 0.95, 0.9, "reached"),
            (0.85, 0.95, 0.68, "**short by 25 %**"),
            (0.85, 0.95, 0.847, "**short by 0.4 %**"),
            (1.2, 1.05, 1.0, "aim reached"),
            (1.2, 1.05, 1.2, "reached"),
            (1.2, 1.05, 1.5, "**short by 25 %**"),
        ] {
            assert_eq!(goal(to_reach, aim).verdict(median), expected, "{median}");
        }
        assert_eq!(goal(1.2, 1.05).line(), None);
    }
}
