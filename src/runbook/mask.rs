//! Hides passwords in a line of a runbook before it is quoted, and keeps track of where the rest of it went.
//!
//! When in doubt it hides too much: a quoted line helps a person, a leaked password helps somebody else.

use std::ops::Range;

/// What stands in place of a password.
const STARS: &str = "***";
/// A key with one of these in its name holds a secret.
pub(super) const SECRET_WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "authorization", "api-key"];

/// A line that may be shown.
pub(super) struct Masked {
    /// The text with `***` in place of each password.
    pub text: String,
    hidden: Vec<Range<usize>>,
}

impl Masked {
    /// Where byte `offset` of the original line went.
    pub fn moved(&self, offset: usize) -> usize {
        let mut moved = offset;
        for hidden in self.hidden.iter().rev() {
            if offset >= hidden.end {
                moved = moved + STARS.len() - hidden.len();
            } else if offset > hidden.start {
                moved -= offset - hidden.start;
            }
        }
        moved
    }
}

/// Hides every password of a line that is not a reference.
pub(super) fn mask(line: &str) -> Masked {
    let mut hidden = merged(url_passwords(line).chain(bare_passwords(line)).chain(keyed_secrets(line)).collect());
    hidden.retain(|range| !range.is_empty());
    let mut text = line.to_owned();
    for range in hidden.iter().rev() {
        text.replace_range(range.clone(), STARS);
    }
    Masked { text, hidden }
}

/// Whether a URL holds a password word for word.
pub(super) fn holds_password(url: &str) -> bool {
    url_passwords(url).any(|range| !range.is_empty())
}

fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// `user:PASSWORD@` after each `://`.
fn url_passwords(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    line.match_indices("://").filter_map(|(at, _)| {
        let start = at + 3;
        let colon = start + line[start..].find([':', '/', '@', '"', '\'', ' '])?;
        let after = colon + 1;
        if !line[colon..].starts_with(':') {
            return None;
        }
        let end = password_end(line, after)?;
        (!is_reference(&line[after..end])).then_some(after..end)
    })
}

/// `user:PASSWORD@host` of a URL whose author forgot how it begins.
fn bare_passwords(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    line.match_indices('@').filter_map(|(at, _)| {
        let before = &line[..at];
        let start = before.char_indices().rev().find(|(n, c)| ends_word(&before[..*n], *c)).map_or(0, |(n, _)| n + 1);
        let word = &before[start..];
        let colon = word.find(':').filter(|_| !word.contains("://"))?;
        let password = start + colon + 1..at;
        (!is_reference(&line[password.clone()]) && !inside_reference(line, at)).then_some(password)
    })
}

fn ends_word(before: &str, c: char) -> bool {
    matches!(c, ' ' | '\t' | '"' | '\'' | '[' | ',') || (c == '{' && !before.ends_with('$'))
}

/// The `@` that ends a password: the last one before the value ends; failing that, the last of the line, since a
/// blank or a quote may be part of a password that was not encoded. Without one, what stands there is a port.
fn password_end(line: &str, after: usize) -> Option<usize> {
    let value = &line[after..after + value_length(&line[after..])];
    if let Some(at) = value.rfind('@') {
        return Some(after + at);
    }
    let port = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let is_port = port > 0 && value[port..].chars().next().is_none_or(|c| matches!(c, '/' | '?' | ',' | '}' | ']'));
    if is_port {
        return None;
    }
    line[after..].rfind('@').map(|at| after + at)
}

/// Length of a value: to a blank or the closing quote; escaped quotes belong to it, and so does a whole reference.
fn value_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 1,
            b'"' | b'\'' | b' ' | b'\t' => break,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}

fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.find('}') == Some(text.len() - 1)
}

/// The value of `password: VALUE`, `PGPASSWORD=VALUE` and the like.
fn keyed_secrets(line: &str) -> Vec<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let words = SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word).map(|(at, word)| at + word.len()));
    words.filter(|end| !inside_reference(line, *end)).filter_map(|end| keyed_value(line, end)).collect()
}

fn inside_reference(line: &str, at: usize) -> bool {
    line[..at].rfind("${").is_some_and(|open| !line[open..at].contains('}'))
}

