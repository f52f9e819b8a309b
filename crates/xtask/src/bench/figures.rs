//! What runs come to: a figure of each, the median and the extent over rounds, and ratios within a round.

use std::fmt;

use super::case::Cell;
use super::contestant::Contestant;
use super::race::Outcome;
use super::results::Row;

/// A figure that a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Seconds from the start to the first bind.
    First,
    /// Seconds from the start to the last bind.
    Last,
    /// Binds a second, from the first to the last.
    Rate,
    /// Binds a second, from the start to the last.
    RateFromStart,
    /// Processor seconds for a thousand binds.
    CpuPerThousand,
    /// The most memory, in MiB.
    PeakMib,
    /// Requests that write, for each pod.
    WritesPerPod,
    /// Binds that were refused.
    RefusedBinds,
}

impl Figure {
    /// The figure of one run. There is none where a pod went where it may not, or was not bound: speed with a wrong answer
    /// is worth nothing.
    pub(super) fn of(self, outcome: &Outcome) -> Option<f64> {
        if outcome.failure().is_some() {
            return None;
        }
        match self {
            Figure::First => outcome.first_s,
            Figure::Last => outcome.last_s,
            Figure::Rate => outcome.rate(),
            Figure::RateFromStart => outcome.rate_from_start(),
            Figure::CpuPerThousand => outcome.cpu_per_thousand(),
            Figure::PeakMib => Some(outcome.peak_kib as f64 / 1024.0),
            Figure::WritesPerPod => outcome.writes_per_pod(),
            Figure::RefusedBinds => Some(outcome.refused_binds as f64),
        }
    }
}

/// Values of several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// The middle one; of an even number the mean of the two in the middle.
    pub(super) median: f64,
    /// The smallest.
    pub(super) min: f64,
    /// The largest.
    pub(super) max: f64,
    /// How many there are.
    pub(super) rounds: usize,
}

impl Spread {
    /// Of some values; of none there is none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            n if n % 2 == 1 => values[middle],
            0 => return None,
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Spread {
            median,
            min: *values.first()?,
            max: *values.last()?,
            rounds: values.len(),
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, min, max) = (short(self.median), short(self.min), short(self.max));
        if min == max {
            f.pad(&median)
        } else {
            f.pad(&format!("{median} ({min}–{max})"))
        }
    }
}

/// A number with as many digits as are worth reading.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

/// The runs of a contestant in a cell.
pub(super) fn runs<'a>(
    rows: &'a [Row],
    cell: &'a Cell,
    scheduler: Contestant,
) -> impl Iterator<Item = &'a Row> + Clone + 'a {
    rows.iter()
        .filter(move |row| row.cell == *cell && row.scheduler == scheduler)
}

/// A figure of a contestant, over the rounds. There is none unless every run has it.
pub(super) fn over_rounds(rows: &[Row], cell: &Cell, scheduler: Contestant, figure: Figure) -> Option<Spread> {
    let values = runs(rows, cell, scheduler).map(|row| figure.of(&row.outcome));
    Spread::of(values.collect::<Option<Vec<f64>>>()?)
}

/// A figure of a contestant as a multiple of another one's in the same round. There is none unless every run has it.
pub(super) fn ratio(
    rows: &[Row],
    cell: &Cell,
    figure: Figure,
    scheduler: Contestant,
    to: Contestant,
) -> Option<Spread> {
    let pairs = runs(rows, cell, scheduler).filter_map(|row| {
        let other = runs(rows, cell, to).find(|other| other.round == row.round)?;
        Some((figure.of(&row.outcome), figure.of(&other.outcome)))
    });
    let ratios = pairs.map(|(value, of)| Some(value? / of?));
    Spread::of(ratios.collect::<Option<Vec<f64>>>()?)
}

/// What the checker said of all runs of a contestant; or what makes its figures worthless.
pub(super) fn placements(rows: &[Row], cell: &Cell, scheduler: Contestant) -> Result<String, String> {
    let runs = runs(rows, cell, scheduler);
    if let Some(failure) = runs.clone().find_map(|row| row.outcome.failure()) {
        return Err(failure);
    }
    if !scheduler.decides() {
        return Ok("not judged".to_owned());
    }
    let wishes = runs.filter_map(|row| row.outcome.judgement.as_ref()?.wishes_held);
    let percent = Spread::of(wishes.map(|share| share * 100.0));
    Ok(percent.map_or("right".to_owned(), |percent| {
        format!("right, and {percent} % of wishes")
    }))
}

#[cfg(test)]
mod tests {
    use super::super::case::Case;
    use super::super::results::tests::row;
    use super::*;
    use crate::kube_minor::KubeMinor;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        let spread = Spread::of([0.5, 20.0, 345.6]).unwrap();
        assert_eq!(spread.to_string(), "20.0 (0.50–346)");
        assert_eq!(Spread::of([0.04]).unwrap().to_string(), "0.040");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let cell = Cell::usual(KubeMinor::V1_35, Case::Plain, 1000);
        let rows = [
            row(&cell, 1, Contestant::Null, 1.0),
            row(&cell, 1, Contestant::Muster, 1.5),
            // Everything is slower in the second round: the ratio is not.
            row(&cell, 2, Contestant::Muster, 3.0),
            row(&cell, 2, Contestant::Null, 2.0),
            // It has no partner yet.
            row(&cell, 3, Contestant::Muster, 9.0),
        ];
        let ratio = |figure| ratio(&rows, &cell, figure, Contestant::Muster, Contestant::Null).unwrap();
        assert_eq!(ratio(Figure::Last).to_string(), "1.50");
        assert_eq!(ratio(Figure::CpuPerThousand).rounds, 2);
    }

    #[test]
    fn one_wrong_run_makes_a_contestant_worth_nothing() {
        let cell = Cell::usual(KubeMinor::V1_35, Case::Plain, 1000);
        let mut rows = vec![
            row(&cell, 1, Contestant::Muster, 1.0),
            row(&cell, 2, Contestant::Muster, 1.0),
        ];
        let rate = |rows: &[Row]| over_rounds(rows, &cell, Contestant::Muster, Figure::Rate);
        assert!(rate(&rows).is_some());
        rows[1].outcome.judgement.as_mut().unwrap().wrong = Some("pod-1 on node-1: no".to_owned());
        assert_eq!(rate(&rows), None);
    }
}
