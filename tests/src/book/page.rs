//! A page of Markdown: its blocks of code with what is said of them, its links, and what can be linked to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};
use muster_xtask::workspace_root;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A page, read.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Its path from the root of the workspace.
    pub path: String,
    /// What its comment `<!-- test: … -->` says.
    pub setting: Option<String>,
    /// Its blocks of code, in their order.
    pub blocks: Vec<Block>,
    /// Its links.
    pub links: Vec<Link>,
    /// The anchors of its headings.
    pub anchors: BTreeSet<String>,
}

/// A block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins, from 1.
    pub line: usize,
    /// What stands behind the fence: the language, then attributes; none of an indented block.
    pub info: Option<String>,
    /// What stands in it.
    pub text: String,
}

/// A link to somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it stands, from 1.
    pub line: usize,
    /// Where it leads.
    pub target: String,
}

/// What the text that is being read belongs to.
#[derive(Default)]
enum Within {
    #[default]
    Nothing,
    Block(Block),
    Heading(String),
}

impl Page {
    /// Reads the page at a path from the root of the workspace.
    pub fn read(path: &str) -> Result<Page> {
        let text = fs::read_to_string(workspace_root().join(path)).with_context(|| format!("reading {path}"))?;
        Ok(Page::parse(path, &text))
    }

    /// The page that a text is.
    pub fn parse(path: &str, text: &str) -> Page {
        let mut page = Page {
            path: path.to_owned(),
            ..Page::default()
        };
        let mut within = Within::Nothing;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = 1 + text[..range.start].matches('\n').count();
            match (event, &mut within) {
                (Event::Start(Tag::CodeBlock(kind)), _) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => Some(info.to_string()),
                        CodeBlockKind::Indented => None,
                    };
                    let text = String::new();
                    within = Within::Block(Block { line, info, text });
                }
                (Event::Start(Tag::Heading { .. }), _) => within = Within::Heading(String::new()),
                (Event::Text(text), Within::Block(block)) => block.text.push_str(&text),
                (Event::Text(text) | Event::Code(text), Within::Heading(title)) => title.push_str(&text),
                (Event::End(TagEnd::CodeBlock | TagEnd::Heading(_)), _) => page.add(std::mem::take(&mut within)),
                (Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }), _) => page.links.push(Link {
                    line,
                    target: dest_url.to_string(),
                }),
                (Event::Html(html), _) => page.add_comment(&html),
                _ => {}
            }
        }
        page
    }

    /// The place of a line, as messages name it.
    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    fn add(&mut self, found: Within) {
        match found {
            Within::Nothing => {}
            Within::Block(block) => self.blocks.push(block),
            Within::Heading(title) => self.add_heading(&title),
        }
    }

    fn add_heading(&mut self, title: &str) {
        let anchor = anchor(title);
        let mut unique = anchor.clone();
        let mut n = 0;
        while !self.anchors.insert(unique.clone()) {
            n += 1;
            unique = format!("{anchor}-{n}");
        }
    }

    fn add_comment(&mut self, html: &str) {
        let comment = html
            .trim()
            .strip_prefix("<!-- test:")
            .and_then(|rest| rest.strip_suffix("-->"));
        if let Some(comment) = comment {
            self.setting = Some(comment.trim().to_owned());
        }
    }
}

/// The anchor of a heading, by the rule that mdBook and the usual hosts of repositories share.
fn anchor(title: &str) -> String {
    let kept = title.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// What the information behind a fence says: the language, and the attributes with their values.
///
/// ```
/// # use muster_tests::book::page::read_info;
/// let (language, attributes) = read_info(r#"sh not-run="needs a cloud" background"#).unwrap();
/// assert_eq!((language.as_str(), attributes["not-run"].as_str()), ("sh", "needs a cloud"));
/// assert!(attributes.contains_key("background"));
/// ```
///
/// # Errors
/// A quotation mark without its fellow.
pub fn read_info(info: &str) -> Result<(String, BTreeMap<String, String>)> {
    let (language, mut rest) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok((language.to_owned(), attributes));
        }
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let key = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let (text, after) = quoted
                .split_once('"')
                .with_context(|| format!("the value of {key} has no end"))?;
            value = text.to_owned();
            rest = after;
        } else if let Some(plain) = rest.strip_prefix('=') {
            let end = plain.find(' ').unwrap_or(plain.len());
            value = plain[..end].to_owned();
            rest = &plain[end..];
        }
        attributes.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# A `title`, twice
<!-- test: cluster nodes=3 -->

See [there](other.md#far).

```sh not-run="no: cloud"
one
two
```

## A title twice

    indented

* in a list:
  ```yaml
  a: 1

  b: 2
  ```

after
"#;

    #[test]
    fn blocks_have_their_lines_and_whole_texts() {
        let page = Page::parse("p.md", TEXT);
        let blocks: Vec<_> = page
            .blocks
            .iter()
            .map(|b| (b.line, b.info.as_deref(), b.text.as_str()))
            .collect();
        assert_eq!(
            blocks,
            [
                (6, Some("sh not-run=\"no: cloud\""), "one\ntwo\n"),
                (13, None, "indented\n"),
                (16, Some("yaml"), "a: 1\n\nb: 2\n"),
            ]
        );
        assert_eq!(page.setting.as_deref(), Some("cluster nodes=3"));
    }

    #[test]
    fn links_and_anchors_are_found() {
        let page = Page::parse("p.md", TEXT);
        assert_eq!(
            page.links,
            [Link {
                line: 4,
                target: "other.md#far".to_owned()
            }]
        );
        assert_eq!(
            page.anchors,
            BTreeSet::from(["a-title-twice".to_owned(), "a-title-twice-1".to_owned()])
        );
    }

    #[test]
    fn a_value_without_an_end_is_an_error() {
        assert!(read_info("sh not-run=\"why").is_err());
        let (language, attributes) = read_info("yaml file=a.yaml kube=\"1.36 1.37\"").unwrap();
        assert_eq!(
            (
                language.as_str(),
                attributes["file"].as_str(),
                attributes["kube"].as_str()
            ),
            ("yaml", "a.yaml", "1.36 1.37")
        );
    }
}
