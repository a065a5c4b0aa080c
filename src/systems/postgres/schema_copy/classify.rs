//! From the text of a dump to the statements that are run: what is left out, what is changed, and when each one's turn is.

use std::collections::BTreeSet;

use super::split::{Kind, Token, words};
use super::{Lane, Stage, Statement};

/// Indexes that replication finds rows by, as (schema, name).
pub(super) type IdentityIndexes = BTreeSet<(String, String)>;

/// What becomes of one statement of a dump.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is run, as this text.
    Run(String),
    /// Our own session settings take its place, or it means nothing on another server.
    Drop,
    /// It is not run, and a person should know why.
    LeftOut(String),
}

/// Cleans one statement of a dump.
pub(super) fn fate(statement: &str) -> Fate {
    let found = words(statement);
    let head: Vec<&Token<'_>> = found.iter().take(3).collect();
    let starts =
        |wanted: &[&str]| head.len() >= wanted.len() && head.iter().zip(wanted).all(|(token, word)| token.is(word));
    if starts(&["set", "session", "authorization"]) {
        return found.get(3).map_or(Fate::Drop, |role| Fate::Run(format!("SET LOCAL ROLE {}", role.text)));
    }
    if starts(&["reset", "session", "authorization"]) {
        return Fate::Run("RESET ROLE".into());
    }
    if starts(&["set"])
        || (starts(&["select"]) && statement.contains("set_config"))
        || starts(&["comment", "on", "extension"])
    {
        return Fate::Drop;
    }
    if starts(&["create", "user", "mapping"]) {
        let who = statement.split_once("OPTIONS").map_or(statement, |(head, _)| head).trim();
        return Fate::LeftOut(format!("{who}: it may hold a credential; create it on the target by hand"));
    }
    if starts(&["create", "schema"]) && !found.get(2).is_some_and(|token| token.is("if")) {
        return Fate::Run(statement.replacen("CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1));
    }
    without_attver(statement)
}

/// PostgreSQL 15.20 and 17.12 keep `pg_attver=N` among the options of columns. Programs that don't know it copy it
/// out, and no server takes it in.
fn without_attver(statement: &str) -> Fate {
    if !statement.contains("pg_attver") || !statement.starts_with("ALTER ") {
        return Fate::Run(statement.to_owned());
    }
    let Some((head, options)) = statement.rsplit_once(" SET (") else { return Fate::Run(statement.to_owned()) };
    let Some(options) = options.strip_suffix(')') else { return Fate::Run(statement.to_owned()) };
    let left: Vec<&str> =
        options.split(',').map(str::trim).filter(|option| !option.starts_with("pg_attver=")).collect();
    if left.is_empty() { Fate::Drop } else { Fate::Run(format!("{head} SET ({})", left.join(", "))) }
}

/// A grant by somebody else than the owner comes as three statements, which must be run in one transaction.
pub(super) fn join_grants(statements: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    for statement in statements {
        match open.take() {
            None if statement.starts_with("SET LOCAL ROLE ") => open = Some(statement),
            None => joined.push(statement),
            Some(group) => {
                let ends = statement == "RESET ROLE";
                let group = format!("{group};\n{statement}");
                if ends { joined.push(group) } else { open = Some(group) }
            }
        }
    }
    joined.extend(open);
    joined
}

/// Says when the turn of a statement of the dump's second half comes.
pub(super) fn post_data(sql: String, identities: &IdentityIndexes) -> Statement {
    let found = words(&sql);
    let shape = Shape::of(&found);
    let (stage, lane) = match shape {
        Shape::Index(name) if identities.contains(&name) => (Stage::BeforeCopy, Lane::Ordered),
        Shape::Attach(name) if identities.contains(&name) => (Stage::BeforeCopy, Lane::Ordered),
        Shape::PrimaryKey | Shape::Identity => (Stage::BeforeCopy, Lane::Ordered),
        Shape::Index(_) => (Stage::AfterCopy, Lane::Parallel),
        Shape::Attach(_) | Shape::Other => (Stage::AfterCopy, Lane::Ordered),
    };
    Statement { sql, stage, lane }
}

enum Shape {
    PrimaryKey,
    /// An index, on its own or behind a unique or exclusion constraint: it may take long, and needs nothing else.
    Index((String, String)),
    Attach((String, String)),
    Identity,
    Other,
}

impl Shape {
    fn of(found: &[Token<'_>]) -> Self {
        let mut cursor = Cursor { rest: found };
        if cursor.eat(&["create", "unique", "index"]) || cursor.eat(&["create", "index"]) {
            return Self::index(&mut cursor).unwrap_or(Self::Other);
        }
        if cursor.eat(&["alter", "index"]) {
            let name = cursor.qualified();
            return match name {
                Some(name) if cursor.eat(&["attach", "partition"]) => Self::Attach(name),
                _ => Self::Other,
            };
        }
        if !cursor.eat(&["alter", "table", "only"]) && !cursor.eat(&["alter", "table"]) {
            return Self::Other;
        }
        Self::table(&mut cursor).unwrap_or(Self::Other)
    }

    fn index(cursor: &mut Cursor<'_, '_>) -> Option<Self> {
        let name = cursor.name()?;
        if !cursor.eat(&["on", "only"]) && !cursor.eat(&["on"]) {
            return None;
        }
        let (schema, _) = cursor.qualified()?;
        Some(Self::Index((schema, name)))
    }

    fn table(cursor: &mut Cursor<'_, '_>) -> Option<Self> {
        let (schema, _) = cursor.qualified()?;
        if cursor.eat(&["replica", "identity"]) {
            return Some(Self::Identity);
        }
        if !cursor.eat(&["add", "constraint"]) {
            return None;
        }
        let name = cursor.name()?;
        if cursor.eat(&["primary", "key"]) {
            return Some(Self::PrimaryKey);
        }
        let makes_index = cursor.eat(&["unique"]) || cursor.eat(&["exclude"]);
        makes_index.then_some(Self::Index((schema, name)))
    }
}

/// The role that a statement needs on the target, if it names one.
pub(super) fn roles_named(sql: &str) -> Vec<String> {
    let mut roles = Vec::new();
    for part in super::split::statements(sql) {
        let found = words(&part);
        let Some(first) = found.first() else { continue };
        let after = |word: &str| found.iter().rposition(|token| token.is(word)).and_then(|at| found.get(at + 1));
        let pair = |one: &str, two: &str| {
            found.windows(3).find(|three| three[0].is(one) && three[1].is(two)).map(|three| &three[2])
        };
        if first.is("grant") || (first.is("alter") && found.iter().any(|token| token.is("grant"))) {
            roles.extend(after("to").and_then(Token::name));
        }
        if first.is("revoke") || (first.is("alter") && found.iter().any(|token| token.is("revoke"))) {
            roles.extend(after("from").and_then(Token::name));
        }
        if first.is("alter") {
            roles.extend(pair("owner", "to").and_then(Token::name));
            roles.extend(pair("for", "role").and_then(Token::name));
        }
        if first.is("set") {
            roles.extend(pair("local", "role").and_then(Token::name));
        }
        if found.len() > 2 && first.is("create") && found[1].is("policy") {
            roles.extend(policy_roles(&found));
        }
    }
    roles.retain(|role| role != "public" && role != "current_user" && role != "session_user");
    roles
}

/// `CREATE POLICY p ON t TO a, b USING …`
fn policy_roles(found: &[Token<'_>]) -> Vec<String> {
    let start = found.iter().position(|token| token.is("to")).map_or(found.len(), |at| at + 1);
    found[start..]
        .iter()
        .take_while(|token| !token.is("using") && !token.is("with"))
        .filter(|token| token.kind != Kind::Symbol)
        .filter_map(Token::name)
        .collect()
}

struct Cursor<'t, 'a> {
    rest: &'t [Token<'a>],
}

impl Cursor<'_, '_> {
    /// Steps over these words if they come next.
    fn eat(&mut self, wanted: &[&str]) -> bool {
        let here = self.rest.len() >= wanted.len() && self.rest.iter().zip(wanted).all(|(token, word)| token.is(word));
        if here {
            self.rest = &self.rest[wanted.len()..];
        }
        here
    }

    fn name(&mut self) -> Option<String> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        first.name()
    }

    fn qualified(&mut self) -> Option<(String, String)> {
        let schema = self.name()?;
        let (dot, rest) = self.rest.split_first()?;
        if !dot.is_symbol(".") {
            return None;
        }
        self.rest = rest;
        Some((schema, self.name()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(sql: &str) -> (Stage, Lane) {
        let identities = IdentityIndexes::from([("app".into(), "log_uid".into()), ("app".into(), "Pk".into())]);
        let statement = post_data(sql.to_owned(), &identities);
        (statement.stage, statement.lane)
    }

    #[test]
    fn attver_goes_and_other_options_stay() {
        assert_eq!(fate("ALTER TABLE ONLY a.b ALTER COLUMN c SET (pg_attver=22)"), Fate::Drop);
        assert_eq!(
            fate("ALTER TABLE ONLY a.b ALTER COLUMN c SET (pg_attver=22, n_distinct=5)"),
            Fate::Run("ALTER TABLE ONLY a.b ALTER COLUMN c SET (n_distinct=5)".into())
        );
        let innocent = "COMMENT ON TABLE a.b IS 'SET (pg_attver=1)'";
        assert_eq!(fate(innocent), Fate::Run(innocent.into()));
    }

    #[test]
    fn settings_and_credentials_are_left_out() {
        assert_eq!(fate("SET transaction_timeout = 0"), Fate::Drop);
        assert_eq!(fate("SELECT pg_catalog.set_config('search_path', '', false)"), Fate::Drop);
        assert_eq!(fate("CREATE SCHEMA app"), Fate::Run("CREATE SCHEMA IF NOT EXISTS app".into()));
        let Fate::LeftOut(why) = fate("CREATE USER MAPPING FOR a SERVER s OPTIONS (password 'hush')") else { panic!() };
        assert!(!why.contains("hush"), "{why}");
    }

    #[test]
    fn what_replication_needs_comes_before_the_copy() {
        let before = (Stage::BeforeCopy, Lane::Ordered);
        assert_eq!(stage("ALTER TABLE ONLY app.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id)"), before);
        assert_eq!(stage("CREATE UNIQUE INDEX log_uid ON app.log USING btree (uid)"), before);
        assert_eq!(stage("ALTER TABLE ONLY app.log REPLICA IDENTITY USING INDEX log_uid"), before);
        assert_eq!(stage("ALTER INDEX app.\"Pk\" ATTACH PARTITION app.x"), before);
        assert_eq!(
            stage("CREATE INDEX log_uid ON ONLY other.log USING btree (uid)"),
            (Stage::AfterCopy, Lane::Parallel)
        );
        assert_eq!(stage("ALTER TABLE ONLY app.t ADD CONSTRAINT u UNIQUE (a)"), (Stage::AfterCopy, Lane::Parallel));
        let after = (Stage::AfterCopy, Lane::Ordered);
        assert_eq!(stage("ALTER TABLE ONLY app.t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES app.u(id)"), after);
        assert_eq!(stage("CREATE TRIGGER t BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f()"), after);
        assert_eq!(stage("COMMENT ON INDEX app.log_uid IS 'PRIMARY KEY'"), after);
    }

    #[test]
    fn finds_the_roles_that_are_needed() {
        let named = |sql: &str| roles_named(sql);
        assert_eq!(named("ALTER TABLE app.t OWNER TO \"App User\""), ["App User"]);
        assert_eq!(named("GRANT SELECT ON TABLE app.t TO reader WITH GRANT OPTION"), ["reader"]);
        assert_eq!(named("REVOKE ALL ON SCHEMA public FROM PUBLIC"), [""; 0]);
        assert_eq!(named("CREATE POLICY p ON app.t TO a, b USING ((id > 0))"), ["a", "b"]);
        assert_eq!(named("ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA app GRANT SELECT ON TABLES TO r"), ["r", "o"]);
        assert_eq!(named("SET LOCAL ROLE g;\nGRANT SELECT ON TABLE a.b TO h;\nRESET ROLE"), ["g", "h"]);
        assert_eq!(named("COMMENT ON TABLE a.b IS 'owner to x'"), [""; 0]);
    }

    #[test]
    fn a_grant_by_another_role_is_one_statement() {
        let parts = ["SET LOCAL ROLE g", "GRANT SELECT ON a.b TO h", "RESET ROLE", "SELECT 1"].map(str::to_owned);
        assert_eq!(join_grants(parts.to_vec()).len(), 2);
    }
}
