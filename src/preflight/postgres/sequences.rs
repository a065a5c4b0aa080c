//! Sequences: not replicated, carried over inside the window.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::Sequence;

/// A sequence with less than this share of its values left is near its end.
const LEFT_PERCENT: i128 = 10;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![carried(input), near_end(input), cycling(input)]
}

fn all(input: &PreflightInput) -> impl Iterator<Item = &Sequence> {
    input.source.sequences.iter().filter(|sequence| input.carries(&sequence.schema))
}

fn shown(sequence: &Sequence) -> String {
    format!("{}.{}", sequence.schema, sequence.name)
}

fn carried(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "sequences",
        system: &input.source.system,
        why: "A sequence that stays behind hands out values that are taken already: duplicate keys after the switch.",
    };
    let number = all(input).count();
    let free = all(input).filter(|sequence| sequence.owned_by.is_none()).count();
    let cached = all(input).filter(|sequence| sequence.cache > 1).count();
    let detail =
        format!("Owned by no column: {free}; cached by sessions: {cached}. Step `sequences` carries all of them.");
    check.pass(count(number, "sequence", "sequences"), detail)
}

fn near_end(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "sequence-near-limit",
        system: &input.source.system,
        why: "A sequence at its end refuses the next insert, and nobody wants to look for that during a cutover.",
    };
    let near: Vec<&Sequence> =
        all(input).filter(|sequence| !sequence.cycle && left_percent(sequence) < LEFT_PERCENT).collect();
    if near.is_empty() {
        return check
            .pass("no sequence is near its end", format!("At least {LEFT_PERCENT}% of the values of each are left."));
    }
    let named = near.iter().map(|sequence| {
        format!(
            "{} ({}, {} of {})",
            shown(sequence),
            sequence.kind,
            sequence.last_value.unwrap_or_default(),
            end(sequence)
        )
    });
    let mend = near.iter().flat_map(|sequence| widen(sequence)).collect();
    check.warn(
        count(near.len(), "sequence is near its end", "sequences are near their ends"),
        format!("{}.", names(named)),
        mend,
    )
}

/// Share of the values that is left.
fn left_percent(sequence: &Sequence) -> i128 {
    let Some(last) = sequence.last_value else { return 100 };
    let (low, high) = (i128::from(sequence.min_value), i128::from(sequence.max_value));
    let left = if sequence.increment > 0 { high - i128::from(last) } else { i128::from(last) - low };
    left * 100 / (high - low).max(1)
}

const fn end(sequence: &Sequence) -> i64 {
    if sequence.increment > 0 { sequence.max_value } else { sequence.min_value }
}

fn widen(sequence: &Sequence) -> Vec<String> {
    let mut mend =
        vec![format!("ALTER SEQUENCE {}.{} AS bigint NO MAXVALUE;", ident(&sequence.schema), ident(&sequence.name))];
    if let Some(column) = &sequence.owned_by {
        mend.push(format!("-- and widen {column} to bigint if it is narrower (this rewrites the table)"));
    }
    mend
}

fn cycling(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "sequence-cycle",
        system: &input.source.system,
        why: "A sequence that begins again can't be told to be ahead or behind by its value alone, so \"only ever \
              forward\" does not hold for it.",
    };
    let found: Vec<String> = all(input).filter(|sequence| sequence.cycle).map(shown).collect();
    if found.is_empty() {
        return check.pass("no sequence begins again at its end", "None has CYCLE.");
    }
    let mend =
        found.iter().map(|name| format!("-- look at {name} after the switch: SELECT last_value, is_called")).collect();
    check.warn(
        count(found.len(), "sequence begins again at its end", "sequences begin again at their ends"),
        format!("CYCLE: {}.", names(&found)),
        mend,
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judged, sequence};
    use super::super::{Finding, Level};
    use super::*;

    fn with(id: &str, sequence: Sequence) -> Finding {
        judged(id, "source", |input| input.source.sequences = vec![sequence])
    }

    #[test]
    fn sequences_near_their_end_are_named_both_ways() {
        let narrow = Sequence {
            max_value: 1_000,
            last_value: Some(950),
            kind: "integer".into(),
            owned_by: Some("public.t.id".into()),
            ..sequence("s")
        };
        let found = with("sequence-near-limit", narrow.clone());
        assert_eq!(found.level, Level::Warn);
        assert!(found.detail.contains("public.s (integer, 950 of 1000)"));
        assert!(
            found.mend[0].starts_with(r#"ALTER SEQUENCE "public"."s" AS bigint"#)
                && found.mend[1].contains("public.t.id")
        );
        let down = Sequence { increment: -1, min_value: -100, max_value: -1, last_value: Some(-95), ..sequence("s") };
        assert_eq!(with("sequence-near-limit", down).level, Level::Warn);
        assert_eq!(
            with("sequence-near-limit", Sequence { last_value: Some(900), ..narrow.clone() }).level,
            Level::Pass
        );
        assert_eq!(with("sequence-near-limit", Sequence { last_value: None, ..narrow.clone() }).level, Level::Pass);
        assert_eq!(with("sequence-near-limit", Sequence { cycle: true, ..narrow }).level, Level::Pass);
        let whole = Sequence { min_value: i64::MIN, max_value: i64::MAX, last_value: Some(i64::MIN), ..sequence("s") };
        assert_eq!(with("sequence-near-limit", whole).level, Level::Pass);
    }

    #[test]
    fn cycles_warn_and_all_are_counted() {
        assert_eq!(with("sequence-cycle", Sequence { cycle: true, ..sequence("s") }).level, Level::Warn);
        assert_eq!(with("sequence-cycle", sequence("s")).level, Level::Pass);
        let found = with("sequences", Sequence { cache: 20, ..sequence("s") });
        assert_eq!(found.title, "1 sequence");
        assert!(found.detail.starts_with("Owned by no column: 1; cached by sessions: 1."));
    }
}
