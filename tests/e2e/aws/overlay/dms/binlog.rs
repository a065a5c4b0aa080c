//! What `mysqlbinlog -v` shows of a binary log, and the statements that are made of it.

use super::columns::{Column, Columns};

/// A change of one row: what it was found by, and what it became.
#[derive(Clone, Default)]
pub(super) struct Change {
    pub(super) verb: String,
    pub(super) table: String,
    pub(super) old: Vec<Vec<u8>>,
    pub(super) new: Vec<Vec<u8>>,
    /// Whether what comes is the new row.
    pub(super) becomes: bool,
}

pub(super) fn statement(change: &Change, columns: &Columns, lenient: bool) -> String {
    let table = change.table.split_once('.').map(|(schema, name)| format!("`{schema}`.`{name}`")).unwrap_or_default();
    let value = |column: (&Column, &Vec<u8>)| column.0.decoded(column.1);
    let found = columns.all.iter().zip(&change.old).filter(|(column, _)| column.key);
    let found: Vec<String> = found.map(|pair| format!("`{}` = {}", pair.0.name, value(pair))).collect();
    let kept = || columns.all.iter().zip(&change.new).filter(|(column, _)| !column.removed);
    match change.verb.as_str() {
        "INSERT" => {
            let names: Vec<String> = kept().map(|(column, _)| format!("`{}`", column.name)).collect();
            let values: Vec<String> = kept().map(value).collect();
            let ignore = if lenient { "IGNORE " } else { "" };
            format!("INSERT {ignore}INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
        }
        "UPDATE" => {
            let set: Vec<String> = kept().map(|pair| format!("`{}` = {}", pair.0.name, value(pair))).collect();
            format!("UPDATE {table} SET {} WHERE {}", set.join(", "), found.join(" AND "))
        }
        _ => format!("DELETE FROM {table} WHERE {}", found.join(" AND ")),
    }
}

/// What `mysqlbinlog -v` says, line by line.
#[derive(Default)]
pub(super) struct Log {
    pub(super) file: String,
    pub(super) end: u64,
    pub(super) changes: Vec<Change>,
}

impl Log {
    /// Whether a transaction has ended.
    pub(super) fn take(&mut self, line: &[u8]) -> bool {
        if let Some(rest) = line.strip_prefix(b"###") {
            self.change(rest.trim_ascii_start());
            return false;
        }
        let text = String::from_utf8_lossy(line);
        if text.starts_with('#') {
            if let Some((_, rest)) = text.split_once("end_log_pos ") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                self.end = digits.parse().unwrap_or(self.end);
            }
            if let Some((_, rest)) = text.split_once("Rotate to ") {
                rest.split_whitespace().next().unwrap_or_default().clone_into(&mut self.file);
            }
            return false;
        }
        text.starts_with("COMMIT")
    }

    pub(super) fn change(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        for (words, verb) in [("INSERT INTO ", "INSERT"), ("UPDATE ", "UPDATE"), ("DELETE FROM ", "DELETE")] {
            if let Some(table) = text.strip_prefix(words) {
                let table = table.trim().replace('`', "");
                self.changes.push(Change { verb: verb.to_owned(), table, ..Change::default() });
                return;
            }
        }
        let Some(change) = self.changes.last_mut() else { return };
        match line {
            b"SET" => change.becomes = true,
            b"WHERE" => change.becomes = false,
            _ => {
                let Some(at) = line.iter().position(|byte| *byte == b'=').filter(|_| line.starts_with(b"@")) else {
                    return;
                };
                let value = line[at + 1..].to_vec();
                if change.becomes { change.new.push(value) } else { change.old.push(value) }
            }
        }
    }
}
