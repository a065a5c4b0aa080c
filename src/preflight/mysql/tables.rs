//! The tables that are carried, and what of them replication stumbles over.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::mysql::survey::Table;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![
        schemas(input),
        keys(input),
        engines(input),
        generated(input),
        invisible(input),
        floats(input),
        encryption(input),
    ]
}

fn full_names<'a>(tables: impl IntoIterator<Item = &'a Table>) -> String {
    names(tables.into_iter().map(Table::full_name))
}

fn schemas(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "schemas",
        system: &input.source.system,
        why: "What is in no schema that is carried stays behind.",
    };
    let there: Vec<&str> = input.source.schemas.iter().map(|schema| schema.name.as_str()).collect();
    let missing: Vec<&String> = input.wanted.schemas.iter().filter(|name| !there.contains(&name.as_str())).collect();
    if !missing.is_empty() {
        let mend = vec![format!("-- correct `schemas` of `replicate`; there are: {}", names(&there))];
        return check.fail("the source has no such schema", format!("{}.", names(missing)), mend);
    }
    let tables = input.tables().count();
    if tables == 0 {
        let mend = vec!["-- correct `schemas` of `replicate`, or the source's `url`".to_owned()];
        return check.fail("there is nothing to carry", "No table in the schemas that are carried.", mend);
    }
    let left: Vec<&str> = there.iter().copied().filter(|name| !input.carries(name)).collect();
    if !left.is_empty() {
        let mend = vec!["-- add them to `schemas` of `replicate` if the application needs them".to_owned()];
        return check.warn("some schemas stay behind", format!("{}.", names(left)), mend);
    }
    check.pass(count(tables, "table is carried", "tables are carried"), format!("Schemas: {}.", names(there)))
}

fn keys(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "primary-keys",
        system: &input.source.system,
        why: "Without a primary key each changed row is looked for by reading the whole table, and of rows that are \
              alike any one is taken: apply crawls, and the lag never ends.",
    };
    let bare: Vec<&Table> = input.tables().filter(|table| !table.primary_key).collect();
    let keyless: Vec<&&Table> = bare.iter().filter(|table| table.unique_key.is_none()).collect();
    if bare.is_empty() {
        return check.pass("every table has a primary key", "Rows are told by it.");
    }
    let mend = bare
        .iter()
        .map(|table| match &table.unique_key {
            Some(key) => format!("-- {}: make the unique key {key} the primary key", table.full_name()),
            None => format!(
                "ALTER TABLE {} ADD COLUMN pk bigint unsigned NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY;",
                table.sql_name()
            ),
        })
        .collect();
    if keyless.is_empty() {
        let detail = format!("They have a unique key that serves: {}.", full_names(bare.iter().copied()));
        return check.warn(count(bare.len(), "table has no primary key", "tables have no primary key"), detail, mend);
    }
    let required = input.target.is_on("sql_require_primary_key");
    let rows: i64 = keyless.iter().map(|table| table.rows).sum();
    let detail = format!("{}: about {rows} rows.", full_names(keyless.iter().map(|table| **table)));
    let title = count(keyless.len(), "table has no key", "tables have no key");
    if required {
        return check.fail(title, format!("{detail} The target takes no such table (sql_require_primary_key)."), mend);
    }
    if rows > MANY_ROWS {
        return check.fail(title, detail, mend);
    }
    check.warn(title, format!("{detail} Small tables are bearable."), mend)
}

/// More rows than this are not read again for each change.
const MANY_ROWS: i64 = 10_000;

fn engines(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "engines",
        system: &input.source.system,
        why: "Only InnoDB gives a consistent copy while writes go on, rolls back, and is refused by a GTID-consistent \
              server in mixed transactions; MEMORY is empty after a restart.",
    };
    let found: Vec<&Table> = input.tables().filter(|table| !table.engine.eq_ignore_ascii_case("innodb")).collect();
    if found.is_empty() {
        return check.pass("every table is InnoDB", "Copies are consistent.");
    }
    let mend = found.iter().map(|table| format!("ALTER TABLE {} ENGINE = InnoDB;", table.sql_name())).collect();
    let named = names(found.iter().map(|table| format!("{} ({})", table.full_name(), table.engine)));
    check.fail(count(found.len(), "table is not InnoDB", "tables are not InnoDB"), format!("{named}."), mend)
}

fn columns_of(input: &PreflightInput, wanted: fn(&crate::systems::mysql::survey::Column) -> bool) -> Vec<String> {
    let of = |table: &Table| {
        let found: Vec<&str> =
            table.columns.iter().filter(|column| wanted(column)).map(|column| column.name.as_str()).collect();
        (!found.is_empty()).then(|| format!("{} ({})", table.full_name(), found.join(", ")))
    };
    input.tables().filter_map(of).collect()
}

