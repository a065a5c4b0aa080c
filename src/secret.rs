//! Credentials: references that are resolved when a connection is opened, values that can't be printed, and masks for
//! texts that may hold one.
//!
//! A [`Secret`] has neither `Display` nor `Serialize`, so it can't reach the journal, the log or the screen by mistake.

pub mod remote;

use std::fmt;

use thiserror::Error;

/// A resolved credential, or a text with one in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must not be shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the call that needs it and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A reference that could not be resolved.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set; set it and try again")]
    Unset(String),
    /// The file can't be read.
    #[error("the file {path} with a secret can't be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// The scheme is not one of ours.
    #[error(
        "`${{{0}}}` is not a secret reference; write ${{env:NAME}}, ${{file:PATH}}, ${{aws-secret:NAME}}, ${{ssm:NAME}} or ${{rds:SYSTEM#host}}"
    )]
    UnknownScheme(String),
    /// Nobody has asked for it yet.
    #[error("`${{{0}}}` was not read from AWS")]
    Unread(String),
    /// It was read, and is not what the reference says.
    #[error("`${{{reference}}}`: {why}")]
    Unfit {
        /// The reference, without `${` and `}`.
        reference: String,
        /// What is wrong, without anything of the value.
        why: String,
    },
    /// It could not be read.
    #[error("`${{{reference}}}` can't be read: {reason}")]
    Source {
        /// The reference, without `${` and `}`.
        reference: String,
        /// What AWS said.
        reason: String,
        /// What a person does about it.
        hint: Option<String>,
        /// The code that AWS gives it.
        code: Option<String>,
    },
}

/// Replaces every `${env:NAME}` and `${file:PATH}` in `text` by what it stands for now, and those of AWS by what was read
/// last: who opens a connection has them read by [`remote::fresh`].
pub fn resolve(text: &str) -> Result<Secret, SecretError> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        resolved.push_str(&rest[..start]);
        let value = lookup(&rest[start + 2..start + length], &resolved)?;
        resolved.push_str(&value);
        rest = &rest[start + length + 1..];
    }
    resolved.push_str(rest);
    Ok(Secret(resolved))
}

fn lookup(reference: &str, before: &str) -> Result<String, SecretError> {
    if remote::is_remote(reference) {
        return remote::lookup(reference, before);
    }
    match reference.split_once(':') {
        Some(("env", name)) => std::env::var(name).map_err(|_| SecretError::Unset(name.to_owned())),
        Some(("file", path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => Err(SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
        },
        // What a database that names an `rds` system is spelt out with.
        Some(("encoded", inner)) => lookup(inner, "").map(|value| remote::encoded(&value)),
        _ => Err(SecretError::UnknownScheme(reference.to_owned())),
    }
}

/// Masks what AWS gave, the password of every URL and every `password=` in a text that comes from elsewhere (a server's error, a
/// program's output) before a person or a file sees it.
#[must_use]
pub fn mask(text: &str) -> String {
    mask_keywords(&mask_urls(&remote::mask(text.to_owned())))
}

fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        masked.push_str(head);
        let end =
            tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '/' | '?')).unwrap_or(tail.len());
        let authority = &tail[..end];
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                masked.push_str(user.split_once(':').map_or(user, |(name, _)| name));
                masked.push_str(if user.contains(':') { ":***@" } else { "@" });
                masked.push_str(host);
            }
            None => masked.push_str(authority),
        }
        rest = &tail[end..];
    }
    masked.push_str(rest);
    masked
}

fn mask_keywords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find("password=") {
        let (head, tail) = rest.split_at(at + "password=".len());
        masked.push_str(head);
        masked.push_str("***");
        rest = &tail[value_length(tail)..];
    }
    masked.push_str(rest);
    masked
}

/// Length of a libpq keyword's value: to the closing quote, or to the next blank or quote.
fn value_length(tail: &str) -> usize {
    if let Some(quoted) = tail.strip_prefix('\'') {
        return quoted.find('\'').map_or(tail.len(), |end| end + 2);
    }
    tail.find(|c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'')).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_servers_and_programs_say() {
        assert_eq!(mask("at postgresql://app:s3cret@db:5432/x failed"), "at postgresql://app:***@db:5432/x failed");
        assert_eq!(mask("postgres://app:p@ss@db/x"), "postgres://app:***@db/x");
        assert_eq!(mask("postgres://app@db/x"), "postgres://app@db/x");
        assert_eq!(mask("host=db password=hush user=a"), "host=db password=*** user=a");
        assert_eq!(mask("connection 'host=db password=''x'' '"), "connection 'host=db password=***x'' '");
        assert_eq!(mask("http://a.b/c nothing"), "http://a.b/c nothing");
    }

    #[test]
    fn resolves_files_and_names_what_is_missing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\n").unwrap();
        let text = format!("postgres://a:${{file:{}}}@h/d", file.path().display());
        assert_eq!(resolve(&text).unwrap().expose(), "postgres://a:hush@h/d");
        let error = resolve("${env:POINTSMAN_NO_SUCH_VARIABLE}").unwrap_err();
        assert_eq!(error, SecretError::Unset("POINTSMAN_NO_SUCH_VARIABLE".into()));
        assert!(resolve("${vault:x}").is_err());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(***)");
    }
}
