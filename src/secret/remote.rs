//! References that a service resolves: `${aws-secret:NAME}`, `${aws-secret:NAME#KEY}`, `${ssm:NAME}`, and
//! `${rds:SYSTEM#host}`, which is no secret: where a server of RDS is reached.
//!
//! Like the environment, what they stand for belongs to the process: it is asked for again whenever a connection is
//! opened ([`fresh`]), and what came last is kept in memory for those who can't wait. While writes wait the store is
//! [sealed](seal): what was read at arming is used, and nobody asks.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use super::{Secret, SecretError, resolve};

/// The schemes.
pub const SCHEMES: [&str; 3] = ["aws-secret", "ssm", RDS];
const RDS: &str = "rds";
/// One text is given up after this long.
const LIMIT: Duration = Duration::from_secs(8);
/// The same when writes wait and nothing was read before.
const SEALED_LIMIT: Duration = Duration::from_secs(1);
/// Shorter values would hide ordinary words.
const SHORTEST_MASKED: usize = 6;
/// Names, and keys of a secret's JSON, whose values are no secrets: masked, they would only hide words from people.
const PLAIN: [&str; 8] = ["user", "username", "host", "port", "dbname", "database", "engine", "schema"];
/// What is encoded in a part of a URL.
pub const IN_URL: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a reading gives.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Secret, SecretError>> + Send + 'a>>;

/// Who reads them.
pub trait Source: Send + Sync {
    /// Reads what a reference names: `aws-secret:NAME`, `ssm:NAME`, `rds:SYSTEM`.
    fn read<'a>(&'a self, name: &'a str) -> Reading<'a>;
}

#[derive(Default)]
struct Held {
    source: Option<Arc<dyn Source>>,
    /// By reference, without `${` and `}`. An error only where there never was a value.
    values: HashMap<String, Result<Secret, SecretError>>,
    sealed: bool,
}

static HELD: LazyLock<RwLock<Held>> = LazyLock::new(RwLock::default);

fn held() -> RwLockReadGuard<'static, Held> {
    HELD.read().unwrap_or_else(PoisonError::into_inner)
}

fn held_mut() -> RwLockWriteGuard<'static, Held> {
    HELD.write().unwrap_or_else(PoisonError::into_inner)
}

/// Says who reads them from now on.
pub fn install(source: Arc<dyn Source>) {
    held_mut().source = Some(source);
}

/// Where a server of RDS was when the plan was made: only while writes wait it is dialled there, and only by who has not
/// read of it since.
pub fn remember_of_rds(system: &str, key: &str, value: &str) {
    if !value.is_empty() {
        held_mut().values.entry(format!("{RDS}:{system}#{key}")).or_insert_with(|| Ok(Secret::new(value)));
    }
}

/// Whether writes wait, so that what was read before must do.
pub fn seal(sealed: bool) {
    held_mut().sealed = sealed;
}

/// The references of this kind in a text, without `${` and `}`.
#[must_use]
pub fn references(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((reference, behind)) = after.split_once('}') else { break };
        if is_remote(reference) {
            found.push(reference);
        }
        rest = behind;
    }
    found
}

/// Whether a reference, without `${` and `}`, is one of this kind.
#[must_use]
pub fn is_remote(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// Every text below a value that holds such a reference.
#[must_use]
pub fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) if !references(text).is_empty() => BTreeSet::from([text.clone()]),
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => BTreeSet::new(),
    }
}

/// What is asked for: the reference without its key.
#[must_use]
pub fn name(reference: &str) -> &str {
    match reference.split_once('#') {
        Some((name, _)) if has_keys(reference) => name,
        _ => reference,
    }
}

/// Whether what it stands for is a JSON object, of which a key may be named.
fn has_keys(reference: &str) -> bool {
    reference.starts_with("aws-secret:") || is_rds(reference)
}

/// Whether it says where a server of RDS is: no secret.
#[must_use]
pub fn is_rds(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| scheme == RDS)
}

/// What was read last of a server of RDS, by one of its keys, without asking anybody.
#[must_use]
pub fn known_of_rds(system: &str, key: &str) -> Option<String> {
    let known = held().values.get(&format!("{RDS}:{system}#{key}")).cloned();
    known?.ok().map(|value| value.expose().to_owned())
}

