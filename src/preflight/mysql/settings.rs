//! Variables that must be alike, or large enough, on the side that takes the writes.

use super::PreflightInput;
use super::finding::{Check, Finding, bytes, names};
use super::mend::change;
use crate::systems::mysql::survey::Survey;

/// Variables that change what a statement means or does.
const MEANING: &[&str] = &[
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "default_week_format",
    "div_precision_increment",
    "eq_range_index_dive_limit",
    "explicit_defaults_for_timestamp",
    "foreign_key_checks",
    "ft_min_word_len",
    "group_concat_max_len",
    "init_connect",
    "innodb_autoinc_lock_mode",
    "innodb_ft_min_token_size",
    "innodb_lock_wait_timeout",
    "innodb_rollback_on_timeout",
    "innodb_strict_mode",
    "interactive_timeout",
    "lc_time_names",
    "local_infile",
    "lock_wait_timeout",
    "max_execution_time",
    "max_sort_length",
    "max_statement_time",
    "old_mode",
    "sql_require_primary_key",
    "sql_safe_updates",
    "transaction_isolation",
    "tx_isolation",
    "unique_checks",
    "wait_timeout",
];

/// Variables that decide how fast a server is.
const TUNING: &[&str] = &[
    "innodb_buffer_pool_size",
    "innodb_flush_method",
    "innodb_io_capacity",
    "innodb_log_file_size",
    "innodb_page_size",
    "innodb_redo_log_capacity",
    "join_buffer_size",
    "max_heap_table_size",
    "sort_buffer_size",
    "table_definition_cache",
    "table_open_cache",
    "thread_cache_size",
    "tmp_table_size",
];

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![
        sql_mode(input),
        meaning(input),
        tuning(input),
        packet(input),
        connections(input),
        counting(input),
        scheduler(input),
    ];
    findings.extend(input.sides().map(|side| read_only(side, input)));
    findings
}

fn modes(side: &Survey) -> Vec<String> {
    let text = side.variable("sql_mode").unwrap_or_default();
    let mut all: Vec<String> = text.split(',').filter(|mode| !mode.is_empty()).map(str::to_owned).collect();
    all.sort_unstable();
    all
}

fn sql_mode(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "sql-mode",
        system: &side.system,
        why: "It decides whether a bad value is refused or bent, whether GROUP BY must be complete, what quotes mean: the \
              application was written for the source's.",
    };
    let (source, target) = (modes(&input.source), modes(side));
    if source == target {
        return check.pass("both sides have the same sql_mode", format!("{}.", names(&source)));
    }
    let only = |one: &[String], other: &[String]| names(one.iter().filter(|mode| !other.contains(mode)));
    let detail =
        format!("Only on the source: {}; only on the target: {}.", only(&source, &target), only(&target, &source));
    check.warn("the sides have different sql_mode", detail, change(side, "sql_mode", &source.join(",")))
}

fn differing(input: &PreflightInput, all: &'static [&'static str]) -> Vec<(&'static str, String, String)> {
    let of = |name: &'static str| {
        let (source, target) = (input.source.variable(name)?, input.target.variable(name)?);
        (source != target).then(|| (name, source.to_owned(), target.to_owned()))
    };
    all.iter().filter_map(|name| of(name)).collect()
}

fn meaning(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "settings-meaning",
        system: &input.target.system,
        why: "With other values the same statements do something else after the switch.",
    };
    let found = differing(input, MEANING);
    if found.is_empty() {
        return check.pass("variables that change what statements do are the same", "Global values were compared.");
    }
    let mend = found.iter().flat_map(|(name, source, _)| change(&input.target, name, source)).collect();
    check.warn("variables that change what statements do differ", shown(&found), mend)
}

fn tuning(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "settings-tuning",
        system: &input.target.system,
        why: "A target with less memory or other caches answers more slowly from the first second on.",
    };
    let found = differing(input, TUNING);
    if found.is_empty() {
        return check.pass("variables that decide speed are the same", "Global values were compared.");
    }
    check.warn(
        "variables that decide speed differ",
        shown(&found),
        vec!["-- compare with the memory and disks of both hosts".to_owned()],
    )
}

