//! Values of AWS: accounts, regions, ARNs.

use super::Check;
use crate::runbook::model::{Alb, AwsPlace, Observe, System};

pub(super) fn check(check: &mut Check<'_>) {
    place(check, "/aws", &check.runbook.aws);
    for (name, system) in &check.runbook.systems {
        if let Some(own) = system.aws() {
            place(check, &format!("/systems/{name}/{}/aws", system.kind()), own);
        }
    }
    account_named(check);
}

/// Without an account a run acts wherever the credentials of the day belong to.
fn account_named(check: &mut Check<'_>) {
    let named = |system: &System| system.aws().is_some_and(|own| own.account.is_none());
    let runbook = check.runbook;
    if runbook.aws.account.is_some() {
        return;
    }
    for (name, _) in runbook.systems.iter().filter(|(_, system)| named(system)) {
        let message =
            format!("nothing says which account `{name}` is in: a run would act in that of today's credentials");
        check.warning(
            &format!("/systems/{name}#"),
            "no-account",
            &message,
            "add `aws: { account: \"123456789012\" }` to the runbook",
        );
    }
}

fn place(check: &mut Check<'_>, path: &str, place: &AwsPlace) {
    let digits = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(account) = place.account.as_deref().filter(|text| !text.contains("${") && !digits(text)) {
        let message = format!("`{account}` is not an account of AWS");
        check.error(&format!("{path}/account"), "bad-account", &message, "write its 12 digits in quotes");
    }
    if let Some(url) = place.endpoint_url.as_deref().filter(|text| !text.contains("${"))
        && !url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
    {
        let message = format!("`{url}` is not the URL of a service");
        check.error(&format!("{path}/endpoint-url"), "bad-url", &message, "write `http://host:port`");
    }
}

pub(super) fn alb(check: &mut Check<'_>, path: &str, alb: &Alb) {
    if alb.rules.is_empty() && alb.listeners.is_empty() && !check.is_poisoned_below(path) {
        let message = "nothing says which rules or listeners divide the traffic";
        check.error(&format!("{path}#"), "empty-list", message, "add `rules:` or `listeners:` with their ARNs");
    }
    for (key, list, kind) in [("rules", &alb.rules, "listener-rule/"), ("listeners", &alb.listeners, "listener/")] {
        for (n, text) in list.iter().enumerate() {
            arn(check, &format!("{path}/{key}/{n}"), text, kind);
            if list[..n].contains(text) {
                check.error(&format!("{path}/{key}/{n}"), "named-twice", "it is named twice here", "name it once");
            }
        }
    }
    arn(check, &format!("{path}/from"), &alb.from, "targetgroup/");
    arn(check, &format!("{path}/to"), &alb.to, "targetgroup/");
    if alb.from == alb.to {
        check.error(
            &format!("{path}/to"),
            "same-server",
            "traffic would move from a group to itself",
            "name the new group",
        );
    }
    if let Observe::Http(http) = &alb.observe {
        let readable = http.url.contains("${")
            || url::Url::parse(&http.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !readable {
            check.error(
                &format!("{path}/observe/http/url"),
                "bad-url",
                "this is not the URL of a web page",
                "write `https://host/path`",
            );
        }
        if http.from == http.to || http.from.is_empty() || http.to.is_empty() {
            let message = "answers of both sides would look the same";
            check.error(
                &format!("{path}/observe/http/to"),
                "bad-value",
                message,
                "say what only one side's answers hold",
            );
        }
    }
}

/// An ARN of Elastic Load Balancing whose resource begins like this.
fn arn(check: &mut Check<'_>, path: &str, text: &str, kind: &str) {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let fits =
        matches!(parts.as_slice(), ["arn", _, "elasticloadbalancing", _, _, resource] if resource.starts_with(kind));
    if !text.contains("${") && !fits {
        let message = format!("`{text}` is not the ARN that is wanted here");
        check.error(
            path,
            "bad-arn",
            &message,
            format!("write one such as `arn:aws:elasticloadbalancing:REGION:ACCOUNT:{kind}…`"),
        );
    }
}
