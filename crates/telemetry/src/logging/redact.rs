//! A last look at each text before it is logged: what looks like a secret does not leave.
//!
//! Nothing that is logged on purpose holds one. But errors of libraries repeat what they choked on, and what others say
//! (an extender, a proxy, a webhook) may hold anything. Looked for are the forms that secrets of this trade have:
//! `Authorization` values, JSON web tokens (service account tokens), passwords in URLs, private keys.

use std::borrow::Cow;

const INSTEAD: &str = "<redacted>";
/// Words after `bearer` or `basic` that are shorter are prose.
const CREDENTIAL_BYTES_MIN: usize = 16;

/// The text without secrets.
pub(super) fn redacted(text: &str) -> Cow<'_, str> {
    let mut secrets = Vec::new();
    find_credentials(text, &mut secrets);
    find_web_tokens(text, &mut secrets);
    find_passwords(text, &mut secrets);
    find_private_keys(text, &mut secrets);
    if secrets.is_empty() {
        return text.into();
    }
    secrets.sort_unstable();
    let mut clean = String::with_capacity(text.len());
    let mut copied = 0;
    for (begin, end) in secrets {
        if begin >= copied {
            clean.push_str(&text[copied..begin]);
            clean.push_str(INSTEAD);
        }
        copied = copied.max(end);
    }
    clean.push_str(&text[copied..]);
    clean.into()
}

/// From where to where, in bytes.
type Secret = (usize, usize);

/// `Bearer …` and `Basic …`.
fn find_credentials(text: &str, secrets: &mut Vec<Secret>) {
    for (rest_of_word, first) in [("earer ", b"bB"), ("asic ", b"bB")] {
        for (at, _) in text.match_indices(rest_of_word) {
            let is_word = at > 0 && first.contains(&text.as_bytes()[at - 1]);
            let begin = at + rest_of_word.len();
            let end = begin + run(&text[begin..], is_of_credential);
            if is_word && CREDENTIAL_BYTES_MIN <= end - begin {
                secrets.push((begin, end));
            }
        }
    }
}

/// `eyJ….….…`: base64 of a JSON object that begins with `{"`, and dots.
fn find_web_tokens(text: &str, secrets: &mut Vec<Secret>) {
    for (begin, _) in text.match_indices("eyJ") {
        let end = begin + run(&text[begin..], is_of_credential);
        if text[begin..end].contains('.') && CREDENTIAL_BYTES_MIN <= end - begin {
            secrets.push((begin, end));
        }
    }
}

/// `https://user:password@host`.
fn find_passwords(text: &str, secrets: &mut Vec<Secret>) {
    for (at, mark) in text.match_indices("://") {
        let begin = at + mark.len();
        let authority = run(&text[begin..], |byte| {
            !byte.is_ascii_whitespace() && !b"/\"'\\?#<>".contains(&byte)
        });
        if let Some(user) = text[begin..begin + authority].rfind('@') {
            secrets.push((begin, begin + user));
        }
    }
}

/// From `-----BEGIN … PRIVATE KEY` to its end, or to that of the text.
fn find_private_keys(text: &str, secrets: &mut Vec<Secret>) {
    for (at, _) in text.match_indices("PRIVATE KEY-----") {
        let Some(begin) = text[..at].rfind("-----BEGIN") else {
            continue;
        };
        // This is where a key ends.
        if text[begin..at].contains("-----END") {
            continue;
        }
        // At the latest where the quoted text ends: a key holds no quotation mark.
        let rest = &text[at..];
        let end = rest.find("-----END").into_iter().chain(rest.find('"')).min();
        secrets.push((begin, end.map_or(text.len(), |length| at + length)));
    }
}

fn is_of_credential(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+/=~".contains(&byte)
}

/// How many bytes at the beginning are of this sort. Never ends within a character: those of several bytes are of no sort,
/// or of the sort with all of them.
fn run(text: &str, sort: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !sort(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_leave() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl-_x";
        for (line, left) in [
            (format!("sent {token} to"), "sent <redacted> to"),
            (
                format!("Authorization: Bearer {token}"),
                "Authorization: Bearer <redacted>",
            ),
            (
                "authorization: bearer 0123456789abcdef0123".to_owned(),
                "authorization: bearer <redacted>",
            ),
            ("\"Basic dXNlcjpwYXNzd29yZA==\"".to_owned(), "\"Basic <redacted>\""),
            (
                "cannot reach https://user:hush@proxy:3128/x: no".to_owned(),
                "cannot reach https://<redacted>@proxy:3128/x: no",
            ),
            (
                "err=\"-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY-----\"".to_owned(),
                "err=\"<redacted>-----END RSA PRIVATE KEY-----\"",
            ),
            (
                "{\"err\":\"-----BEGIN PRIVATE KEY-----\\nMIIE\",\"n\":{}}".to_owned(),
                "{\"err\":\"<redacted>\",\"n\":{}}",
            ),
            (format!("{token} and {token}"), "<redacted> and <redacted>"),
        ] {
            assert_eq!(redacted(&line), left);
        }
    }

    #[test]
    fn prose_stays() {
        for line in [
            "the bearer of this token is unknown",
            "invalid bearer token",
            "Basic policies are fine",
            "https://kubernetes.default.svc:443/api?x=a@b",
            "mailto jane@example.org",
            "a BEGIN PRIVATE KEY----- without its beginning",
            "eyJust three letters",
            "ünïcödé Bearer ünïcödé://ü@ü",
            "",
        ] {
            let expected = if line.contains("://ü@") {
                "ünïcödé Bearer ünïcödé://<redacted>@ü"
            } else {
                line
            };
            assert_eq!(redacted(line), expected);
        }
    }

    #[test]
    fn any_line_is_survived() {
        // Marks in all sorts of places and orders, with characters of several bytes between them.
        let parts = [
            "Bearer ",
            "eyJ",
            "://",
            "@",
            ".",
            "-----BEGIN",
            "PRIVATE KEY-----",
            "ü",
            "x".repeat(20).leak(),
        ];
        for a in parts {
            for b in parts {
                for c in parts {
                    for d in parts {
                        let line = [a, b, c, d].concat();
                        redacted(&line);
                    }
                }
            }
        }
    }
}
