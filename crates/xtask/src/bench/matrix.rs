//! The cells that are measured for `docs/performance.md`, and how long a run takes.

use std::time::Duration;

use clap::ValueEnum;

use super::case::{Case, Cell};
use super::contestant::Contestant;
use crate::kube_minor::KubeMinor;

/// A set of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Matrix {
    /// Plain pods, zone spread, zone affinity and three gangs of 1,000, each at 1,000 and 5,000 nodes, on 1.35.
    Required,
    /// The same, and what else `docs/performance.md` has a goal for.
    Goals,
}

impl Matrix {
    /// Its cells, in the order in which they are measured.
    pub(super) fn cells(self) -> Vec<Cell> {
        let usual = |case, nodes| Cell::usual(KubeMinor::V1_35, case, nodes);
        let mut cells = Vec::new();
        for nodes in [1000, 5000] {
            cells.push(Cell {
                pods: if nodes == 1000 { 5000 } else { 10_000 },
                ..usual(Case::Plain, nodes)
            });
            cells.extend([Case::ZoneSpread, Case::ZoneAffinity, Case::Gang].map(|case| usual(case, nodes)));
        }
        if self == Matrix::Goals {
            cells.extend([
                usual(Case::HostAntiAffinity, 1000),
                Cell {
                    gangs: 100,
                    ..usual(Case::Gang, 1000)
                },
                usual(Case::Start, 5000),
                Cell::usual(KubeMinor::V1_37, Case::Gang, 1000),
            ]);
            // As many plain pods as there are of those whose pace is compared with theirs: the start and the end of a run
            // are a larger share of a short one.
            cells.extend([(1000, 3000), (1000, 1000), (5000, 3000)].map(|(nodes, pods)| Cell {
                pods,
                ..usual(Case::Plain, nodes)
            }));
        }
        cells
    }
}

/// About how long a run takes on two cores, with all that is around it.
pub(super) fn expected(cell: &Cell, scheduler: Contestant) -> Duration {
    // Start, rest, aftermath and end of a control plane; objects are made at some 800 a second.
    let around = 10.0 + (cell.nodes + cell.pods + cell.bound) as f64 / 800.0;
    let a_thousand = match scheduler {
        Contestant::KubeScheduler => kube_scheduler_seconds(cell),
        Contestant::Muster | Contestant::Null => 1.4,
        Contestant::NullWithoutEvents => 0.8,
    };
    Duration::from_secs_f64(around + 1.0 + a_thousand * cell.pods as f64 / 1000.0)
}

/// The seconds that kube-scheduler took for a thousand pods, in all: measured at 1,000 nodes, and how that grew.
fn kube_scheduler_seconds(cell: &Cell) -> f64 {
    let (at_1000_nodes, growth) = match cell.case {
        Case::Plain | Case::Start => (2.4, 0.2),
        Case::HostnameSpread => (3.7, 0.5),
        Case::ZoneSpread | Case::HostAntiAffinity => (4.8, 0.6),
        Case::ZoneAffinity | Case::ZoneAffinityPreferred => (6.2, 0.7),
        // Members of a gang wait for each other in a loop over all of them.
        Case::Gang if cell.kube == KubeMinor::V1_35 => (7.0 + 20.0 / cell.gangs as f64 * 3.0, 0.5),
        Case::Gang => (8.0, 0.5),
    };
    at_1000_nodes * (cell.nodes as f64 / 1000.0).max(1.0).powf(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_fits_and_is_there_once() {
        let mut cells = Matrix::Goals.cells();
        assert_eq!(cells[..8], Matrix::Required.cells());
        for cell in &cells {
            cell.check().unwrap();
        }
        let n_cells = cells.len();
        cells.sort();
        cells.dedup();
        assert_eq!(cells.len(), n_cells);
    }
}
