//! Label selectors as people type them: `app=web,tier in (a,b),!old`.
//!
//! Source: `Parse` in `k8s.io/apimachinery/pkg/labels/selector.go`.

use muster_config::{check_label_key, check_label_value};
use muster_framework::Text;
use muster_framework::selector::{LabelSelector, Operator, Requirement};

/// Reads a selector; an empty text selects everything.
///
/// # Errors
/// What is wrong, as a sentence.
pub(crate) fn parse(text: &str) -> Result<LabelSelector, String> {
    let mut tokens = Tokens { rest: text };
    let mut requirements = Vec::new();
    let mut token = tokens.next();
    while let Some(first) = token {
        requirements.push(requirement(first, &mut tokens)?);
        token = match tokens.next() {
            None => None,
            Some(",") => Some(tokens.next().ok_or("a requirement must follow the last comma")?),
            Some(other) => return Err(format!("found {other:?} where a comma or the end was expected")),
        };
    }
    Ok(LabelSelector {
        requirements: requirements.into(),
    })
}

/// The rest of a requirement whose first token is there.
fn requirement(first: &str, tokens: &mut Tokens<'_>) -> Result<Requirement, String> {
    if first == "!" {
        let key = tokens.next().unwrap_or_default();
        return made(key, Operator::DoesNotExist, Vec::new());
    }
    let mut ahead = tokens.clone();
    match ahead.next() {
        None | Some(",") => made(first, Operator::Exists, Vec::new()),
        Some(sign) => {
            *tokens = ahead;
            let operator = match sign {
                "=" | "==" | "in" => Operator::In,
                "!=" | "notin" => Operator::NotIn,
                ">" => Operator::Gt,
                "<" => Operator::Lt,
                other => {
                    return Err(format!(
                        "{other:?} is no operator: there are =, ==, !=, in, notin, > and <"
                    ));
                }
            };
            let values = match sign {
                "in" | "notin" => set(tokens)?,
                _ => vec![value(tokens)],
            };
            made(first, operator, values)
        }
    }
}

/// A value may be empty, before a comma and at the end.
fn value<'t>(tokens: &mut Tokens<'t>) -> &'t str {
    let mut ahead = tokens.clone();
    match ahead.next() {
        None | Some(",") => "",
        Some(word) => {
            *tokens = ahead;
            word
        }
    }
}

fn set<'t>(tokens: &mut Tokens<'t>) -> Result<Vec<&'t str>, String> {
    if tokens.next() != Some("(") {
        return Err("in and notin need values in brackets, such as in (a,b)".to_owned());
    }
    let mut values = Vec::new();
    let mut word = None;
    loop {
        match tokens.next() {
            None => return Err("a bracket is not closed".to_owned()),
            Some(end @ ("," | ")")) => {
                values.push(word.take().unwrap_or(""));
                if end == ")" {
                    return Ok(values);
                }
            }
            Some(found) => {
                if let Some(before) = word.replace(found) {
                    return Err(format!(
                        "found {found:?} after {before:?} where a comma or a bracket was expected"
                    ));
                }
            }
        }
    }
}

fn made(key: &str, operator: Operator, values: Vec<&str>) -> Result<Requirement, String> {
    if let Some(wrong) = check_label_key(key) {
        return Err(format!("{key:?} is no key of a label: {wrong}"));
    }
    for value in &values {
        if let Some(wrong) = check_label_value(value) {
            return Err(format!("{value:?} is no value of a label: {wrong}"));
        }
        if matches!(operator, Operator::Gt | Operator::Lt) && value.parse::<i64>().is_err() {
            return Err(format!("{value:?} is no integer, which > and < need"));
        }
    }
    Ok(Requirement {
        key: key.into(),
        operator,
        values: values.into_iter().map(Text::from).collect(),
    })
}

/// Signs and words.
#[derive(Debug, Clone)]
struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];
        self.rest = self.rest.trim_start();
        let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
        let special = |c: char| c.is_whitespace() || "=!(),<>".contains(c);
        let end = match sign {
            Some(sign) => sign.len(),
            None => self.rest.find(special).unwrap_or(self.rest.len()),
        };
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(token).filter(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_framework::labels::Labels;
    use proptest::prelude::*;

    #[test]
    fn what_is_selected() {
        let labels: Labels = [("app", "web"), ("tier", "a"), ("n", "7")].into_iter().collect();
        for text in [
            "",
            " ",
            "app",
            "app=web",
            "app==web,tier!=b",
            "app in (web, db),!old",
            "tier notin (b)",
            "x notin (b)",
            "x!=",
            "n>6,n<8",
            " app = web ",
            "tier in (a,)",
        ] {
            assert!(parse(text).unwrap().matches(&labels), "{text}");
        }
        for text in [
            "old",
            "!app",
            "app=",
            "app=db",
            "app in (db)",
            "tier notin (a,b)",
            "n>7",
            "app=web,tier=b",
        ] {
            assert!(!parse(text).unwrap().matches(&labels), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| format!("{text}\n    => {}", parse(text).unwrap_err());
        let texts = [
            "app=web,",
            ",",
            "=",
            "!",
            "a b",
            "a in",
            "a in (",
            "a in b",
            "a in (b c)",
            "a=b=c",
            "-x",
            "a=b/c",
            "a>b",
            "a/b/c",
            "a in ()x",
        ];
        insta::assert_snapshot!(texts.map(said).join("\n"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9 =!(),<>/.-]{0,30}", wild in ".{0,20}") {
            let _ = parse(&text);
            let _ = parse(&wild);
        }
    }
}
