//! Splits a script of SQL into statements, the way `psql` does: `;` inside strings, quoted names, dollar quotes,
//! comments, parentheses and `BEGIN ATOMIC` bodies ends nothing. Lines of `psql`'s own commands (`\restrict`) are left out.

/// What a stretch of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A quoted name, with its quotes.
    Quoted,
    /// A string of any style.
    Text,
    /// One other character.
    Symbol,
    /// White space, a comment, or a line for `psql`.
    Blank,
}

/// A stretch of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// The name it stands for, if it is one.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_lowercase()),
            Kind::Quoted => self.text.get(1..self.text.len() - 1).map(|inner| inner.replace("\"\"", "\"")),
            _ => None,
        }
    }
}

/// All tokens; together they are the whole text.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = sql;
    while !rest.is_empty() {
        let (kind, length) = next(rest);
        let (text, tail) = rest.split_at(length);
        found.push(Token { kind, text });
        rest = tail;
    }
    found
}

/// The tokens that mean something.
pub(super) fn words(sql: &str) -> Vec<Token<'_>> {
    tokens(sql).into_iter().filter(|token| token.kind != Kind::Blank).collect()
}

fn next(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let first = bytes[0];
    let second = bytes.get(1).copied().unwrap_or(0);
    match first {
        b'-' if second == b'-' => (Kind::Blank, line(rest)),
        b'\\' => (Kind::Blank, line(rest)),
        b'/' if second == b'*' => (Kind::Blank, comment(bytes)),
        b'\'' => (Kind::Text, quoted(bytes, 0, b'\'', false)),
        b'E' | b'e' if second == b'\'' => (Kind::Text, quoted(bytes, 1, b'\'', true)),
        b'"' => (Kind::Quoted, quoted(bytes, 0, b'"', false)),
        b'$' => dollar(rest).map_or((Kind::Symbol, 1), |length| (Kind::Text, length)),
        _ if first.is_ascii_whitespace() => (Kind::Blank, run(bytes, |byte| byte.is_ascii_whitespace())),
        _ if starts_name(first) => {
            (Kind::Word, run(bytes, |byte| starts_name(byte) || byte.is_ascii_digit() || byte == b'$'))
        }
        _ if first.is_ascii_digit() => (Kind::Symbol, run(bytes, |byte| byte.is_ascii_digit() || byte == b'.')),
        _ => (Kind::Symbol, 1),
    }
}

const fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn run(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !wanted(*byte)).unwrap_or(bytes.len())
}

fn line(rest: &str) -> usize {
    rest.find('\n').map_or(rest.len(), |end| end + 1)
}

/// Comments nest.
fn comment(bytes: &[u8]) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// Length of what starts with a quote at `from`; a doubled quote is one quote.
fn quoted(bytes: &[u8], from: usize, quote: u8, backslashes: bool) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        if backslashes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    bytes.len()
}

/// Length of a dollar-quoted string, or `None` when this `$` starts none.
fn dollar(rest: &str) -> Option<usize> {
    let end = rest[1..].find('$')? + 2;
    let tag = &rest[..end];
    let name = &tag[1..end - 1];
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(|b| starts_name(b) || b.is_ascii_digit()) {
        return None;
    }
    Some(rest[end..].find(tag).map_or(rest.len(), |close| end + close + end))
}

/// The statements of a script, without the closing `;`, leading comments and white space.
pub(super) fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = Current::default();
    for token in tokens(script) {
        if token.is_symbol(";") && current.ends_here() {
            found.extend(std::mem::take(&mut current).finish());
        } else {
            current.push(token);
        }
    }
    found.extend(current.finish());
    found
}

#[derive(Default)]
struct Current {
    text: String,
    /// The first words, in upper case: enough to know a function.
    head: Vec<String>,
    parentheses: i32,
    bodies: u32,
}

impl Current {
    const fn ends_here(&self) -> bool {
        self.parentheses <= 0 && self.bodies == 0
    }

    fn push(&mut self, token: Token<'_>) {
        let for_psql = token.kind == Kind::Blank && token.text.starts_with('\\');
        if for_psql || (self.text.is_empty() && token.kind == Kind::Blank) {
            return;
        }
        self.text.push_str(token.text);
        match token.kind {
            Kind::Symbol if token.text == "(" => self.parentheses += 1,
            Kind::Symbol if token.text == ")" => self.parentheses -= 1,
            Kind::Word => self.word(token),
            _ => {}
        }
    }

    fn word(&mut self, token: Token<'_>) {
        if self.head.len() < 4 {
            self.head.push(token.text.to_ascii_uppercase());
        }
        if self.parentheses != 0 || !self.makes_routine() {
            return;
        }
        if token.is("begin") || (token.is("case") && self.bodies > 0) {
            self.bodies += 1;
        } else if token.is("end") {
            self.bodies = self.bodies.saturating_sub(1);
        }
    }

    fn makes_routine(&self) -> bool {
        let head: Vec<&str> = self.head.iter().map(String::as_str).collect();
        matches!(
            head.as_slice(),
            ["CREATE", "FUNCTION" | "PROCEDURE", ..] | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE"]
        )
    }

    fn finish(self) -> Option<String> {
        let text = self.text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_statements_only_where_psql_does() {
        let script = "\\restrict abc\n-- a; comment\nCREATE TABLE a(x int DEFAULT (1), y text DEFAULT 'a;''b');\n\
            CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $_$ BEGIN; $$ ; END $_$;\n\
            /* x; /* y; */ z; */ COMMENT ON TABLE \"a;b\" IS E'it\\'s; it';\n\
            CREATE FUNCTION g(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN x>1 THEN 1 ELSE 2 END; SELECT 2; END;\n\
            CREATE RULE r AS ON DELETE TO t DO INSTEAD (SELECT 1; SELECT 2);\n\
            SELECT $1;\\unrestrict abc\n";
        let found = statements(script);
        let starts: Vec<&str> = found.iter().map(|text| text.get(..12).unwrap_or(text)).collect();
        assert_eq!(
            starts,
            ["CREATE TABLE", "CREATE FUNCT", "COMMENT ON T", "CREATE FUNCT", "CREATE RULE ", "SELECT $1"]
        );
        assert!(found[1].ends_with("END $_$") && found[3].ends_with("SELECT 2; END"));
    }

    #[test]
    fn reads_names() {
        let found: Vec<_> = words("ALTER TABLE ONLY App.\"My \"\"T\"").iter().filter_map(Token::name).collect();
        assert_eq!(found, ["alter", "table", "only", "app", "My \"T"]);
    }

    proptest! {
        #[test]
        fn tokens_are_the_whole_text(text in "[a-z'\"$;()\\-/*\\\\ \né]{0,60}") {
            let joined: String = tokens(&text).iter().map(|token| token.text).collect();
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn a_string_never_ends_a_statement(inner in "[a-z;$()\"\\- ]{0,30}") {
            let script = format!("SELECT '{inner}'; SELECT 2");
            prop_assert_eq!(statements(&script).len(), 2);
        }
    }
}