fn generated(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "generated-columns",
        system: &input.source.system,
        why: "Stored values are sent, virtual ones are computed by each server: an expression must mean the same on both \
              (collation, sql_mode, time zone, functions of the version).",
    };
    let found = columns_of(input, crate::systems::mysql::survey::Column::is_generated);
    if found.is_empty() {
        return check.pass("there is no generated column", "Every column is sent.");
    }
    let same = input.source.server.series() == input.target.server.series();
    let detail = format!("{}.", names(&found));
    if same {
        return check.pass("generated columns are computed alike", format!("Both servers are of one series. {detail}"));
    }
    let mend = vec!["-- `verify` compares their values too; rehearse with both versions".to_owned()];
    check.warn("generated columns are computed by another version", detail, mend)
}

fn invisible(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "invisible-columns",
        system: &input.source.system,
        why: "Rows are carried by the position of their columns: a hidden key that only one side has shifts them, and a \
              dump may leave it out.",
    };
    let made_up: Vec<&Table> = input.tables().filter(|table| table.made_up_key()).collect();
    let hidden = columns_of(input, crate::systems::mysql::survey::Column::is_invisible);
    let makes_up = |side: &crate::systems::mysql::survey::Survey| side.is_on("sql_generate_invisible_primary_key");
    if makes_up(&input.target) && input.tables().any(|table| !table.primary_key) {
        let detail =
            "sql_generate_invisible_primary_key is ON on the target, and there are tables without a primary key.";
        let mut mend = super::mend::change(&input.target, "sql_generate_invisible_primary_key", "OFF");
        mend.push("-- or give those tables a primary key first".to_owned());
        return check.fail("the target would make up keys that the source has not", detail, mend);
    }
    if !made_up.is_empty() && input.target.variable("sql_generate_invisible_primary_key").is_none() {
        let mend = vec!["-- ALTER TABLE … ALTER COLUMN my_row_id SET VISIBLE, for each, before the copy".to_owned()];
        return check.warn(
            "the target does not know keys that the server made up",
            format!("{}.", full_names(made_up)),
            mend,
        );
    }
    if hidden.is_empty() {
        return check.pass("there is no invisible column", "`SELECT *` shows every column.");
    }
    check.pass("invisible columns are carried as they are", format!("{}.", names(&hidden)))
}

/// The servers write a FLOAT as text with six digits (`FLT_DIG`), and every dump asks for text.
fn floats(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "float-columns",
        system: &input.source.system,
        why: "A dump has six digits of a FLOAT: where more are stored the copy has another number. Changes that come later \
              are carried whole.",
    };
    let found = columns_of(input, crate::systems::mysql::survey::Column::is_float);
    if found.is_empty() || !input.wanted.copy_schema {
        return check.pass("there is no FLOAT to copy", "DOUBLE and DECIMAL are copied whole.");
    }
    let mend = vec![
        "-- ALTER TABLE … MODIFY … DOUBLE before the copy, or clone (MySQL); `verify` names the rows that differ"
            .to_owned(),
    ];
    check.warn("FLOAT columns are copied with six digits", format!("{}.", names(&found)), mend)
}

