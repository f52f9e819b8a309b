//! Snapshot files: any bytes, and any lines in a well-formed gzip stream. What was read is written and read as the same, and
//! a scheduler can be told it.

#![no_main]

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use muster_api::snapshot::{self, Snapshot, Writer};
use muster_config::Configuration;
use muster_sim::what_if::{Play, World};
use std::io::{self, Write};

fuzz_target!(|bytes: &[u8]| {
    let _ = snapshot::read(bytes);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written to");
    let file = encoder.finish().expect("memory can be written to");
    if let Ok(read) = snapshot::read(&*file) {
        let again = written(&read).expect("memory can be written to");
        assert_eq!(snapshot::read(&*again).expect("what was written can be read"), read);
        play(read);
    }
});

fn written(snapshot: &Snapshot) -> io::Result<Vec<u8>> {
    let mut writer = Writer::begin(Vec::new(), &snapshot.header)?;
    snapshot.objects.iter().try_for_each(|object| writer.object(object))?;
    snapshot.queue.iter().try_for_each(|entity| writer.queued(entity))?;
    snapshot
        .reservations
        .iter()
        .try_for_each(|held| writer.reservation(held))?;
    writer.finish()
}

fn play(snapshot: Snapshot) {
    let settings = Configuration::default().engine_settings(snapshot.header.kubernetes);
    let mut play = Play::new(&World::of(snapshot), &settings);
    play.settle();
    play.standings();
}
