//! Random cases in rounds: pairs of programs side by side, each answering the same cases.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use muster_oracle::coverage::Coverage;
use muster_oracle::explained::explanation;
use muster_oracle::program::Program;
use muster_oracle::{Answer, Case, Difference, differences, generate};

use crate::kube_minor::KubeMinor;

/// How many cases a pair of programs gets at once: enough to keep them busy, few enough to stop soon.
pub(super) const ROUND: u64 = 200;

/// After so many differing cases there is enough to look at.
const ENOUGH: usize = 50;

/// The two programs that are compared.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    upstream: PathBuf,
    muster: PathBuf,
    muster_args: Vec<String>,
}

impl Programs {
    /// Upstream's program and Muster.
    pub(super) fn new(upstream: &Path, muster: &Path, kube: KubeMinor) -> Programs {
        Programs {
            upstream: upstream.to_owned(),
            muster: muster.to_owned(),
            muster_args: ["evaluate", "--kube", &kube.to_string()].map(str::to_owned).to_vec(),
        }
    }

    /// Upstream's program in both places.
    pub(super) fn upstream_alone(upstream: &Path) -> Programs {
        Programs {
            upstream: upstream.to_owned(),
            muster: upstream.to_owned(),
            muster_args: vec![],
        }
    }

    /// A pair of them, upstream's first.
    pub(super) fn start(&self) -> (Program, Program) {
        let args: Vec<&str> = self.muster_args.iter().map(String::as_str).collect();
        (Program::new(&self.upstream, &[]), Program::new(&self.muster, &args))
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    pub(super) kube: KubeMinor,
    pub(super) seed: u64,
    pub(super) cases: u64,
    pub(super) jobs: NonZeroUsize,
    pub(super) keep_going: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How many cases were asked.
    pub(super) asked: u64,
    pub(super) coverage: Coverage,
    /// Cases that upstream refuses to judge, with what it says.
    pub(super) refused: Vec<(Case, String)>,
    /// Cases with an unexplained difference: the first one of each.
    pub(super) differing: Vec<(Case, Difference)>,
    /// How many differences have which explanation.
    pub(super) explained: BTreeMap<&'static str, usize>,
}

impl Rounds {
    /// Asks all cases, or until enough of them differ.
    pub(super) fn ask(&self, programs: &Programs) -> Result<Outcome> {
        let next_round = AtomicU64::new(0);
        let has_enough = AtomicBool::new(false);
        let outcomes: Vec<Result<Outcome>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.get())
                .map(|_| scope.spawn(|| self.work(programs, &next_round, &has_enough)))
                .collect();
            let ends = workers.into_iter().map(|worker| worker.join());
            ends.map(|end| end.map_err(|_| anyhow!("a thread that asks cases panicked"))?)
                .collect()
        });
        let mut all = Outcome::new(self.kube);
        for outcome in outcomes {
            all.merge(outcome?);
        }
        Ok(all)
    }

    fn work(&self, programs: &Programs, next_round: &AtomicU64, has_enough: &AtomicBool) -> Result<Outcome> {
        let (mut upstream, mut muster) = programs.start();
        let mut outcome = Outcome::new(self.kube);
        while !has_enough.load(Ordering::Relaxed) {
            let first = next_round.fetch_add(ROUND, Ordering::Relaxed);
            if self.cases <= first {
                break;
            }
            let numbers = first..self.cases.min(first + ROUND);
            let cases: Vec<Case> = numbers
                .map(|number| generate(self.seed, number, self.kube.number()))
                .collect();
            let (upstream, muster) = ask_both(&mut upstream, &mut muster, &cases)?;
            for (case, (upstream, muster)) in cases.into_iter().zip(upstream.iter().zip(&muster)) {
                outcome.add(case, upstream, muster);
            }
            if !self.keep_going && ENOUGH <= outcome.differing.len() + outcome.refused.len() {
                has_enough.store(true, Ordering::Relaxed);
            }
        }
        Ok(outcome)
    }
}

/// Both work on the cases at the same time.
fn ask_both(upstream: &mut Program, muster: &mut Program, cases: &[Case]) -> Result<(Vec<Answer>, Vec<Answer>)> {
    thread::scope(|scope| {
        let upstream = scope.spawn(|| upstream.ask_all(cases));
        let muster = muster.ask_all(cases)?;
        let upstream = upstream
            .join()
            .map_err(|_| anyhow!("the thread that asks upstream panicked"))??;
        Ok((upstream, muster))
    })
}

impl Outcome {
    fn new(kube: KubeMinor) -> Outcome {
        Outcome {
            asked: 0,
            coverage: Coverage::new(kube.number()),
            refused: Vec::new(),
            differing: Vec::new(),
            explained: BTreeMap::new(),
        }
    }

    fn add(&mut self, case: Case, upstream: &Answer, muster: &Answer) {
        self.asked += 1;
        if let Some(error) = upstream.error() {
            self.refused.push((case, error.to_owned()));
            return;
        }
        self.coverage.add(&case, upstream);
        let mut first = None;
        for difference in differences(upstream, muster) {
            match explanation(&case, &difference) {
                Some(explanation) => *self.explained.entry(explanation.name).or_default() += 1,
                None => {
                    first.get_or_insert(difference);
                }
            }
        }
        if let Some(difference) = first {
            self.differing.push((case, difference));
        }
    }

    fn merge(&mut self, other: Outcome) {
        self.asked += other.asked;
        self.coverage.merge(&other.coverage);
        self.refused.extend(other.refused);
        self.differing.extend(other.differing);
        for (name, count) in other.explained {
            *self.explained.entry(name).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refused_cases_are_not_compared_and_differing_ones_are_kept_once() {
        let mut outcome = Outcome::new(KubeMinor::V1_35);
        let case = generate(1, 1, 35);
        let accepted = Answer::new(json!({"nodes": {"a": {"ok": true}, "b": {"ok": true}}}));
        let other = Answer::new(json!({"nodes": {"a": {"ok": false}, "b": {"ok": false}}}));
        outcome.add(case.clone(), &accepted, &accepted);
        outcome.add(case.clone(), &Answer::failure("no such field"), &other);
        outcome.add(case, &accepted, &other);
        assert_eq!((outcome.asked, outcome.refused.len()), (3, 1));
        let paths: Vec<&str> = outcome.differing.iter().map(|(_, found)| found.path.as_str()).collect();
        assert_eq!(paths, ["nodes.a.ok"]);
    }

    #[test]
    fn all_cases_are_asked_once_however_many_work() {
        // A program that only names the case, as both sides: no verdicts, so no differences.
        let programs = Programs {
            upstream: "cat".into(),
            muster: "cat".into(),
            muster_args: vec![],
        };
        for jobs in [1, 3] {
            let rounds = Rounds {
                kube: KubeMinor::V1_35,
                seed: 1,
                cases: ROUND * 2 + 7,
                jobs: NonZeroUsize::new(jobs).unwrap(),
                keep_going: false,
            };
            let outcome = rounds.ask(&programs).unwrap();
            assert_eq!((outcome.asked, outcome.differing.len()), (ROUND * 2 + 7, 0));
        }
    }
}