fn encryption(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "encryption",
        system: &input.target.system,
        why: "An encrypted table can only be made where a keyring is; and what was encrypted should not lie in the clear.",
    };
    let found: Vec<&Table> = input.tables().filter(|table| table.encrypted).collect();
    if found.is_empty() {
        return check.pass("no table is encrypted", "No keyring is needed.");
    }
    let detail = format!("Encrypted on the source: {}.", full_names(found));
    if input.target.server.rds {
        return check.warn(
            "RDS encrypts storage, not tables",
            detail,
            vec!["-- choose storage encryption for the instance; the copy leaves ENCRYPTION='Y' out".to_owned()],
        );
    }
    let keyring = input.target.plugins.iter().any(|name| name.contains("keyring") || name.contains("key_management"));
    if keyring {
        return check.pass("encrypted tables find a keyring", detail);
    }
    let mend =
        vec!["-- load a keyring component (MariaDB: a key management plugin) on the target before the copy".to_owned()];
    check.fail("encrypted tables find no keyring on the target", detail, mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{column, judged, set, table};
    use super::super::{Finding, Level};
    use super::*;
    use crate::systems::mysql::survey::{Column, Schema};

    fn with(id: &str, table: Table) -> Finding {
        judged(id, "source", |input| input.source.tables = vec![table])
    }

    #[test]
    fn tables_without_a_key_are_refused_when_they_are_large() {
        let bare = Table { primary_key: false, ..table("log") };
        let small = with("primary-keys", bare.clone());
        assert_eq!(small.level, Level::Warn);
        assert!(small.mend[0].starts_with("ALTER TABLE `shop`.`log` ADD COLUMN pk "), "{:?}", small.mend);
        assert_eq!(with("primary-keys", Table { rows: 1_000_000, ..bare.clone() }).level, Level::Fail);
        let required = judged("primary-keys", "source", |input| {
            input.source.tables = vec![bare.clone()];
            set(&mut input.target, "sql_require_primary_key", "ON");
        });
        assert_eq!(required.level, Level::Fail);
        let unique = with("primary-keys", Table { unique_key: Some("code".into()), rows: 1_000_000, ..bare });
        assert!(unique.level == Level::Warn && unique.mend[0].contains("unique key code"));
        assert_eq!(with("primary-keys", table("t")).level, Level::Pass);
    }

    #[test]
    fn other_engines_are_refused() {
        let found = with("engines", Table { engine: "MyISAM".into(), ..table("hits") });
        assert_eq!((found.level, found.mend[0].as_str()), (Level::Fail, "ALTER TABLE `shop`.`hits` ENGINE = InnoDB;"));
        assert_eq!(with("engines", table("t")).level, Level::Pass);
    }

    #[test]
    fn generated_columns_are_told_when_another_version_computes_them() {
        let columns = vec![column("a", ""), column("b", "VIRTUAL GENERATED")];
        let same = with("generated-columns", Table { columns: columns.clone(), ..table("t") });
        assert!(same.level == Level::Pass && same.detail.contains("shop.t (b)"));
        let other = judged("generated-columns", "source", |input| {
            input.source.tables = vec![Table { columns, ..table("t") }];
            input.source.server.version = crate::systems::mysql::Version(80_042);
        });
        assert_eq!(other.level, Level::Warn);
        assert_eq!(with("generated-columns", table("t")).level, Level::Pass);
    }

    #[test]
    fn floats_lose_digits_in_a_dump() {
        let columns = |kind: &str| vec![Column { kind: kind.into(), ..column("price", "") }];
        let of = |kind: &str| with("float-columns", Table { columns: columns(kind), ..table("t") });
        let found = of("float(7,4) unsigned");
        assert!(found.level == Level::Warn && found.detail == "shop.t (price).", "{found:?}");
        assert_eq!([of("double").level, of("int").level], [Level::Pass; 2]);
    }

    #[test]
    fn keys_that_only_one_side_makes_up_are_refused() {
        let makes_up = |primary_key| {
            judged("invisible-columns", "source", move |input| {
                input.source.tables = vec![Table { primary_key, ..table("t") }];
                set(&mut input.target, "sql_generate_invisible_primary_key", "ON");
            })
            .level
        };
        assert_eq!([makes_up(false), makes_up(true)], [Level::Fail, Level::Pass]);
        let made_up = || vec![Table { columns: vec![column("my_row_id", "auto_increment INVISIBLE")], ..table("t") }];
        let unknown = judged("invisible-columns", "source", |input| {
            input.source.tables = made_up();
            input.target.variables.remove("sql_generate_invisible_primary_key");
        });
        assert_eq!(unknown.level, Level::Warn);
        let known = judged("invisible-columns", "source", |input| input.source.tables = made_up());
        assert!(known.level == Level::Pass && known.detail.contains("my_row_id"));
    }

    #[test]
    fn encrypted_tables_need_a_keyring() {
        let with = |plugin: &'static str, rds| {
            judged("encryption", "target", move |input| {
                input.source.tables[0].encrypted = true;
                input.target.plugins.push(plugin.into());
                input.target.server.rds = rds;
            })
            .level
        };
        assert_eq!(
            [with("keyring_file", false), with("x", false), with("x", true)],
            [Level::Pass, Level::Fail, Level::Warn]
        );
        assert_eq!(judged("encryption", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn schemas_that_are_missing_empty_or_left_behind_are_named() {
        assert_eq!(judged("schemas", "source", |_| ()).level, Level::Pass);
        let missing = judged("schemas", "source", |input| input.wanted.schemas = vec!["shopp".into()]);
        assert!(missing.level == Level::Fail && missing.mend[0].contains("shop"), "{missing:?}");
        assert_eq!(judged("schemas", "source", |input| input.source.tables.clear()).level, Level::Fail);
        let left = judged("schemas", "source", |input| {
            input.source.schemas.push(Schema { name: "audit".into(), ..Schema::default() });
            input.wanted.schemas = vec!["shop".into()];
        });
        assert!(left.level == Level::Warn && left.detail.contains("audit"));
    }
}
