//! How a database names an `rds` system instead of a URL.

use std::fmt;

use percent_encoding::utf8_percent_encode;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::model::Name;
use crate::secret::remote::IN_URL;

/// What `rds` of a MySQL or MariaDB server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OnRds {
    /// Whether it is an instance of RDS.
    Is(bool),
    /// It is the `rds` system of this name.
    Named(Name),
}

impl<'de> Deserialize<'de> for OnRds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = OnRds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or the name of an `rds` system")
            }

            fn visit_bool<E: Error>(self, is: bool) -> Result<OnRds, E> {
                Ok(OnRds::Is(is))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<OnRds, E> {
                Ok(OnRds::Named(name.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// How a database names an `rds` system, and who we are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naming<'a> {
    /// Name of the system.
    pub rds: &'a str,
    /// A secret with the keys `username` and `password`.
    pub secret: Option<&'a str>,
    /// Our user.
    pub user: Option<&'a str>,
    /// Its password.
    pub password: Option<&'a str>,
    /// The database, or the schema.
    pub database: Option<&'a str>,
}

impl Naming<'_> {
    /// The URL that this stands for, made of references: what they stand for is read for each connection.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        let scheme = if scheme == "postgres" { "postgresql" } else { scheme };
        let key = |text: &str, key: &str| format!("{}#{key}}}", text.trim_end_matches('}'));
        let (user, password) = match self.secret {
            Some(secret) => (key(secret, "username"), key(secret, "password")),
            None => (in_url(self.user.unwrap_or_default()), in_url(self.password.unwrap_or_default())),
        };
        let (rds, database) = (self.rds, in_url(self.database.unwrap_or_default()));
        format!("{scheme}://{user}:{password}@${{rds:{rds}#host}}:${{rds:{rds}#port}}/{database}")
    }
}

/// A text as a part of a URL: encoded; what this machine's references stand for is encoded when they are resolved, as
/// that of AWS's is in any case.
fn in_url(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, behind) = after.split_once('}').unwrap_or((after, ""));
        let own = ["env:", "file:"].iter().any(|scheme| reference.starts_with(scheme));
        out.extend(utf8_percent_encode(before, &IN_URL));
        out += &format!("${{{}{reference}}}", if own { "encoded:" } else { "" });
        rest = behind;
    }
    out.extend(utf8_percent_encode(rest, &IN_URL));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::System;

    fn spelt(system: serde_json::Value) -> serde_json::Value {
        let mut system: System = serde_json::from_value(system).unwrap();
        system.spell_out();
        serde_json::to_value(system).unwrap()
    }

    #[test]
    fn a_database_that_names_an_rds_system_gets_its_url() {
        let named = json!({ "rds": "orders-rds", "secret": "${aws-secret:prod/orders}", "database": "orders" });
        let found = spelt(json!({ "postgres": named }));
        let url = "postgresql://${aws-secret:prod/orders#username}:${aws-secret:prod/orders#password}\
                   @${rds:orders-rds#host}:${rds:orders-rds#port}/orders";
        assert_eq!(found["postgres"]["url"], json!(url));
        assert_eq!((&found["postgres"]["secret"], &found["postgres"]["rds"]), (&json!(null), &json!("orders-rds")));
        let named = json!({ "rds": "r", "user": "a@b", "password": "${env:PW}" });
        let url = "mariadb://a%40b:${encoded:env:PW}@${rds:r#host}:${rds:r#port}/";
        assert_eq!(spelt(json!({ "mariadb": named }))["mariadb"]["url"], json!(url));
    }

    #[test]
    fn rds_of_mysql_is_a_word_or_a_name() {
        let of = |rds: serde_json::Value| {
            let spec =
                serde_json::from_value::<super::super::model::Mysql>(json!({ "url": "mysql://u@h", "rds": rds }));
            spec.map(|spec| (spec.is_rds(), spec.naming().is_some()))
        };
        assert_eq!(of(json!(false)).unwrap(), (Some(false), false));
        assert_eq!(of(json!("x")).unwrap(), (Some(true), true));
        assert!(of(json!(3)).unwrap_err().to_string().contains("the name of an `rds` system"));
    }
}
