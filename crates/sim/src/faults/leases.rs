//! The Lease by which two schedulers agree who leads.
//!
//! Each has its part in the election on its own clock; here are the object, the way to it, and what a scheduler does when
//! it comes to lead, or does no more: then it ends, and another takes its place, as upstream's does.

use super::chaos::subject;
use super::profile::FaultKind;
use super::world::{Occurrence, World};
use muster_engine::Input;
use muster_engine::election::{Answer, LeaseRecord, LeaseWrite, Request, RequestKind, Standing, Timing};
use muster_framework::record::Kind;
use std::time::Duration;

/// Shorter than upstream's, so that a world sees several terms.
pub(super) fn timing() -> Timing {
    let millis = Duration::from_millis;
    Timing::new(millis(5000), millis(3000), millis(500)).unwrap_or_default()
}

impl World {
    /// A candidate looks at its election, if it still wants to.
    pub(super) fn elect_when_due(&mut self, process: usize, incarnation: u64) {
        let of = &self.processes[process];
        let due = of.elect_at.is_none_or(|at| at <= self.now);
        if of.alive && of.incarnation == incarnation && due {
            self.elect(process);
        }
    }

    /// A candidate looks what there is to do in its election.
    fn elect(&mut self, process: usize) {
        let of = &mut self.processes[process];
        let incarnation = of.incarnation;
        let clock = of.clock(self.now);
        let Some(election) = of.election.as_mut() else { return };
        let request = election.poll(clock);
        self.follow_election(process);
        let of = &self.processes[process];
        if !of.alive {
            return;
        }
        if let Some(request) = request {
            let name = subject(&[&of.name, "lease"]);
            let latency = Duration::from_micros(self.chaos.between(name, 300, 4000));
            let asked = Occurrence::LeaseAsked {
                process,
                incarnation,
                request,
            };
            self.agenda.plan(self.now + latency, asked);
        }
        let of = &mut self.processes[process];
        let wakeup = of.election.as_ref().and_then(|election| election.next_wakeup());
        if let Some(wakeup) = wakeup {
            let at = of.when(self.now, wakeup).max(self.now + Duration::from_millis(1));
            of.elect_at = Some(at);
            self.agenda.plan(at, Occurrence::Elect { process, incarnation });
        }
    }

    /// A request about the lease reaches the API server.
    pub(super) fn lease_asked(&mut self, process: usize, incarnation: u64, request: Request) {
        let name = subject(&[&self.processes[process].name, "lease"]);
        let struck = self.chaos.strikes(self.now, FaultKind::LeaseFailed, name);
        // Of a write whose answer is lost, every second one was done all the same.
        let answer = if struck && self.chaos.between(name ^ 1, 0, 1) == 0 {
            Answer::Failed
        } else {
            let answer = self.lease_answer(&request.kind);
            if struck { Answer::Failed } else { answer }
        };
        let latency = Duration::from_micros(self.chaos.between(name, 300, 4000));
        let told = Occurrence::LeaseTold {
            process,
            incarnation,
            number: request.number,
            answer,
        };
        self.agenda.plan(self.now + latency, told);
    }

    fn lease_answer(&mut self, kind: &RequestKind) -> Answer {
        match (kind, &self.lease) {
            (RequestKind::Get, None) => Answer::NotFound,
            (RequestKind::Get, Some(lease)) => Answer::Lease(lease.clone()),
            (RequestKind::Create(_), Some(_)) => Answer::Failed,
            (RequestKind::Create(write), None) => self.write_lease(write),
            (RequestKind::Update { version, write }, Some(lease)) if lease.version == *version => {
                self.write_lease(write)
            }
            (RequestKind::Update { .. }, _) => Answer::Failed,
        }
    }

    fn write_lease(&mut self, write: &LeaseWrite) -> Answer {
        self.lease_version += 1;
        let lease = LeaseRecord {
            version: self.lease_version.to_string().into(),
            holder: write.holder.clone(),
            duration: Some(Duration::from_secs(write.duration_seconds.into())),
            acquired: write.acquired.clone().unwrap_or_else(|| self.now.to_string().into()),
            transitions: write.transitions,
        };
        self.lease = Some(lease.clone());
        Answer::Lease(lease)
    }

    /// An answer about the lease reaches a candidate.
    pub(super) fn lease_told(&mut self, process: usize, incarnation: u64, number: u64, answer: Answer) {
        let of = &mut self.processes[process];
        if !of.alive || of.incarnation != incarnation {
            return;
        }
        let clock = of.clock(self.now);
        if let Some(election) = of.election.as_mut() {
            election.answered(clock, number, answer);
        }
        self.follow_election(process);
        if self.processes[process].alive {
            self.elect(process);
        }
    }

    /// What follows for a scheduler from where it stands in the election.
    pub(super) fn follow_election(&mut self, process: usize) {
        let of = &mut self.processes[process];
        let clock = of.clock(self.now);
        let Some(election) = of.election.as_mut() else { return };
        let leads = election.leads(clock);
        let is_over = matches!(election.standing(), Standing::Lost(_) | Standing::Released);
        if is_over || (of.leads && !leads) {
            self.note(|world| format!("{} leads no more", world.processes[process].label()));
            return self.crash(process);
        }
        if leads && !of.leads {
            of.leads = true;
            self.note(|world| format!("{} leads", world.processes[process].label()));
            let was_led = self.lease.as_ref().is_some_and(|lease| lease.transitions > 0);
            if was_led {
                self.counted(FaultKind::LeaderChange);
            }
            self.input(process, Input::Leadership { leads: true });
            for kind in Kind::ALL {
                if crate::object::ObjectKind::watched_as(kind).is_some() {
                    self.list(process, kind);
                }
            }
        }
    }

    /// Whether another scheduler leads than this one, as far as each knows.
    pub(super) fn another_leads(&self, process: usize) -> Option<String> {
        let others = self.processes.iter().enumerate().filter(|(other, _)| *other != process);
        let mut leaders = others.filter(|(_, of)| {
            let clock = of.clock(self.now);
            of.alive && of.election.as_ref().is_some_and(|election| election.leads(clock))
        });
        leaders.next().map(|(_, of)| of.label())
    }
}
