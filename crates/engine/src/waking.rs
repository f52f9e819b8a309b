//! Who is woken by what: an event brings back the entities that it could help, and no others.

use crate::engine::Engine;
use crate::pipeline::Help;
use crate::queue::Rejected;
use crate::time::Time;
use muster_framework::compiled::CompiledSpec;
use muster_framework::event::ClusterEvent;
use muster_framework::view::{Delta, View};
use rustc_hash::FxHashMap;

impl Engine {
    /// Brings back the entities that an event could help, and no others.
    pub(crate) fn wake(&mut self, now: Time, event: ClusterEvent, label: &'static str) {
        let waiting: Vec<_> = self
            .queue
            .unschedulable()
            .map(|(entity, rejected)| (entity, rejected.to_vec()))
            .collect();
        // Twins get the same answer as long as nobody looks at their labels.
        let labels_matter = self.cluster.table.looks_at_pods();
        let mut known: FxHashMap<(*const CompiledSpec, u32), Help> = FxHashMap::default();
        for (entity, rejected) in waiting {
            for rejected in rejected {
                let help = self.help(rejected, event, (!labels_matter).then_some(&mut known));
                match help {
                    Help::Yes => {
                        self.queue.wake(now, entity, label);
                        break;
                    }
                    // From now on events that move this plugin matter too: the one it waited for has come.
                    Help::NotYet(plugin) => self.queue.rejected_also(entity, rejected.pod, plugin),
                    Help::No => {}
                }
            }
        }
    }

    fn help(
        &mut self,
        rejected: Rejected,
        event: ClusterEvent,
        mut known: Option<&mut FxHashMap<(*const CompiledSpec, u32), Help>>,
    ) -> Help {
        // No plugin rejected anything: there was no node at all.
        if rejected.plugins == 0 {
            let first = matches!(event, ClusterEvent::NodeAdd(_));
            return if first { Help::Yes } else { Help::No };
        }
        self.cluster.compile(rejected.pod);
        let Some(pod) = self.cluster.to_place(rejected.pod) else {
            return Help::Yes;
        };
        let key = (std::ptr::from_ref(pod.compiled), rejected.plugins);
        if let Some(help) = known.as_ref().and_then(|known| known.get(&key)) {
            return *help;
        }
        let profile = self
            .cluster
            .pods
            .get(rejected.pod)
            .map(|pod| &pod.record.scheduler_name);
        let Some(profile) = profile.and_then(|name| self.pipeline.profile_of(name)) else {
            return Help::No;
        };
        let delta = Delta::default();
        let view = View::new(&self.cluster.table, &delta);
        let help = self.pipeline.can_help(profile, &pod, rejected.plugins, event, &view);
        if let Some(known) = &mut known {
            known.insert(key, help);
        }
        help
    }
}
