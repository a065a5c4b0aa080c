//! URLs of a database and who dials them: this program, or the other database's server through libpq. libpq's words
//! about TLS (<https://www.postgresql.org/docs/current/libpq-ssl.html>) are understood in both; files are only named
//! where they lie, ours in `tls`, the other server's in `replication-url`.

use tokio_postgres::Config;
use url::Url;

use crate::runbook::model::{Postgres, Tls, TlsMode};
use crate::secret::{self, Secret};
use crate::systems::{Certainty, DriverError, Result};

/// libpq's parameters that name files of the machine that dials, or are about them.
const FILES: [&str; 6] = ["sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir"];
const FORM: &str = "it is not postgresql://user:password@host:port/database";

/// A URL that this program dials, read: without its words about TLS, which are in the [`Tls`] beside it.
pub fn own(text: &str, tls: &Tls) -> std::result::Result<(Config, Tls), String> {
    let asked = parameters(text);
    if let Some((file, _)) = asked.iter().find(|(key, _)| FILES.contains(&key.as_str())) {
        return Err(format!("`{file}` is not read here: say `tls: {{ mode: verify-full, ca: FILE }}`"));
    }
    let mode = asked.iter().rfind(|(key, _)| key == "sslmode").map(|(_, mode)| named(mode)).transpose()?;
    let config = without(text, |key| key == "sslmode").parse().map_err(|_| FORM.to_owned())?;
    Ok((config, Tls { mode: agreed(tls.mode, mode)?, ca: tls.ca.clone() }))
}

/// How the other server dials a database: libpq's connection string, with the password in it.
pub fn by_other_server(name: &str, spec: &Postgres) -> Result<Secret> {
    let mut url = replication_url(name, spec)?;
    if !url.query_pairs().any(|(key, _)| key == "sslmode") {
        url.query_pairs_mut().append_pair("sslmode", libpq(spec.tls.mode));
    }
    Ok(Secret::new(url.as_str()))
}

/// The same, tried from here: the other server's files are not on this machine, so its certificate is not looked at.
pub fn as_other_server(name: &str, spec: &Postgres) -> Result<Postgres> {
    if spec.replication_url.is_none() {
        return Ok(spec.clone());
    }
    let url = replication_url(name, spec)?;
    let asked = parameters(url.as_str());
    let own_words = asked.iter().any(|(key, _)| key == "sslmode" || FILES.contains(&key.as_str()));
    let mode = asked.iter().rfind(|(key, _)| key == "sslmode").and_then(|(_, mode)| named(mode).ok());
    let mode = match mode {
        Some(TlsMode::VerifyFull) => TlsMode::Require,
        mode => mode.unwrap_or(TlsMode::Prefer),
    };
    let tls = if own_words { Tls { mode, ca: None } } else { spec.tls.clone() };
    let url = without(url.as_str(), |key| key == "sslmode" || FILES.contains(&key));
    Ok(Postgres { url, replication_url: None, tls, ..spec.clone() })
}

fn replication_url(name: &str, spec: &Postgres) -> Result<Url> {
    let failed = |reason: String| DriverError::new(name, "read its replication url", reason, Certainty::NotSent);
    let text = spec.replication_url.as_ref().unwrap_or(&spec.url);
    let unresolved = |error| DriverError::unresolved(name, "resolve its replication url", error);
    let text = secret::resolve(text).map_err(unresolved)?;
    Url::parse(text.expose()).map_err(|_| failed(FORM.to_owned()))
}

/// The parameters behind the question mark; none of a text that is no URL.
fn parameters(text: &str) -> Vec<(String, String)> {
    Url::parse(text).map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

fn without(text: &str, unwanted: impl Fn(&str) -> bool) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    let kept: Vec<(String, String)> = parameters(text).into_iter().filter(|(key, _)| !unwanted(key)).collect();
    if url.query_pairs().count() == kept.len() {
        return text.to_owned();
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url.into()
}

fn named(mode: &str) -> std::result::Result<TlsMode, String> {
    match mode {
        "disable" => Ok(TlsMode::Disable),
        "allow" | "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" | "verify-full" => Ok(TlsMode::VerifyFull),
        other => Err(format!("sslmode={other} is unknown: disable, prefer, require or verify-full")),
    }
}

const fn libpq(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "disable",
        TlsMode::Prefer => "prefer",
        TlsMode::Require => "require",
        TlsMode::VerifyFull => "verify-full",
    }
}

/// `prefer` is what stands there when nothing was said; anything else must be said once, or twice the same.
fn agreed(tls: TlsMode, url: Option<TlsMode>) -> std::result::Result<TlsMode, String> {
    match url {
        None => Ok(tls),
        Some(mode) if tls == TlsMode::Prefer || tls == mode => Ok(mode),
        Some(mode) => Err(format!("its url says sslmode={}, `tls` says {}: say it once", libpq(mode), libpq(tls))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(mode: TlsMode) -> Tls {
        Tls { mode, ca: None }
    }

    fn spec(replication_url: Option<&str>) -> Postgres {
        let url =
            serde_json::json!({ "url": "postgres://u:p@one/d?sslmode=require", "replication-url": replication_url });
        serde_json::from_value(url).unwrap()
    }

    #[test]
    fn what_the_url_says_of_tls_counts() {
        let (config, found) =
            own("postgres://u:p@h/d?sslmode=verify-full&connect_timeout=3", &tls(TlsMode::Prefer)).unwrap();
        assert_eq!((found.mode, config.get_dbname()), (TlsMode::VerifyFull, Some("d")));
        assert_eq!(own("postgres://u:p@h/d?sslmode=disable", &tls(TlsMode::Prefer)).unwrap().1.mode, TlsMode::Disable);
        assert_eq!(own("host=h user=u", &tls(TlsMode::Require)).unwrap().1.mode, TlsMode::Require);
    }

    #[test]
    fn contradictions_and_files_are_refused_with_what_to_say() {
        let weaker = own("postgres://u:p@h/d?sslmode=disable", &tls(TlsMode::VerifyFull)).unwrap_err();
        assert!(weaker.contains("say it once"), "{weaker}");
        let file = own("postgres://u:p@h/d?sslrootcert=/x.pem", &tls(TlsMode::Prefer)).unwrap_err();
        assert!(file.contains("`tls: { mode: verify-full, ca: FILE }`"), "{file}");
        assert!(own("postgres://u:p@h/d?sslmode=yes", &tls(TlsMode::Prefer)).unwrap_err().contains("sslmode=yes"));
    }

    #[test]
    fn the_other_server_is_told_its_own_files_and_we_do_without_them() {
        let theirs = "postgres://r:p%7B@two/d?sslmode=verify-full&sslrootcert=/rds/ca.pem&application_name=a";
        let told = by_other_server("source", &spec(Some(theirs))).unwrap();
        assert_eq!(told.expose(), theirs);
        let tried = as_other_server("source", &spec(Some(theirs))).unwrap();
        assert_eq!(
            (tried.url.as_str(), tried.tls.mode),
            ("postgres://r:p%7B@two/d?application_name=a", TlsMode::Require)
        );
        assert_eq!(as_other_server("source", &spec(None)).unwrap(), spec(None));
    }
}
