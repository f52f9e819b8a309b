//! The pages of `docs/` as tests: what a reader would type is typed, what a reader would save is saved, and what a page
//! shows has to be what comes out.
//!
//! [`page`] reads the Markdown, [`plan`] says what is to be done with each block, [`story`] does it, and [`transcript`]
//! compares what is printed with what the page shows. `docs/testing.md` tells writers of pages what they can say.

pub mod page;
pub mod plan;
pub mod story;
pub mod transcript;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use muster_xtask::workspace_root;

use page::Page;

/// The environment variable that chooses pages by a part of their path.
const PAGE_VARIABLE: &str = "MUSTER_TEST_PAGE";

/// The folder with the book.
pub const BOOK: &str = "docs";

/// All pages, by path.
pub fn pages() -> Result<Vec<Page>> {
    let mut paths = Vec::new();
    add_files(&workspace_root().join(BOOK), "md", &mut paths)?;
    paths.iter().map(|path| Page::read(path)).collect()
}

/// The pages that the environment asks for; all of them, if it asks for none.
pub fn chosen_pages() -> Result<Vec<Page>> {
    let chosen = std::env::var(PAGE_VARIABLE).unwrap_or_default();
    let mut pages = pages()?;
    pages.retain(|page| page.path.contains(&chosen));
    Ok(pages)
}

/// The files below a folder whose names end so, as paths from the root of the workspace.
///
/// # Errors
/// A folder cannot be read.
pub fn add_files(folder: &Path, extension: &str, paths: &mut Vec<String>) -> Result<()> {
    let reading = || format!("reading the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            add_files(&path, extension, paths)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            let path = path.strip_prefix(workspace_root()).unwrap_or(&path);
            paths.push(path.display().to_string());
        }
    }
    paths.sort();
    Ok(())
}
