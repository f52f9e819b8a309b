//! Text in and out: files that users name, and what is printed for them.

use anyhow::Context as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

/// What users write for the standard input.
const STDIN: &str = "-";

/// The text of a file and how to call it in messages; `-` is the standard input.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub(crate) fn read(path: &Path) -> anyhow::Result<(String, String)> {
    let (name, bytes) = if path.as_os_str() == STDIN {
        let mut bytes = Vec::new();
        let read = std::io::stdin().read_to_end(&mut bytes);
        ("<stdin>".to_owned(), read.map(|_| bytes))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    let bytes = bytes.with_context(|| format!("{name} cannot be read"))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
            anyhow::bail!("{name} is not UTF-8 (line {line})")
        }
    }
}

/// Prints to the standard output.
///
/// # Errors
/// It cannot be written. That the reader has seen enough and gone (`muster … | head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the standard output cannot be written"),
    }
}

/// Prints to the standard error. Nobody is left to tell if even that cannot be written.
pub(crate) fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"a\nb\n\xff").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.ends_with("file is not UTF-8 (line 3)"), "{error}");
        let error = format!("{:#}", read(Path::new("/nowhere")).unwrap_err());
        assert_eq!(error, "/nowhere cannot be read: No such file or directory (os error 2)");
    }
}
