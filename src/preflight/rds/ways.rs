//! How the way to the server is protected.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use super::{Check, Facts};
use crate::runbook::model::TlsMode;

/// A certificate that ends sooner after today is told.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![tls(facts), force_ssl(facts), certificate(facts), public(facts)]
}

/// The parameter with which a server refuses connections without TLS.
fn forcing(facts: &Facts) -> &'static str {
    if facts.is_postgres() { "rds.force_ssl" } else { "require_secure_transport" }
}

fn forces(facts: &Facts) -> Option<bool> {
    let value = facts.parameter(forcing(facts))?;
    Some(value == "1" || value.eq_ignore_ascii_case("on"))
}

fn tls(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-tls",
        system: &facts.system,
        why: "Without a look at the certificate, somebody in between can pretend to be the database.",
    };
    let Some((database, _)) = &facts.part.database else { return check.pass("no database names it", "") };
    let mend = vec![format!(
        "-- {database}: tls: {{ mode: verify-full, ca: global-bundle.pem }}, the bundle that Amazon publishes"
    )];
    match facts.part.tls.mode {
        TlsMode::VerifyFull => check.pass("its certificate is looked at", format!("{database} has verify-full.")),
        TlsMode::Disable if forces(facts) == Some(true) => {
            let detail = format!("{database} is dialled without TLS, and {} is on.", forcing(facts));
            check.fail("it refuses connections without TLS", detail, mend)
        }
        mode => {
            let mode = format!("{mode:?}").to_lowercase();
            check.warn("its certificate is not looked at", format!("{database} has the mode {mode}."), mend)
        }
    }
}

fn force_ssl(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-force-ssl",
        system: &facts.system,
        why: "An application that forgot TLS would send its data and its password in the clear.",
    };
    match forces(facts) {
        Some(true) => check.pass("it takes connections with TLS only", format!("{} is on.", forcing(facts))),
        Some(false) => {
            let mend =
                vec![format!("-- set {} = 1 in its parameter group, when every application has TLS", forcing(facts))];
            check.warn("it takes connections without TLS", format!("{} is off.", forcing(facts)), mend)
        }
        None => check.pass("whether it wants TLS is not in its parameter group", "the engine's own default counts."),
    }
}

fn certificate(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-certificate",
        system: &facts.system,
        why: "When its certificate ends, everybody who looks at it is cut off, and the server may have to restart.",
    };
    let instance = facts.instance.as_ref();
    let until = instance.and_then(|instance| instance.certificate_until.as_ref()?.parse::<Timestamp>().ok());
    let authority = instance.and_then(|instance| instance.authority.as_deref()).unwrap_or("unknown");
    let Some(until) = until else {
        return check.pass("the end of its certificate is not told", format!("{authority}."));
    };
    let left = until.duration_since(facts.part.now);
    let detail = format!("{authority}, until {until}.");
    let identifier = instance.map_or("", |instance| &instance.server.identifier);
    let mend = vec![format!(
        "aws rds modify-db-instance --db-instance-identifier {identifier} --ca-certificate-identifier rds-ca-rsa2048-g1 --apply-immediately"
    )];
    match left {
        left if left.is_negative() => check.fail("its certificate has ended", detail, mend),
        left if left < SOON => check.warn("its certificate ends soon", detail, mend),
        _ => check.pass("its certificate lasts", detail),
    }
}

fn public(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-public",
        system: &facts.system,
        why: "A database with a public address can be tried by everybody in the world.",
    };
    let Some(instance) = facts.instance.as_ref().filter(|instance| instance.public) else {
        return check.pass("it has no public address", "");
    };
    let identifier = &instance.server.identifier;
    let mend = vec![format!(
        "aws rds modify-db-instance --db-instance-identifier {identifier} --no-publicly-accessible --apply-immediately  \
         -- when nobody dials it from outside"
    )];
    check.warn("it has a public address", format!("{identifier} is publicly accessible."), mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use crate::preflight::Level;
    use crate::runbook::model::TlsMode;

    #[test]
    fn a_certificate_should_be_looked_at() {
        let of = |mode, forced: &'static str| {
            judged("rds-tls", move |facts| {
                facts.part.tls.mode = mode;
                facts.parameters.as_mut().unwrap().insert("rds.force_ssl".into(), forced.into());
            })
            .level
        };
        assert_eq!((of(TlsMode::Prefer, "1"), of(TlsMode::Require, "1")), (Level::Warn, Level::Warn));
        assert_eq!((of(TlsMode::Disable, "0"), of(TlsMode::Disable, "1")), (Level::Warn, Level::Fail));
        let forced = judged("rds-force-ssl", |facts| {
            facts.parameters.as_mut().unwrap().insert("rds.force_ssl".into(), "0".into());
        });
        assert_eq!(forced.level, Level::Warn);
    }

    #[test]
    fn certificates_end() {
        let of = |until: &'static str| {
            judged("rds-certificate", move |facts| facts.instance().certificate_until = Some(until.into())).level
        };
        assert_eq!((of("2026-11-24T00:00:00Z"), of("2026-12-10T00:00:00Z")), (Level::Fail, Level::Warn));
    }

    #[test]
    fn a_public_address_is_told() {
        assert_eq!(judged("rds-public", |facts| facts.instance().public = true).level, Level::Warn);
    }
}
