//! URLs of a database, and who dials it: this program, or the other database's server.

use mysql_async::{OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::runbook::model::{Mysql, Tls, TlsMode};
use crate::secret::{self, Secret};
use crate::systems::{Certainty, DriverError, Result};

const FORM: &str = "it is not mysql://user:password@host:port/database";
/// Port of both flavours.
pub const PORT: u16 = 3306;

/// Where a database is and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Our user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The schema that statements of the author's mean when they name none.
    pub schema: Option<String>,
}

impl Target {
    /// Reads a URL that was resolved already.
    pub fn read(text: &str) -> std::result::Result<Self, String> {
        let url = Url::parse(text).map_err(|_| FORM.to_owned())?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(FORM.to_owned());
        }
        if let Some((key, _)) = url.query_pairs().next() {
            return Err(format!("`{key}` is not read here: say how it is protected under `tls`"));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?;
        let schema = decoded(url.path().trim_matches('/'));
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(PORT),
            user: decoded(url.username()),
            password: Secret::new(decoded(url.password().unwrap_or_default())),
            schema: (!schema.is_empty()).then_some(schema),
        })
    }

    /// What the driver needs; `encrypted` says whether TLS is asked for.
    pub fn options(&self, tls: &Tls, encrypted: bool) -> std::result::Result<OptsBuilder, String> {
        let ssl = if encrypted { Some(protection(tls)?) } else { None };
        Ok(OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(Some(self.password.expose().to_owned()))
            .db_name(self.schema.clone())
            .prefer_socket(false)
            .stmt_cache_size(0)
            .tcp_keepalive(Some(std::time::Duration::from_secs(5)))
            .ssl_opts(ssl))
    }
}

fn protection(tls: &Tls) -> std::result::Result<SslOpts, String> {
    let options = SslOpts::default();
    if tls.mode != TlsMode::VerifyFull {
        return Ok(options.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true));
    }
    let options = options.with_disable_built_in_roots(true);
    if let Some(path) = &tls.ca {
        // The driver would only say that a file is missing, not which.
        std::fs::metadata(path).map_err(|error| format!("the CA file {path} can't be read: {error}"))?;
        return Ok(options.with_root_certs(vec![std::path::PathBuf::from(path).into()]));
    }
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err("this machine's trust store holds no certificate".to_owned());
    }
    Ok(options.with_root_certs(found.into_iter().map(|certificate| certificate.to_vec().into()).collect()))
}

/// How this program dials a database.
pub fn own(name: &str, spec: &Mysql) -> Result<Target> {
    read(name, "read its url", &spec.url)
}

/// How the other server dials a database: by its `replication-url`, else where its URL leads.
pub fn by_other_server(name: &str, spec: &Mysql) -> Result<Target> {
    read(name, "read its replication url", spec.replication_url.as_ref().unwrap_or(&spec.url))
}

/// Has the references of AWS in its URLs read again, before it is dialled by anybody.
pub async fn freshen(name: &str, spec: &Mysql) -> Result<()> {
    for url in [Some(&spec.url), spec.replication_url.as_ref()].into_iter().flatten() {
        let read = secret::remote::fresh(url).await;
        read.map_err(|error| DriverError::unresolved(name, "resolve its url", error))?;
    }
    Ok(())
}

fn read(name: &str, what: &str, text: &str) -> Result<Target> {
    let failed = |reason: String| DriverError::new(name, what, reason, Certainty::NotSent);
    let text = secret::resolve(text).map_err(|error| DriverError::unresolved(name, what, error))?;
    Target::read(text.expose()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let found = Target::read("mysql://app:p%40ss%2F@db.example:3307/orders").unwrap();
        assert_eq!((found.host.as_str(), found.port, found.user.as_str()), ("db.example", 3307, "app"));
        assert_eq!((found.password.expose(), found.schema.as_deref()), ("p@ss/", Some("orders")));
        let found = Target::read("mariadb://root@[::1]").unwrap();
        assert_eq!((found.host.as_str(), found.port, found.schema), ("::1", 3306, None));
    }

    #[test]
    fn refuses_what_it_does_not_understand_and_shows_no_password() {
        for wrong in ["postgres://u:hush@h/d", "mysql:u:hush", "mysql://u:hush@h/d?ssl-mode=REQUIRED"] {
            let error = Target::read(wrong).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
        assert!(Target::read("mysql://h/d?ssl-mode=REQUIRED").unwrap_err().contains("under `tls`"));
        let shown = format!("{:?}", Target::read("mysql://u:hush@h/d").unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
