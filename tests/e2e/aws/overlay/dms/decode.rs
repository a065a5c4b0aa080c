//! What `test_decoding` writes, read: one change a line, as <https://www.postgresql.org/docs/current/test-decoding.html> shows.

/// A change of one row. Values are literals of SQL; none is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Insert(String, Vec<Value>),
    /// With the old key, where it changed.
    Update(String, Vec<Value>, Vec<Value>),
    Delete(String, Vec<Value>),
    Truncate(Vec<String>),
}

impl Change {
    /// The table that it is about; of several, the first.
    pub fn table(&self) -> &str {
        match self {
            Self::Insert(table, _) | Self::Update(table, ..) | Self::Delete(table, _) => table,
            Self::Truncate(tables) => tables.first().map_or("", String::as_str),
        }
    }
}

pub type Value = (String, Option<String>);

/// Reads a change; nothing of the lines about transactions.
pub fn change(line: &str) -> Option<Change> {
    let rest = line.strip_prefix("table ")?;
    let at = rest.find(": ")?;
    let (table, rest) = (rest[..at].to_owned(), &rest[at + 2..]);
    if let Some(rest) = rest.strip_prefix("INSERT: ") {
        return Some(Change::Insert(table, values(rest)));
    }
    if let Some(rest) = rest.strip_prefix("DELETE: ") {
        return Some(Change::Delete(table, values(rest)));
    }
    if rest.starts_with("TRUNCATE") {
        return Some(Change::Truncate(table.split(", ").map(str::to_owned).collect()));
    }
    let rest = rest.strip_prefix("UPDATE: ")?;
    match rest.strip_prefix("old-key: ").and_then(|rest| rest.split_once(" new-tuple: ")) {
        Some((old, new)) => Some(Change::Update(table, values(old), values(new))),
        None => Some(Change::Update(table, Vec::new(), values(rest))),
    }
}

/// `name[type]:value`, one after the other. What was not changed and is too large to be repeated is left out.
fn values(mut rest: &str) -> Vec<Value> {
    let mut found = Vec::new();
    while let Some(open) = end_of_name(rest) {
        let name = rest[..open].to_owned();
        let Some(close) = rest[open..].find("]:").map(|at| open + at) else { break };
        rest = &rest[close + 2..];
        let end = end_of_value(rest);
        let value = &rest[..end];
        rest = rest[end..].trim_start();
        match value {
            "unchanged-toast-datum" => {}
            "null" => found.push((name, None)),
            value => found.push((name, Some(value.to_owned()))),
        }
    }
    found
}

fn end_of_name(rest: &str) -> Option<usize> {
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.find('"').map(|at| at + 2),
        None => rest.find('['),
    }
}

fn end_of_value(rest: &str) -> usize {
    let Some(from) = rest.find('\'').filter(|at| *at <= 1) else { return rest.find(' ').unwrap_or(rest.len()) };
    let bytes = rest.as_bytes();
    let mut at = from + 1;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

#[test]
fn what_test_decoding_writes_is_read() {
    let line = "table public.orders: INSERT: id[integer]:7 note[text]:'it''s [a]: b' tags[text[]]:'{1,2}' left[bytea]:null ok[boolean]:true";
    let text = |text: &str| Some(text.to_owned());
    let expected = vec![
        ("id".to_owned(), text("7")),
        ("note".to_owned(), text("'it''s [a]: b'")),
        ("tags".to_owned(), text("'{1,2}'")),
        ("left".to_owned(), None),
        ("ok".to_owned(), text("true")),
    ];
    assert_eq!(change(line), Some(Change::Insert("public.orders".into(), expected)));
    let line =
        "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 big[text]:unchanged-toast-datum";
    let old = vec![("id".to_owned(), text("1"))];
    assert_eq!(change(line), Some(Change::Update("public.t".into(), old, vec![("id".to_owned(), text("2"))])));
    assert_eq!(change("BEGIN 5"), None);
}
