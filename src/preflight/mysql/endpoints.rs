//! Endpoints: whether they lead to the source, and who goes round them.

use std::collections::BTreeSet;

use super::finding::{Check, Finding, names};
use super::{EndpointFacts, PreflightInput};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings: Vec<Finding> = input.endpoints.iter().map(|endpoint| route(endpoint, input)).collect();
    findings.push(around(input));
    findings
}

fn route(endpoint: &EndpointFacts, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "endpoint-route",
        system: &endpoint.name,
        why: "An endpoint that leads elsewhere is switched for nothing, while the application writes on past it.",
    };
    let Some(dialled) = &endpoint.dialled else {
        let mend = vec![format!("-- give {} a `probe`: the URL that an application dials", endpoint.name)];
        return check.warn(
            "it is not proved that the endpoint leads to the source",
            "The runbook has no `probe` for it.",
            mend,
        );
    };
    if let Some(failure) = &endpoint.failure {
        let mend = vec![format!("-- correct `probe` of {}, or the endpoint", endpoint.name)];
        return check.fail("nobody answers behind the endpoint", format!("{dialled}: {failure}."), mend);
    }
    let is = |side: &crate::systems::mysql::survey::Survey| match (&endpoint.uuid, &side.server.uuid) {
        (Some(there), Some(here)) => there == here,
        _ => endpoint.server_id == side.number("server_id"),
    };
    if is(&input.source) {
        return check.pass("the endpoint leads to the source", format!("{dialled} answers as the source."));
    }
    let mend =
        vec![format!("-- point {} at {}, or correct the runbook", endpoint.name, input.source.dialled.endpoint())];
    if is(&input.target) {
        return check.fail(
            "the endpoint leads to the target already",
            format!("{dialled} answers as the target."),
            mend,
        );
    }
    check.fail("the endpoint leads to another server", format!("{dialled} answers as neither side."), mend)
}

fn around(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "around-endpoint",
        system: &side.system,
        why: "Whoever connects to the source directly meets the fence, is ended, and does not follow to the target.",
    };
    let Some(sessions) = &side.activity.sessions else {
        let mend = vec![format!("GRANT PROCESS ON *.* TO {};", super::mend::ours(side))];
        return check.warn("sessions can't be seen", "Our account sees its own only.", mend);
    };
    let through: BTreeSet<&str> = input.endpoints.iter().filter_map(|endpoint| endpoint.seen_from.as_deref()).collect();
    let exempt = &input.wanted.exempt_accounts;
    let direct: Vec<String> = sessions
        .iter()
        .filter(|group| !through.contains(group.host.as_str()) && !exempt.contains(&group.user))
        .map(|group| format!("{} × {} from {}", group.ids.len(), group.user, group.host))
        .collect();
    let through = if through.is_empty() { "no known endpoint".to_owned() } else { names(&through) };
    if direct.is_empty() {
        return check.pass("nobody goes round the endpoints", format!("Connections come from: {through}."));
    }
    let mend = vec!["-- let them connect through the endpoint, or move their address after the switch".to_owned()];
    check.warn(
        "some connect to the source directly",
        format!("{}; endpoints are seen from: {through}.", names(&direct)),
        mend,
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{input, judged, session};
    use super::super::{Finding, Level};
    use super::*;

    fn endpoint() -> EndpointFacts {
        EndpointFacts {
            name: "proxy".into(),
            dialled: Some("proxy.example:3306".into()),
            uuid: input().source.server.uuid,
            server_id: Some(1),
            seen_from: Some("10.0.0.5".into()),
            failure: None,
        }
    }

    fn with(endpoint: EndpointFacts) -> Finding {
        judged("endpoint-route", "proxy", |input| input.endpoints = vec![endpoint])
    }

    #[test]
    fn the_server_behind_the_endpoint_proves_where_it_leads() {
        assert_eq!(with(endpoint()).level, Level::Pass);
        let target = with(EndpointFacts { uuid: input().target.server.uuid, ..endpoint() });
        assert_eq!((target.level, target.title.as_str()), (Level::Fail, "the endpoint leads to the target already"));
        assert_eq!(with(EndpointFacts { uuid: Some("x".into()), ..endpoint() }).level, Level::Fail);
        assert_eq!(with(EndpointFacts { uuid: None, ..endpoint() }).level, Level::Pass);
        assert_eq!(with(EndpointFacts { failure: Some("refused".into()), ..endpoint() }).level, Level::Fail);
        assert_eq!(with(EndpointFacts { dialled: None, ..endpoint() }).level, Level::Warn);
    }

    #[test]
    fn who_goes_round_the_endpoint_is_named() {
        let with = |host: &'static str, exempt: &'static str| {
            judged("around-endpoint", "source", move |input| {
                input.endpoints = vec![endpoint()];
                input.wanted.exempt_accounts = vec![exempt.into()];
                input.source.activity.sessions = Some(vec![session("app", host)]);
            })
        };
        assert_eq!([with("10.0.0.5", "").level, with("10.0.0.9", "app").level], [Level::Pass, Level::Pass]);
        let direct = with("10.0.0.9", "");
        assert!(direct.level == Level::Warn && direct.detail.starts_with("1 × app from 10.0.0.9;"), "{direct:?}");
        assert_eq!(
            judged("around-endpoint", "source", |input| input.source.activity.sessions = None).level,
            Level::Warn
        );
    }
}
