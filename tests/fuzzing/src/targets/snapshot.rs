//! Snapshot files: any bytes, and any lines in a well-formed gzip stream. What was read is written and read as the same, a
//! scheduler can be told it, and what it holds can be explained.

use flate2::Compression;
use flate2::write::GzEncoder;
use muster_api::snapshot::{self, Snapshot, Writer};
use muster_config::Configuration;
use muster_engine::{Object, Subject};
use muster_sim::what_if::{self, Play, World};
use std::io::{self, Write as _};

/// So many pods are explained, and so much of the queue: each takes a play of its own.
const SUBJECTS_MAX: usize = 2;

/// Reads it, and plays it.
pub fn run(bytes: &[u8]) {
    let _ = snapshot::read(bytes);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written to");
    let file = encoder.finish().expect("memory can be written to");
    if let Ok(read) = snapshot::read(&*file) {
        let again = written(&read).expect("memory can be written to");
        assert_eq!(snapshot::read(&*again).expect("what was written can be read"), read);
        play(read);
    }
}

fn written(snapshot: &Snapshot) -> io::Result<Vec<u8>> {
    let mut writer = Writer::begin(Vec::new(), &snapshot.header)?;
    snapshot.objects.iter().try_for_each(|object| writer.object(object))?;
    snapshot.queue.iter().try_for_each(|entity| writer.queued(entity))?;
    snapshot
        .reservations
        .iter()
        .try_for_each(|held| writer.reservation(held))?;
    snapshot.broken.iter().try_for_each(|gang| writer.broken(gang))?;
    writer.finish()
}

fn play(snapshot: Snapshot) {
    let settings = Configuration::default().engine_settings(snapshot.header.kubernetes);
    for subject in subjects(&snapshot) {
        what_if::explain(snapshot.clone(), &settings, &subject);
    }
    let mut play = Play::new(&World::of(snapshot), &settings);
    play.settle();
    play.standings();
}

/// Some of what it holds.
fn subjects(snapshot: &Snapshot) -> Vec<Subject> {
    let pods = snapshot.objects.iter().filter_map(|object| match object {
        Object::Pod(pod) => Some(Subject::Pod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        }),
        _ => None,
    });
    let queued = snapshot.queue.iter().filter_map(|queued| {
        let (namespace, name) = queued.name.split_once('/')?;
        let (namespace, name) = (namespace.into(), name.into());
        Some(match queued.is_group {
            true => Subject::Group { namespace, name },
            false => Subject::Pod { namespace, name },
        })
    });
    pods.take(SUBJECTS_MAX).chain(queued.take(SUBJECTS_MAX)).collect()
}