fn shown(found: &[(&str, String, String)]) -> String {
    let one =
        |(name, source, target): &(&str, String, String)| format!("{name} ({} → {})", empty(source), empty(target));
    format!("{}.", names(found.iter().map(one)))
}

fn empty(value: &str) -> &str {
    if value.is_empty() { "empty" } else { value }
}

fn packet(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "max-allowed-packet",
        system: &side.system,
        why: "A row that is larger than this is refused: by the copy, by the applier, and from the application after the \
              switch.",
    };
    let (Some(had), Some(has)) = (input.source.number("max_allowed_packet"), side.number("max_allowed_packet")) else {
        return check.warn("max_allowed_packet can't be read", "It is not known whether every row fits.", Vec::new());
    };
    let replica =
        |side: &Survey| side.number("replica_max_allowed_packet").or_else(|| side.number("slave_max_allowed_packet"));
    let read = format!("max_allowed_packet is {} on the source and {} on the target.", bytes(had), bytes(has));
    if has < had {
        return check.fail(
            "the target takes smaller packets",
            read,
            change(side, "max_allowed_packet", &had.to_string()),
        );
    }
    if let Some(applied) = replica(side)
        && applied < had
    {
        let name = if side.variable("replica_max_allowed_packet").is_some() {
            "replica_max_allowed_packet"
        } else {
            "slave_max_allowed_packet"
        };
        let detail = format!("{read} The applier's own limit is {}.", bytes(applied));
        return check.fail("the applier takes smaller packets", detail, change(side, name, &had.to_string()));
    }
    check.pass("every row that the source takes fits", read)
}

fn connections(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "max-connections",
        system: &side.system,
        why: "After the switch every client connects at once, and those beyond the limit are refused.",
    };
    let (Some(had), Some(has)) = (input.source.number("max_connections"), side.number("max_connections")) else {
        return check.warn(
            "max_connections can't be read",
            "It is not known whether the target takes all clients.",
            Vec::new(),
        );
    };
    let read = format!("max_connections is {had} on the source and {has} on the target.");
    if has < had {
        return check.warn(
            "the target takes fewer connections",
            read,
            change(side, "max_connections", &had.to_string()),
        );
    }
    check.pass("the target takes as many connections", read)
}

fn counting(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "auto-increment",
        system: &side.system,
        why: "Numbers that count up by themselves go in other steps after the switch, or on the way back meet numbers that \
              are taken.",
    };
    let found = differing(input, &["auto_increment_increment", "auto_increment_offset"]);
    if found.is_empty() {
        return check
            .pass("both sides count alike", "auto_increment_increment and auto_increment_offset are the same.");
    }
    let mend = found.iter().flat_map(|(name, source, _)| change(side, name, source)).collect();
    check.warn("the sides count differently", shown(&found), mend)
}

fn scheduler(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "event-scheduler",
        system: &side.system,
        why: "An event is switched on where writes go, and runs there only if that server's scheduler does.",
    };
    let of = |side: &Survey| side.variable("event_scheduler").unwrap_or("unknown").to_owned();
    let read = format!("event_scheduler is {} on the source and {} on the target.", of(&input.source), of(side));
    let event = crate::systems::mysql::survey::ProgramKind::Event;
    let wanted = input.source.is_on("event_scheduler") && input.source.programs.iter().any(|one| one.kind == event);
    if !wanted || side.is_on("event_scheduler") {
        return check.pass("events that run on the source can run on the target", read);
    }
    check.warn("events would not run after the switch", read, change(side, "event_scheduler", "ON"))
}

