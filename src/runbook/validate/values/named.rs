//! Databases that name an `rds` system instead of a URL.

use super::{has_reference, literal_password};
use crate::runbook::model::Naming;
use crate::runbook::validate::Check;

/// The system is there, nothing is said twice, and who we are there is said.
pub(super) fn check(check: &mut Check<'_>, path: &str, url: &str, naming: &Naming<'_>, needs_database: bool) {
    check.system(&format!("{path}/rds"), naming.rds, "rds");
    if !url.is_empty() {
        let message = "where the database is stands here twice: in `url` and in `rds`";
        check.error(&format!("{path}/url#"), "url-and-rds", message, "remove one of the two");
    }
    if needs_database && naming.database.is_none() && !check.is_poisoned_below(path) {
        let message = "nothing says which database of the server it is";
        check.error(&format!("{path}/rds#"), "no-database", message, "add `database: NAME`");
    }
    match (naming.secret, naming.user, naming.password) {
        (Some(text), None, None) => secret(check, &format!("{path}/secret"), text),
        (None, Some(_), Some(password)) => {
            if !password.is_empty() && !has_reference(password) {
                literal_password(check, &format!("{path}/password"));
            }
        }
        _ if check.is_poisoned_below(path) => {}
        (Some(_), ..) => {
            let message = "who we are there stands here twice: in `secret`, and in `user` and `password`";
            check.error(&format!("{path}/secret#"), "secret-and-user", message, "remove one of the two");
        }
        (None, ..) => {
            let message = "nothing says as whom the database is dialled";
            let remedy = "add `secret: \"${aws-secret:NAME}\"`, or `user` and `password`";
            check.error(&format!("{path}/rds#"), "no-user", message, remedy);
        }
    }
}

/// One secret as a whole: its keys are named by us.
fn secret(check: &mut Check<'_>, path: &str, text: &str) {
    let inner = text.strip_prefix("${aws-secret:").and_then(|rest| rest.strip_suffix('}'));
    if inner.is_none_or(|name| name.contains(['#', '}', '$'])) {
        let message = "this is not the reference of a secret with the keys `username` and `password`";
        check.error(
            path,
            "bad-secret",
            message,
            "write `\"${aws-secret:NAME}\"`, without a key; or `user` and `password`",
        );
    }
}

/// Whether nothing says where the database is.
pub(super) fn nothing(check: &mut Check<'_>, path: &str, url: &str) -> bool {
    if url.is_empty() && !check.is_poisoned_below(path) {
        let message = "nothing says where the database is";
        check.error(&format!("{path}#"), "no-url", message, "add `url`, or `rds` with the name of an `rds` system");
    }
    url.is_empty()
}

/// What belongs to `rds` stands beside it.
pub(super) fn alone(check: &mut Check<'_>, path: &str, named: bool, given: [&Option<String>; 4]) {
    let known = named || check.is_poisoned_below(path);
    for (key, _) in ["secret", "user", "password", "database"].iter().zip(given).filter(|(_, text)| text.is_some()) {
        if !known {
            let message = format!("`{key}` belongs to a database that names an `rds` system");
            check.error(
                &format!("{path}/{key}#"),
                "without-rds",
                &message,
                "write it into `url`, or name an `rds` system",
            );
        }
    }
}