/// A text with all references replaced by what they stand for now. Each secret is asked for once, whatever number of its
/// keys the text wants.
pub async fn fresh(text: &str) -> Result<Secret, SecretError> {
    let mut wanted = references(text);
    let (source, sealed) = {
        let held = held();
        // While writes wait only what nobody knows is asked for.
        wanted.retain(|reference| !(held.sealed && matches!(held.values.get(*reference), Some(Ok(_)))));
        (held.source.clone(), held.sealed)
    };
    let enough = wanted.is_empty();
    if let Some(source) = source.filter(|_| !enough) {
        let limit = if sealed { SEALED_LIMIT } else { LIMIT };
        match tokio::time::timeout(limit, read(&*source, &wanted)).await {
            Ok(read) => read?,
            Err(_) => return Err(late(&wanted, limit)),
        }
    }
    resolve(text)
}

/// Reads where a server of RDS is, whether or not writes wait.
pub async fn reread_of_rds(system: &str) -> Result<(), SecretError> {
    let Some(source) = held().source.clone() else { return Ok(()) };
    let wanted = format!("{RDS}:{system}#host");
    let wanted = [wanted.as_str()];
    match tokio::time::timeout(LIMIT, read(&*source, &wanted)).await {
        Ok(done) => done,
        Err(_) => Err(late(&wanted, LIMIT)),
    }
}

fn late(wanted: &[&str], limit: Duration) -> SecretError {
    SecretError::Source {
        reference: wanted.join(", "),
        reason: format!("no answer within {} s", limit.as_secs()),
        hint: None,
        code: None,
    }
}

async fn read(source: &dyn Source, wanted: &[&str]) -> Result<(), SecretError> {
    let mut whole: HashMap<&str, Secret> = HashMap::new();
    for reference in wanted {
        let value = match whole.get(name(reference)) {
            Some(text) => part(reference, text),
            None => match source.read(name(reference)).await {
                Ok(text) => {
                    keep_all(name(reference), &text)?;
                    let value = part(reference, &text);
                    whole.insert(name(reference), text);
                    value
                }
                Err(error) => Err(error),
            },
        };
        keep(reference, value)?;
    }
    Ok(())
}

/// Of a server of RDS everything is kept, since all of it comes in one answer.
fn keep_all(name: &str, text: &Secret) -> Result<(), SecretError> {
    let fields: HashMap<String, Value> = match serde_json::from_str(text.expose()) {
        Ok(fields) if is_rds(name) => fields,
        _ => HashMap::new(),
    };
    fields.keys().map(|key| format!("{name}#{key}")).try_for_each(|key| keep(&key, part(&key, text)))
}

/// Keeps what was read; a failure does not forget what was read before.
fn keep(reference: &str, value: Result<Secret, SecretError>) -> Result<(), SecretError> {
    let told = value.as_ref().map(drop).map_err(Clone::clone);
    let mut held = held_mut();
    match value {
        Err(error) if !matches!(held.values.get(reference), Some(Ok(_))) => {
            held.values.insert(reference.to_owned(), Err(error));
        }
        Err(_) => {}
        value => drop(held.values.insert(reference.to_owned(), value)),
    }
    told
}

/// The value itself, or the key of its JSON that the reference names. No error repeats any of it.
fn part(reference: &str, text: &Secret) -> Result<Secret, SecretError> {
    let Some((_, key)) = reference.split_once('#').filter(|_| has_keys(reference)) else {
        return Ok(text.clone());
    };
    let unfit = |why: &str| SecretError::Unfit { reference: reference.to_owned(), why: why.to_owned() };
    let Ok(Value::Object(fields)) = serde_json::from_str(text.expose()) else {
        return Err(unfit("the secret is no JSON object, so that it has no keys"));
    };
    match fields.get(key) {
        Some(Value::String(text)) => Ok(Secret::new(text.clone())),
        Some(Value::Number(number)) => Ok(Secret::new(number.to_string())),
        Some(_) => Err(unfit(&format!("`{key}` is neither a text nor a number"))),
        None if is_rds(reference) => Err(unfit(&format!("a server of RDS has no `{key}` here"))),
        None => Err(unfit(&format!("the secret has no key `{key}`"))),
    }
}

/// What a reference stands for where `before` precedes it: inside of a URL it is encoded.
pub(super) fn lookup(reference: &str, before: &str) -> Result<String, SecretError> {
    let value = held().values.get(reference).cloned();
    let value = value.unwrap_or_else(|| Err(SecretError::Unread(reference.to_owned())))?;
    if before.contains("://") && !is_rds(reference) {
        Ok(encoded(value.expose()))
    } else {
        Ok(value.expose().to_owned())
    }
}

/// As a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &IN_URL).to_string()
}

