//! Points one entry of a `pgbouncer.ini` elsewhere and leaves every other character of the file as it is.

use crate::systems::address::Address;

/// Why a file can't be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IniError {
    /// The entry is in another file.
    #[error("its [databases] section has no entry `{0}` and no `*`")]
    NoEntry(String),
    /// The entry is there, written in a way that can't be changed safely.
    #[error("line {line} is not `name = key=value key=value ...`")]
    Unreadable {
        /// Counted from 1.
        line: usize,
    },
}

/// Gives the text with `database` leading to `address`. A database that only the fallback `*` serves gets a line of
/// its own, a copy of the fallback's, so that the other databases stay where they are.
pub fn redirect(text: &str, database: &str, address: &Address) -> Result<String, IniError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let entries = entries(&lines);
    let named: Vec<&Found> = entries.iter().filter(|entry| entry.name == database).collect();
    if named.is_empty() {
        let fallback = entries.iter().rfind(|entry| entry.name == "*");
        let fallback = fallback.ok_or_else(|| IniError::NoEntry(database.to_owned()))?;
        let value = edited(fallback, &lines, database, address)?;
        return Ok(with_line_after(&lines, fallback.line, &format!("{} = {value}", ident(database))));
    }
    let mut output: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    for entry in named {
        let (line, ending) = split_ending(lines[entry.line]);
        let value = edited(entry, &lines, database, address)?;
        output[entry.line] = format!("{}{value}{ending}", &line[..entry.value]);
    }
    Ok(output.concat())
}

/// Files that the text includes, as it names them.
pub fn includes(text: &str) -> Vec<String> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("%include"));
    named.filter(|rest| rest.starts_with([' ', '\t'])).map(|rest| rest.trim().to_owned()).collect()
}

/// Whether the text has an entry of this very name.
pub fn has_entry(text: &str, database: &str) -> bool {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    entries(&lines).iter().any(|entry| entry.name == database)
}

/// An entry: its line (from 0) and where on it the value begins.
struct Found {
    name: String,
    line: usize,
    value: usize,
}

fn entries(lines: &[&str]) -> Vec<Found> {
    let mut inside = false;
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim();
        if text.starts_with('[') {
            inside = text == "[databases]";
        } else if inside && !text.starts_with([';', '#', '%']) {
            found.extend(entry(line, at));
        }
    }
    found
}

fn entry(line: &str, at: usize) -> Option<Found> {
    let start = line.len() - line.trim_start().len();
    let (name, end) = match line[start..].strip_prefix('"') {
        Some(quoted) => {
            let (name, length) = unquote(quoted, '"')?;
            (name, start + 1 + length)
        }
        None => {
            let end = line[start..].find(|c: char| c == '=' || c.is_whitespace())? + start;
            (line[start..end].to_owned(), end)
        }
    };
    let equals = end + line[end..].find(|c: char| !matches!(c, ' ' | '\t'))?;
    let rest = line[equals..].strip_prefix('=')?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    Some(Found { name, line: at, value: equals + 1 + blanks })
}

/// Reads up to the closing quote (a doubled quote stands for itself); gives the text and the length with that quote.
fn unquote(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            value.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            value.push(quote);
            chars.next();
        } else {
            return Some((value, at + 1));
        }
    }
    None
}

/// One `key=value` of an entry's value: where the value stands, quotes included.
struct Word {
    key: String,
    value: String,
    start: usize,
    end: usize,
}

fn words(text: &str) -> Option<Vec<Word>> {
    let mut found = Vec::new();
    let mut at = skip_blanks(text, 0);
    while at < text.len() {
        let end = at + text[at..].find(|c: char| c == '=' || c.is_whitespace())?;
        let key = text[at..end].to_owned();
        let equals = skip_blanks(text, end);
        text[equals..].strip_prefix('=')?;
        let start = skip_blanks(text, equals + 1);
        let (value, length) = match text[start..].strip_prefix('\'') {
            Some(quoted) => unquote(quoted, '\'').map(|(value, length)| (value, length + 1))?,
            None => {
                let length = text[start..].find(char::is_whitespace).unwrap_or(text.len() - start);
                (text[start..start + length].to_owned(), length)
            }
        };
        found.push(Word { key, value, start, end: start + length });
        at = skip_blanks(text, start + length);
    }
    Some(found)
}

fn skip_blanks(text: &str, from: usize) -> usize {
    from + (text[from..].len() - text[from..].trim_start().len())
}

/// The entry's value with host, port and (when it has to change) dbname replaced.
fn edited(entry: &Found, lines: &[&str], database: &str, address: &Address) -> Result<String, IniError> {
    let (line, _) = split_ending(lines[entry.line]);
    let mut value = line[entry.value..].to_owned();
    let unreadable = IniError::Unreadable { line: entry.line + 1 };
    let mut wanted = vec![("host", address.host.clone()), ("port", address.port.to_string())];
    if let Some(name) = &address.dbname {
        let now = words(&value).ok_or_else(|| unreadable.clone())?;
        let current = now.iter().rfind(|word| word.key == "dbname").map_or(database, |word| &word.value);
        if current != name {
            wanted.push(("dbname", name.clone()));
        }
    }
    for (key, new) in wanted {
        value = set(&value, key, &new).ok_or_else(|| unreadable.clone())?;
    }
    Ok(value)
}

