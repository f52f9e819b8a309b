//! Writes down what the engine is told, to be replayed elsewhere: one line for each input, with its time.

use muster_api::codec;
use muster_engine::{Input, Time};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often what was written reaches the file at the latest, as long as there are pauses.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The file cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot record to {path}")]
pub struct RecordError {
    path: PathBuf,
    source: std::io::Error,
}

/// A recording under way.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    /// None after the first failure: a full disk must not stop the scheduling.
    file: Option<BufWriter<File>>,
    flushed: Instant,
}

impl Recording {
    /// Begins a recording in a new file, or in place of an old one.
    ///
    /// Objects can be confidential: on Unix the file is made readable for its owner alone.
    pub fn create(path: &Path) -> Result<Recording, RecordError> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|source| RecordError {
            path: path.to_owned(),
            source,
        })?;
        let file = Some(BufWriter::with_capacity(256 << 10, file));
        Ok(Recording {
            path: path.to_owned(),
            file,
            flushed: Instant::now(),
        })
    }

    pub(crate) fn write(&mut self, now: Time, input: &Input) {
        if self.file.is_some() {
            let mut line = codec::encode(now, input);
            line.push('\n');
            self.with_file(|file| file.write_all(line.as_bytes()));
        }
    }

    /// Nothing happens for a while: time to flush.
    pub(crate) fn pause(&mut self) {
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.flushed = Instant::now();
            self.with_file(|file| file.flush());
        }
    }

    fn with_file(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) {
        if let Some(file) = &mut self.file
            && let Err(error) = write(file)
        {
            tracing::error!(path = %self.path.display(), %error, "the recording ends here: cannot write");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_framework::record::Kind;

    #[test]
    fn what_is_recorded_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let mut recording = Recording::create(&path).unwrap();
        let inputs = [
            (Time(1), Input::ListBegun(Kind::Pod)),
            (Time(2), Input::ListDone(Kind::Pod)),
        ];
        for (now, input) in &inputs {
            recording.write(*now, input);
        }
        drop(recording);
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<_> = text.lines().map(|line| codec::decode(line).unwrap()).collect();
        assert_eq!(read, inputs);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = Recording::create(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(error.to_string(), "cannot record to /nowhere/at/all");
    }
}