/// Replaces every value that was read by stars.
pub(super) fn mask(text: String) -> String {
    let held = held();
    let mut values: Vec<String> = held.values.iter().flat_map(|(reference, value)| hidden(reference, value)).collect();
    values.retain(|value| value.len() >= SHORTEST_MASKED);
    // The longest first: another may be a part of it.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.into_iter().fold(text, |text, value| text.replace(&value, "***").replace(&encoded(&value), "***"))
}

/// What must not be seen of a value: all of it, and of a URL its password alone.
fn hidden(reference: &str, value: &Result<Secret, SecretError>) -> Vec<String> {
    let last = reference.rsplit(['#', '/', ':']).next().unwrap_or_default();
    let Ok(value) = value else { return Vec::new() };
    if PLAIN.contains(&last) || is_rds(reference) {
        return Vec::new();
    }
    let url = url::Url::parse(value.expose()).ok();
    let password = url.as_ref().and_then(url::Url::password).map(str::to_owned);
    let decoded = password.as_deref().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
    [Some(value.expose().to_owned()), password, decoded].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers with one text, and counts.
    struct One(&'static str, AtomicUsize);

    impl Source for One {
        fn read<'a>(&'a self, name: &'a str) -> Reading<'a> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if name.contains("absent") {
                    Err(SecretError::Unread(name.to_owned()))
                } else {
                    Ok(Secret::new(self.0))
                }
            })
        }
    }

    fn unfit(reference: &str, text: &str) -> String {
        part(reference, &Secret::new(text)).unwrap_err().to_string()
    }

    #[test]
    fn references_are_found_and_named() {
        let text = "${env:A} ${aws-secret:a/b#pw}@${ssm:/x/y}:${file:z} ${ssm:open";
        assert_eq!(references(text), ["aws-secret:a/b#pw", "ssm:/x/y"]);
        assert_eq!((name("aws-secret:a/b#pw"), name("ssm:/x#y")), ("aws-secret:a/b", "ssm:/x#y"));
        let value = serde_json::json!({ "a": ["x", "${ssm:/x}"], "b": { "c": "${ssm:/x}" }, "d": "${env:X}" });
        assert_eq!(texts(&value), BTreeSet::from(["${ssm:/x}".to_owned()]));
    }

    #[test]
    fn a_key_is_a_part_of_the_json_and_errors_repeat_nothing_of_it() {
        let text = Secret::new(r#"{"pw":"hush","port":5432,"deep":{}}"#);
        assert_eq!(part("aws-secret:a#pw", &text).unwrap().expose(), "hush");
        assert_eq!(part("aws-secret:a#port", &text).unwrap().expose(), "5432");
        assert_eq!(part("aws-secret:a", &text).unwrap(), text);
        for (reference, secret) in
            [("aws-secret:a#no", text.expose()), ("aws-secret:a#deep", text.expose()), ("aws-secret:a#pw", "hush")]
        {
            assert!(!unfit(reference, secret).contains("hush"), "{}", unfit(reference, secret));
        }
    }

    /// One test, since the store belongs to the process.
    #[tokio::test]
    async fn values_are_asked_for_at_each_connection_and_not_while_writes_wait() {
        assert!(matches!(resolve("${ssm:/never}"), Err(SecretError::Unread(_))));
        let one = Arc::new(One(r#"{"user":"ap/p","pw":"hu@sh#hush"}"#, AtomicUsize::new(0)));
        install(one.clone());
        let url = "postgres://${aws-secret:a#user}:${aws-secret:a#pw}@h/d";
        assert_eq!(fresh(url).await.unwrap().expose(), "postgres://ap%2Fp:hu%40sh%23hush@h/d");
        assert_eq!(one.1.load(Ordering::SeqCst), 1, "one secret is asked for once");
        fresh(url).await.unwrap();
        assert_eq!(one.1.load(Ordering::SeqCst), 2, "and again for another connection");
        seal(true);
        assert_eq!(fresh("x ${aws-secret:a#pw}").await.unwrap().expose(), "x hu@sh#hush");
        assert_eq!(one.1.load(Ordering::SeqCst), 2, "not while writes wait");
        remember_of_rds("prod", "host", "db.example");
        assert_eq!(fresh("x://${rds:prod#host}/").await.unwrap().expose(), "x://db.example/", "where the plan had it");
        assert_eq!(one.1.load(Ordering::SeqCst), 2);
        assert!(fresh("${ssm:/absent}").await.is_err());
        seal(false);
        assert!(fresh("${rds:prod#host}").await.is_err(), "else the server itself is asked");
        assert_eq!(super::super::mask("db.example"), "db.example", "it is no secret");
        assert_eq!(super::super::mask("said hu@sh#hush and hu%40sh%23hush"), "said *** and ***");
    }
}