fn keyed_value(line: &str, end: usize) -> Option<Range<usize>> {
    let rest =
        line[end..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\''));
    let told = rest.trim_start();
    let value = told.strip_prefix([':', '='])?.trim_start();
    if told.starts_with(':') && (is_map(value) || names_a_secret(line, end)) {
        return None;
    }
    let (quote, value) = match value.chars().next() {
        Some('"' | '\'') => (1, &value[1..]),
        _ => (0, value),
    };
    let start = line.len() - value.len();
    let length = if quote == 1 { value_end_quoted(value) } else { plain_length(value) };
    (!is_reference(&value[..length])).then_some(start..start + length)
}

/// A system that is called `secret` is a map, not a value.
fn is_map(value: &str) -> bool {
    let key = value.strip_prefix('{').and_then(|inside| inside.split_once(':')).map(|(key, _)| key.trim());
    key.is_some_and(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
}

/// What `secrets-manager` calls `secret` is its name.
fn names_a_secret(line: &str, end: usize) -> bool {
    let key = line[..end].rsplit([' ', '{', ',']).next().unwrap_or_default();
    key == "secret" && line[end..].starts_with(':') && line[..end].contains("secrets-manager: {")
}

/// To the last quote of the line: a blank does not end a quoted secret.
fn value_end_quoted(value: &str) -> usize {
    value.find(['"', '\'']).map_or(value.len(), |first| {
        let length = value_length(&value[first..]);
        if length == 0 { first } else { value.rfind(['"', '\'']).unwrap_or(value.len()) }
    })
}

fn plain_length(value: &str) -> usize {
    if is_reference(value) || value.starts_with("${") {
        return value.find('}').map_or(value.len(), |at| at + 1);
    }
    value.find([' ', '\t', ',', '}', '&', '"', '\'']).unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_passwords_and_nothing_else() {
        let shown = |line: &str| mask(line).text;
        assert_eq!(shown("url: postgresql://app:hush@db:5432/x"), "url: postgresql://app:***@db:5432/x");
        assert_eq!(shown("url: 'postgresql://app:hu''sh@db/x'"), "url: 'postgresql://app:***@db/x'");
        assert_eq!(shown(r#"url: "postgresql://app:hu\"sh@db/x""#), r#"url: "postgresql://app:***@db/x""#);
        assert_eq!(shown("url: postgresql://app:hu/s@h@db/x"), "url: postgresql://app:***@db/x");
        assert_eq!(shown("url: postgresql://app:my hush@db/x"), "url: postgresql://app:***@db/x");
        assert_eq!(shown("url: http://db:8080/x?mail=a@b"), "url: http://db:***@b");
        assert_eq!(shown("url: http://db:8080/x, mail: a@b"), "url: http://db:8080/x, mail: a@b");
        assert_eq!(shown("url: postgresql://app:${env:PW}@db/x"), "url: postgresql://app:${env:PW}@db/x");
        assert_eq!(shown("url: postgresql://app@db/x"), "url: postgresql://app@db/x");
        assert_eq!(shown("url: app:hush@db/x"), "url: app:***@db/x");
        assert_eq!(shown("url: app:${env:PW}@db/x, mail: a@b"), "url: app:${env:PW}@db/x, mail: a@b");
        assert_eq!(shown("{ password: hush, a: 1 }"), "{ password: ***, a: 1 }");
        let system = "secret: { secrets-manager: { secret: shop/db, keys: { password: hush } } }";
        assert_eq!(shown(system), system.replace("hush", "***"));
        assert_eq!(shown("env: { secret: hush }"), "env: { secret: *** }");
        assert_eq!(shown("secret: {hush}, a"), "secret: ***}, a");
        assert_eq!(shown("run: [x, secret={hush]"), "run: [x, secret=***");
        assert_eq!(shown("  PGPASSWORD: 'hu sh'"), "  PGPASSWORD: '***'");
        assert_eq!(shown("run: [psql, password=hush]"), "run: [psql, password=***");
        assert_eq!(shown("url: \"${env:DB_PASSWORD}\""), "url: \"${env:DB_PASSWORD}\"");
        assert_eq!(shown("password: \"${env:X}\""), "password: \"${env:X}\"");
    }

    #[test]
    fn says_where_the_rest_went() {
        let line = "a: x://u:longpassword@h, b: 1";
        let masked = mask(line);
        let moved = masked.moved(line.find("b:").unwrap());
        assert!(masked.text[moved..].starts_with("b: 1"));
        assert_eq!(masked.moved(2), 2);
        assert_eq!(masked.moved(line.find("password").unwrap()), line.find("longpassword").unwrap());
    }
}
