//! Snapshot files: any bytes, and any lines in a well-formed gzip stream.

#![no_main]

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    let _ = muster_api::snapshot::read(bytes);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    if encoder.write_all(bytes).is_ok()
        && let Ok(file) = encoder.finish()
    {
        let _ = muster_api::snapshot::read(&*file);
    }
});
