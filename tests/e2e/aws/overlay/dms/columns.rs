//! Columns of MySQL and MariaDB, and their values: as they are read, as the binary log shows them, as they are written.

/// What is known of a table's columns.
#[derive(Clone, Default)]
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
}

#[derive(Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) key: bool,
    pub(super) removed: bool,
    /// Of which server the binary log is.
    pub(super) mariadb: bool,
}

impl Column {
    pub(super) fn is_binary(&self) -> bool {
        ["blob", "binary", "geometry", "point"].iter().any(|word| self.kind.contains(word))
    }

    /// How it is read, as text.
    pub(super) fn read(&self) -> String {
        if self.is_binary() { format!("HEX(`{}`)", self.name) } else { format!("CAST(`{}` AS CHAR)", self.name) }
    }

    /// What was read, as a literal.
    pub(super) fn literal(&self, text: Option<&[u8]>) -> String {
        match text {
            None => "NULL".to_owned(),
            Some(text) if self.is_binary() => format!("x'{}'", String::from_utf8_lossy(text)),
            Some(text) => quoted(text),
        }
    }

    /// What the binary log shows, as a literal.
    pub(super) fn decoded(&self, shown: &[u8]) -> String {
        if shown == b"NULL" {
            return "NULL".to_owned();
        }
        if let Some(inside) = shown.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")) {
            let bytes = unescaped(inside, self.mariadb);
            return if self.is_binary() { format!("x'{}'", hex::encode(bytes)) } else { quoted(&bytes) };
        }
        let text = String::from_utf8_lossy(shown);
        // A negative number is shown twice: -1 (255).
        let number = text.split(' ').next().unwrap_or_default();
        if self.kind == "timestamp" { format!("FROM_UNIXTIME({number})") } else { number.to_owned() }
    }
}

pub(super) fn quoted(text: &[u8]) -> String {
    if text.is_empty() { "''".to_owned() } else { format!("CONVERT(x'{}' USING utf8mb4)", hex::encode(text)) }
}

/// MySQL escapes as JSON does, and other bytes below 32 as `\xNN`. MariaDB knows the latter only, and leaves the rest as
/// it is.
pub(super) fn unescaped(text: &[u8], mariadb: bool) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        if text[at] != b'\\' {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let next = text.get(at + 1).copied().unwrap_or(b'\\');
        let digits = text.get(at + 2..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match (next, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'x', Some(byte)) if byte < 32 || !mariadb => {
                out.push(byte);
                at += 4;
                continue;
            }
            _ if mariadb => {
                out.push(b'\\');
                at += 1;
                continue;
            }
            (b'0', _) => out.push(0),
            (b'n', _) => out.push(b'\n'),
            (b'r', _) => out.push(b'\r'),
            (b't', _) => out.push(b'\t'),
            (b'b', _) => out.push(8),
            (b'f', _) => out.push(12),
            (b'Z', _) => out.push(26),
            (other, _) => out.push(other),
        }
        at += 2;
    }
    out
}
