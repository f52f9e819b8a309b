//! `muster man` as whoever packages Muster runs it: a folder of manual pages, whose names it prints.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn man(folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("man")
        .arg(folder)
        .output()
        .expect("the binary has been built")
}

#[test]
fn pages_are_written_into_a_folder_that_is_made() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("share").join("man1");
    // The second time they are there already.
    for _ in 0..2 {
        let output = man(&folder);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""));
        let printed = String::from_utf8(output.stdout).expect("it is UTF-8");
        let named: BTreeSet<String> = printed.lines().map(str::to_owned).collect();
        let files = std::fs::read_dir(&folder).expect("the folder");
        let files = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        assert_eq!(files.collect::<BTreeSet<_>>(), named);
        for (page, title) in [
            ("muster.1", ".TH muster 1 "),
            ("muster-run.1", ".TH muster-run 1 "),
            ("kubectl-muster-get-gangs.1", ".TH kubectl-muster-get-gangs 1 "),
        ] {
            assert!(named.contains(page), "{printed}");
            let text = std::fs::read_to_string(folder.join(page)).expect("the page");
            assert!(text.contains(title), "{page}:\n{text}");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let parent = tempfile::tempdir().expect("a folder");
    let file = parent.path().join("taken");
    std::fs::write(&file, "").expect("a file");
    let output = man(&file.join("man1"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let beginning = format!("error: {} cannot be made: ", file.join("man1").display());
    assert!(said.starts_with(&beginning) && said.lines().count() == 1, "{said}");
}