/// Replaces every `key=` of the value, from the last so that positions hold, or adds one.
fn set(value: &str, key: &str, new: &str) -> Option<String> {
    let found = words(value)?;
    let mut output = value.to_owned();
    let mut any = false;
    for word in found.iter().rev().filter(|word| word.key == key) {
        any = true;
        if word.value != new {
            output.replace_range(word.start..word.end, &quoted(new));
        }
    }
    if !any {
        let kept = output.trim_end().len();
        let blank = if kept == 0 { "" } else { " " };
        output.insert_str(kept, &format!("{blank}{key}={}", quoted(new)));
    }
    Some(output)
}

fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '\'');
    if plain { value.to_owned() } else { format!("'{}'", value.replace('\'', "''")) }
}

fn ident(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn split_ending(line: &str) -> (&str, &str) {
    line.split_at(line.trim_end_matches(['\r', '\n']).len())
}

fn with_line_after(lines: &[&str], at: usize, new: &str) -> String {
    let (_, ending) = split_ending(lines[at]);
    let ending = if ending.is_empty() { "\n" } else { ending };
    let mut output: String = lines[..at].concat();
    output.push_str(split_ending(lines[at]).0);
    output.push_str(ending);
    output.push_str(new);
    output.push_str(ending);
    output.push_str(&lines[at + 1..].concat());
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str, port: u16, dbname: Option<&str>) -> Address {
        Address { host: host.into(), port, dbname: dbname.map(str::to_owned) }
    }

    #[test]
    fn edits_one_entry_and_nothing_else() {
        let text = "; orders = host=comment\n[databases]\n# note\nbilling = host=a port=1\n  orders =\thost = a   port='1' \
                    pool_size=5 client_encoding='a ; b'\r\n[pgbouncer]\norders = host=a\n";
        let moved = redirect(text, "orders", &to("b", 2, None)).unwrap();
        assert_eq!(
            moved,
            "; orders = host=comment\n[databases]\n# note\nbilling = host=a port=1\n  orders =\thost = b   port=2 \
             pool_size=5 client_encoding='a ; b'\r\n[pgbouncer]\norders = host=a\n"
        );
        assert_eq!(redirect(&moved, "orders", &to("b", 2, None)).unwrap(), moved, "repeatable");
    }

    #[test]
    fn goes_there_and_back_to_the_same_text() {
        let text = "[databases]\norders = host=a port=1 dbname='or ders' user=x\n";
        let there = redirect(text, "orders", &to("b", 2, Some("new"))).unwrap();
        assert_eq!(there, "[databases]\norders = host=b port=2 dbname=new user=x\n");
        assert_eq!(redirect(&there, "orders", &to("a", 1, Some("or ders"))).unwrap(), text);
    }

    #[test]
    fn adds_what_is_missing() {
        let moved = redirect("[databases]\norders = \n", "orders", &to("b", 2, Some("orders"))).unwrap();
        assert_eq!(moved, "[databases]\norders = host=b port=2\n");
        let moved = redirect("[databases]\norders = host=a", "orders", &to("b", 2, Some("o2"))).unwrap();
        assert_eq!(moved, "[databases]\norders = host=b port=2 dbname=o2");
    }

    #[test]
    fn a_fallback_keeps_the_other_databases() {
        let text = "[databases]\n* = host=a port=1 auth_user=x\n[pgbouncer]\n";
        let moved = redirect(text, "or ders", &to("b", 2, None)).unwrap();
        let wanted =
            "[databases]\n* = host=a port=1 auth_user=x\n\"or ders\" = host=b port=2 auth_user=x\n[pgbouncer]\n";
        assert_eq!(moved, wanted);
        assert_eq!(redirect(&moved, "or ders", &to("b", 2, None)).unwrap(), moved);
    }

    #[test]
    fn quoted_names_and_duplicates() {
        let text = "[databases]\n\"a\"\"b\" = host=a host=c port=1\n\"a\"\"b\"=port=1 host=a\n";
        let moved = redirect(text, "a\"b", &to("x y", 2, None)).unwrap();
        assert_eq!(moved, "[databases]\n\"a\"\"b\" = host='x y' host='x y' port=2\n\"a\"\"b\"=port=2 host='x y'\n");
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let text = "[databases]\norders = host=a garbage\n";
        assert_eq!(redirect(text, "orders", &to("b", 2, None)), Err(IniError::Unreadable { line: 2 }));
        let text = "[databases]\norders = host='a\n";
        assert_eq!(redirect(text, "orders", &to("b", 2, None)), Err(IniError::Unreadable { line: 2 }));
        let missing = redirect("[databases]\n%include more.ini\n", "orders", &to("b", 2, None));
        assert_eq!(missing, Err(IniError::NoEntry("orders".into())));
        assert_eq!(includes("%include a.ini\n%included\n %include /b\n"), ["a.ini", "/b"]);
    }
}
