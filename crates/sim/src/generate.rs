//! Templates of a `Generate` document: the same object many times, with the index in its strings.
//!
//! In every string, `{i}` is the index, counted from 0; `{i:04}` the index with leading zeros; `{i%10}` and `{i/10}` the
//! remainder and the quotient; `{i%10:02}` both. A divisor may be a parameter of the file's `Bench`, `{i%shapes}`, and a
//! string that is nothing but a parameter in braces becomes its number. Other braces stay as they are.

use serde_json::Value;
use std::collections::BTreeMap;

/// Numbers by the names that a file gives them.
pub(crate) type Parameters = BTreeMap<String, u64>;

/// The template with every placeholder replaced for `index`.
///
/// # Errors
/// A placeholder is malformed; the sentence quotes it.
pub(crate) fn expand(template: &Value, index: u64, parameters: &Parameters) -> Result<Value, String> {
    Ok(match template {
        Value::String(text) => match whole_parameter(text, parameters) {
            Some(number) => Value::from(number),
            None => Value::String(expand_text(text, index, parameters)?),
        },
        Value::Array(items) => {
            let expanded = items.iter().map(|item| expand(item, index, parameters));
            Value::Array(expanded.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let expanded = fields
                .iter()
                .map(|(name, value)| Ok::<_, String>((name.clone(), expand(value, index, parameters)?)));
            Value::Object(expanded.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

fn whole_parameter(text: &str, parameters: &Parameters) -> Option<u64> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    parameters.get(name).copied()
}

fn expand_text(text: &str, index: u64, parameters: &Parameters) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{i") {
        let (before, tail) = rest.split_at(start);
        expanded.push_str(before);
        let inner = &tail[2..];
        if !inner.starts_with(['}', ':', '%', '/']) {
            // Somebody else's braces, for example `{image}`.
            expanded.push_str("{i");
            rest = inner;
            continue;
        }
        let end = inner
            .find('}')
            .ok_or_else(|| format!("the placeholder {tail:?} has no closing brace"))?;
        let value = placeholder(&inner[..end], index, parameters).ok_or_else(|| {
            format!(
                "{:?} is not a placeholder (wanted is for example {{i}}, {{i:04}}, {{i%10}} or {{i/10:02}})",
                &tail[..end + 3]
            )
        })?;
        expanded.push_str(&value);
        rest = &inner[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// What stands between `{i` and `}`: an operation, then a width.
fn placeholder(inner: &str, index: u64, parameters: &Parameters) -> Option<String> {
    let number = |text: &str| parameters.get(text).copied().or_else(|| text.parse().ok());
    let (operation, width) = match inner.split_once(':') {
        Some((operation, width)) => (operation, width.strip_prefix('0')?.parse().ok().filter(|w| *w <= 20)?),
        None => (inner, 0usize),
    };
    let value = match operation.split_at_checked(1) {
        None => index,
        Some(("%", divisor)) => index.checked_rem(number(divisor)?)?,
        Some(("/", divisor)) => index.checked_div(number(divisor)?)?,
        Some(_) => return None,
    };
    Some(format!("{value:0width$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn placeholders_are_replaced_wherever_a_string_stands() {
        let template =
            json!({"name": "n-{i:04}", "zones": ["z{i%3}", "rack-{i/10:02}"], "count": 3, "other": "{image}{"});
        let expected = json!({"name": "n-0042", "zones": ["z0", "rack-04"], "count": 3, "other": "{image}{"});
        assert_eq!(expand(&template, 42, &Parameters::new()), Ok(expected));
    }

    #[test]
    fn parameters_are_divisors_and_numbers() {
        let parameters = Parameters::from([("shapes".to_owned(), 10), ("members".to_owned(), 3)]);
        let template =
            json!({"cpu": "{i%shapes}m", "gang": "g-{i/members:02}", "minCount": "{members}", "x": "{other}"});
        let expected = json!({"cpu": "7m", "gang": "g-05", "minCount": 3, "x": "{other}"});
        assert_eq!(expand(&template, 17, &parameters), Ok(expected));
        assert!(expand(&json!("{i%others}"), 1, &parameters).is_err());
    }

    #[test]
    fn malformed_placeholders_are_errors() {
        for text in ["{i:4}", "{i%0}", "{i%}", "{i%x}", "{i", "{i:0", "{i:099}", "{i/0}"] {
            let result = expand(&json!(text), 1, &Parameters::new());
            assert_eq!(result.is_err(), text != "{i", "{text}: {result:?}");
        }
    }
}