fn read_only(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "read-only",
        system: &side.system,
        why: "Only the side that takes the writes may be open, and a restart must not open the other: what is set at run \
              time only is forgotten by it.",
    };
    let is_source = side.system == input.source.system;
    let now = ["super_read_only", "read_only"].into_iter().find(|name| shut(side.variable(name)));
    let kept =
        ["super_read_only", "read_only"].into_iter().find(|name| shut(side.persisted.get(*name).map(String::as_str)));
    if is_source {
        return match (now, kept) {
            (Some(name), _) => check.fail(
                "the source is read-only",
                format!("{name} is ON: perhaps another cutover's fence."),
                change(side, name, "OFF"),
            ),
            (None, Some(name)) => {
                let mend = vec![format!("RESET PERSIST {name};")];
                check.warn("a restart makes the source read-only", format!("{name} is persisted as ON."), mend)
            }
            (None, None) => check.pass("the source takes writes", "read_only is OFF."),
        };
    }
    match now {
        Some(name) => check.pass("the target is shut already", format!("{name} is ON; `promote` opens it.")),
        None => check.pass(
            "the target is shut by `replicate`",
            "read_only is OFF until then: nobody but us should write to it.",
        ),
    }
}

/// `read_only` of MariaDB 12 knows more words than ON.
fn shut(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "0" | ""))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judged, set};
    use super::super::{Finding, Level};
    use crate::systems::mysql::survey::{Program, ProgramKind};

    fn target(id: &str, name: &'static str, value: &'static str) -> Finding {
        judged(id, "target", move |input| set(&mut input.target, name, value))
    }

    #[test]
    fn variables_that_differ_are_told_with_both_values() {
        let mode = target("sql-mode", "sql_mode", "ANSI_QUOTES");
        assert_eq!(mode.level, Level::Warn);
        assert_eq!(mode.mend, ["SET PERSIST sql_mode = 'NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES';"]);
        let order = target("sql-mode", "sql_mode", "NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES");
        assert_eq!(order.level, Level::Pass, "the order says nothing");
        let meaning = target("settings-meaning", "group_concat_max_len", "4096");
        assert!(
            meaning.level == Level::Warn && meaning.detail.contains("group_concat_max_len (1024 → 4096)"),
            "{meaning:?}"
        );
        let tuning = target("settings-tuning", "innodb_buffer_pool_size", "1");
        assert_eq!(tuning.level, Level::Warn);
        let counting = target("auto-increment", "auto_increment_increment", "2");
        assert_eq!(
            (counting.level, counting.mend[0].as_str()),
            (Level::Warn, "SET PERSIST auto_increment_increment = 1;")
        );
        for id in ["sql-mode", "settings-meaning", "settings-tuning", "auto-increment"] {
            assert_eq!(judged(id, "target", |_| ()).level, Level::Pass, "{id}");
        }
    }

    #[test]
    fn limits_must_not_be_smaller() {
        let id = "max-allowed-packet";
        assert_eq!(
            [target(id, id.replace('-', "_").leak(), "1024").level, judged(id, "target", |_| ()).level],
            [Level::Fail, Level::Pass]
        );
        assert_eq!(target(id, "replica_max_allowed_packet", "1024").level, Level::Fail);
        assert_eq!(target("max-connections", "max_connections", "10").level, Level::Warn);
        assert_eq!(judged("max-connections", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn events_of_the_source_need_a_scheduler_on_the_target() {
        let with = |source: &'static str, target: &'static str, events| {
            judged("event-scheduler", "target", move |input| {
                if events {
                    input.source.programs = vec![Program { kind: ProgramKind::Event, ..Program::default() }];
                }
                set(&mut input.source, "event_scheduler", source);
                set(&mut input.target, "event_scheduler", target);
            })
            .level
        };
        assert_eq!([with("ON", "OFF", true), with("ON", "ON", true)], [Level::Warn, Level::Pass]);
        assert_eq!([with("ON", "OFF", false), with("OFF", "OFF", true)], [Level::Pass, Level::Pass]);
    }

    #[test]
    fn the_source_must_be_open_and_stay_so() {
        let source = |persisted, value: &'static str| {
            judged("read-only", "source", move |input| {
                if persisted {
                    input.source.persisted.insert("read_only".into(), value.into());
                } else {
                    set(&mut input.source, "super_read_only", value);
                }
            })
        };
        assert_eq!(source(false, "ON").mend, ["SET PERSIST super_read_only = OFF;"]);
        assert_eq!(
            [source(false, "ON").level, source(true, "ON").level, source(true, "OFF").level],
            [Level::Fail, Level::Warn, Level::Pass]
        );
        assert_eq!(target("read-only", "read_only", "ON").level, Level::Pass);
    }
}
