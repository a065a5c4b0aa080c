//! Findings as plain text, failures first.

use std::fmt::Write;

use super::{Finding, Level};

const WIDTH: usize = 100;

/// The findings, grouped by level, and a line that counts them. `verbose` shows why and what was read for those that
/// pass, too.
#[must_use]
pub fn render(findings: &[Finding], verbose: bool) -> String {
    let mut text = String::new();
    for (level, heading) in [(Level::Fail, "FAIL"), (Level::Warn, "WARN"), (Level::Pass, "PASS")] {
        for finding in findings.iter().filter(|finding| finding.level == level) {
            head(&mut text, heading, finding);
            if level != Level::Pass || verbose {
                body(&mut text, finding);
            }
        }
    }
    text.push_str(&counts(findings));
    text.push('\n');
    text
}

/// `2 failures, 1 warning, 60 passed`.
#[must_use]
pub fn counts(findings: &[Finding]) -> String {
    let number = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (failures, warnings) = (number(Level::Fail), number(Level::Warn));
    format!(
        "{failures} failure{}, {warnings} warning{}, {} passed",
        if failures == 1 { "" } else { "s" },
        if warnings == 1 { "" } else { "s" },
        number(Level::Pass)
    )
}

fn head(text: &mut String, heading: &str, finding: &Finding) {
    wrap(text, &format!("{heading}  "), &format!("{}: {} [{}]", finding.system, finding.title, finding.id));
}

fn body(text: &mut String, finding: &Finding) {
    wrap(text, "      ", &finding.detail);
    wrap(text, "      why: ", &finding.why);
    for line in &finding.mend {
        // A statement is copied and pasted: it is not wrapped.
        let _ = writeln!(text, "      fix: {line}");
    }
}

/// Writes words after `label`, and continues below the words.
fn wrap(text: &mut String, label: &str, words: &str) {
    let indent = " ".repeat(label.chars().count());
    let mut line = label.to_owned();
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.clone_from(&indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::finding::Check;
    use super::super::postgres::{judge, testing};
    use super::*;

    #[test]
    fn failures_come_first_with_why_and_fix() {
        let check = Check { id: "wal-level", system: "source", why: "Changes are read from the log." };
        let findings = vec![
            check.pass("fine", "read"),
            check.warn("odd", "word ".repeat(30), vec![]),
            check.fail("bad", "wal_level is replica.", vec!["ALTER SYSTEM SET wal_level = 'logical';".into()]),
        ];
        insta::assert_snapshot!(render(&findings, false), @"
        FAIL  source: bad [wal-level]
              wal_level is replica.
              why: Changes are read from the log.
              fix: ALTER SYSTEM SET wal_level = 'logical';
        WARN  source: odd [wal-level]
              word word word word word word word word word word word word word word word word word word word
              word word word word word word word word word word word
              why: Changes are read from the log.
        PASS  source: fine [wal-level]
        1 failure, 1 warning, 1 passed
        ");
    }

    #[test]
    fn nothing_but_statements_is_wider_than_the_page() {
        let mut input = testing::input();
        input.source.settings.clear();
        let text = render(&judge(&input), true);
        for line in text.lines().filter(|line| !line.starts_with("      fix: ")) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("fix: "));
    }
}
