//! Texts that say where a database is: read, compared with both sides, and changed in place. All else in the text stays
//! as it is, character for character. Texts may hold passwords: nothing here gives back more of them than host and port.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::Leads;
use crate::runbook::model::Part;
use crate::systems::address::Address;

/// Where in a text the address stands.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Under these keys of a JSON object.
    pub keys: &'a BTreeMap<String, Part>,
    /// Or the text is this part of it.
    pub text: Option<Part>,
}

impl Content<'_> {
    /// Which side a text leads to.
    pub fn leads(self, text: &str, from: &Address, to: &Address) -> Leads {
        let places = match self.places(text) {
            Ok(places) => places,
            Err(reason) => return Leads::Neither(reason),
        };
        let all = |side: &Address| places.iter().all(|place| place.part.says(&place.value, side));
        if all(to) {
            return Leads::To;
        }
        if all(from) {
            return Leads::From;
        }
        let words: Vec<String> = places.iter().map(Spot::words).collect();
        Leads::Neither(format!("it says {}", words.join(", ")))
    }

    /// The text, leading to another side.
    pub fn led(self, text: &str, from: &Address, to: &Address) -> Result<String, String> {
        let mut places = self.places(text)?;
        places.sort_by_key(|place| place.span.start);
        let mut output = text.to_owned();
        // From the last, so that positions hold.
        for place in places.iter().rev() {
            let value = place.part.led(&place.value, from, to)?;
            output.replace_range(place.span.clone(), &place.spelled(&value));
        }
        Ok(output)
    }

    /// What will stand there for an address, for people.
    pub fn words(self, to: &Address) -> String {
        let key = |(key, part): (&String, &Part)| format!("{key} = {}", part.of(to));
        match self.text {
            Some(part) => part.of(to),
            None => self.keys.iter().map(key).collect::<Vec<_>>().join(", "),
        }
    }

    fn places(self, text: &str) -> Result<Vec<Spot>, String> {
        if let Some(part) = self.text {
            let value = text.trim();
            let start = text.find(value).unwrap_or(0);
            let span = start..start + value.len();
            return Ok(vec![Spot { key: None, part, value: value.to_owned(), span, quoted: false }]);
        }
        if !matches!(serde_json::from_str(text), Ok(Value::Object(_))) {
            return Err("it is not a JSON object".to_owned());
        }
        self.keys.iter().map(|(key, part)| spot(text, key, *part)).collect()
    }
}

/// One place in a text.
struct Spot {
    key: Option<String>,
    part: Part,
    value: String,
    span: Range<usize>,
    /// It is a JSON string.
    quoted: bool,
}

impl Spot {
    /// A new value as this place spells values.
    fn spelled(&self, value: &str) -> String {
        if self.quoted { Value::String(value.to_owned()).to_string() } else { value.to_owned() }
    }

    /// What it says, without anything secret.
    fn words(&self) -> String {
        let shown = match self.part {
            Part::Host | Part::Port | Part::HostPort if self.value.len() < 256 && !self.value.contains('@') => {
                format!("`{}`", self.value)
            }
            Part::Url => authority(&self.value).map_or("no URL".to_owned(), |span| format!("`{}`", &self.value[span])),
            _ => "something else".to_owned(),
        };
        self.key.as_ref().map_or(shown.clone(), |key| format!("{key}: {shown}"))
    }
}

fn spot(text: &str, key: &str, part: Part) -> Result<Spot, String> {
    let span = value_span(text, key).ok_or_else(|| format!("it has no key `{key}`"))?;
    let token = &text[span.clone()];
    let quoted = token.starts_with('"');
    let value = if quoted { serde_json::from_str(token).unwrap_or_default() } else { token.to_owned() };
    if token.starts_with(['{', '[']) {
        return Err(format!("its key `{key}` holds no plain value"));
    }
    Ok(Spot { key: Some(key.to_owned()), part, value, span, quoted })
}

impl Part {
    /// What stands in this part for an address.
    #[must_use]
    pub fn of(self, address: &Address) -> String {
        match self {
            Self::Host => address.host.clone(),
            Self::Port => address.port.to_string(),
            Self::HostPort | Self::Url => format!("{}:{}", address.host, address.port),
        }
    }

    /// Whether a value leads to an address.
    #[must_use]
    pub fn says(self, value: &str, address: &Address) -> bool {
        let same_host = |host: &str| host.trim_end_matches('.').eq_ignore_ascii_case(&address.host);
        let same = |text: &str, default: Option<u16>| match text.rsplit_once(':') {
            Some((host, port)) => same_host(host) && port.parse() == Ok(address.port),
            None => same_host(text) && default == Some(address.port),
        };
        match self {
            Self::Host => same_host(value),
            Self::Port => value.parse() == Ok(address.port),
            Self::HostPort => same(value, None),
            Self::Url => authority(value).is_some_and(|span| same(&value[span], default_port(value))),
        }
    }

    /// The value, leading to another address.
    fn led(self, value: &str, from: &Address, to: &Address) -> Result<String, String> {
        if !self.says(value, from) && !self.says(value, to) {
            return Err("it leads to neither side".to_owned());
        }
        let Self::Url = self else { return Ok(self.of(to)) };
        let span = authority(value).ok_or("it is no URL")?;
        let explicit = value[span.clone()].contains(':') || default_port(value) != Some(to.port);
        let mut led = value.to_owned();
        led.replace_range(span, &if explicit { self.of(to) } else { to.host.clone() });
        Ok(led)
    }
}

/// Where host and port stand in a URL.
fn authority(url: &str) -> Option<Range<usize>> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let start = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    (start < end).then_some(start..end)
}

fn default_port(url: &str) -> Option<u16> {
    let (scheme, _) = url.split_once("://")?;
    let speaks = |kind: &str| scheme.contains(kind);
    match () {
        () if speaks("postgres") => Some(5432),
        () if speaks("mysql") || speaks("mariadb") => Some(3306),
        () => None,
    }
}

/// Where the value of a key of an object stands; of a key that is there twice, the last one, which is what readers take.
fn value_span(text: &str, key: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = blanks(bytes, 0);
    let mut found = None;
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    at = blanks(bytes, at + 1);
    while bytes.get(at) == Some(&b'"') {
        let end = string_end(bytes, at)?;
        let name: String = serde_json::from_str(&text[at..end]).ok()?;
        at = blanks(bytes, end);
        at = blanks(bytes, at + 1);
        let end = value_end(bytes, at)?;
        if name == key {
            found = Some(at..end);
        }
        at = blanks(bytes, end);
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = blanks(bytes, at + 1);
    }
    found
}

fn blanks(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the closing quote of a string that begins at `from`.
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn value_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' if depth > 0 => (depth, at) = (depth - 1, at + 1),
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(at),
            _ => at += 1,
        }
        let begins_whole = matches!(bytes[from], b'"' | b'{' | b'[');
        if depth == 0 && begins_whole {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Address {
        Address { host: "old.internal".into(), port: 5432, dbname: None }
    }

    fn there() -> Address {
        Address { host: "new.internal".into(), port: 6432, dbname: None }
    }

    fn keys(pairs: &[(&str, Part)]) -> BTreeMap<String, Part> {
        pairs.iter().map(|(key, part)| ((*key).to_owned(), *part)).collect()
    }

    #[test]
    fn a_key_of_json_is_changed_in_place_and_nothing_else() {
        let text = "{\n  \"username\": \"app\",\"password\" : \"p\\\"w{\\u00e9\",\n  \"host\":\"old.internal\",\n  \
                    \"port\": 5432, \"n\": 1e3, \"more\": {\"host\": \"x\"} }\n";
        let keys = keys(&[("host", Part::Host), ("port", Part::Port)]);
        let content = Content { keys: &keys, text: None };
        assert_eq!(content.leads(text, &here(), &there()), Leads::From);
        let led = content.led(text, &here(), &there()).unwrap();
        assert_eq!(led, text.replacen("old.internal", "new.internal", 1).replacen("5432", "6432", 1));
        assert_eq!(content.leads(&led, &here(), &there()), Leads::To);
        assert_eq!(content.led(&led, &there(), &here()).unwrap(), text, "the way back gives every character back");
    }

    #[test]
    fn a_port_that_is_a_text_stays_one() {
        let keys = keys(&[("port", Part::Port)]);
        let content = Content { keys: &keys, text: None };
        assert_eq!(content.led(r#"{"port":"5432"}"#, &here(), &there()).unwrap(), r#"{"port":"6432"}"#);
        assert_eq!(content.led(r#"{"port":"6432"}"#, &here(), &there()).unwrap(), r#"{"port":"6432"}"#);
    }

    #[test]
    fn a_url_keeps_all_but_host_and_port() {
        let none = BTreeMap::new();
        let content = Content { keys: &none, text: Some(Part::Url) };
        for (before, after) in [
            ("postgresql://app:p%40s@old.internal:5432/shop?x=1", "postgresql://app:p%40s@new.internal:6432/shop?x=1"),
            ("postgres://app:p@w@old.internal/shop", "postgres://app:p@w@new.internal:6432/shop"),
            ("jdbc:postgresql://OLD.internal/shop", "jdbc:postgresql://new.internal:6432/shop"),
        ] {
            assert_eq!(content.leads(before, &here(), &there()), Leads::From, "{before}");
            assert_eq!(content.led(before, &here(), &there()).unwrap(), after);
            assert_eq!(content.leads(after, &here(), &there()), Leads::To, "{after}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_told_without_its_password() {
        let none = BTreeMap::new();
        let content = Content { keys: &none, text: Some(Part::Url) };
        let leads = content.leads("postgresql://app:hush@third:1/x", &here(), &there());
        assert_eq!(leads, Leads::Neither("it says `third:1`".into()));
        assert!(content.led("postgresql://app:hush@third:1/x", &here(), &there()).is_err());
        let keys = keys(&[("host", Part::Host)]);
        let json = Content { keys: &keys, text: None };
        assert_eq!(json.leads("hush", &here(), &there()), Leads::Neither("it is not a JSON object".into()));
        assert_eq!(json.leads("{}", &here(), &there()), Leads::Neither("it has no key `host`".into()));
        assert!(json.led(r#"{"host": {"x": 1}}"#, &here(), &there()).is_err());
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_one_counts() {
        let keys = keys(&[("host", Part::Host)]);
        let content = Content { keys: &keys, text: None };
        let led = content.led(r#"{"host":"x","a":[1,{"b":"]"}],"host":"old.internal"}"#, &here(), &there()).unwrap();
        assert_eq!(led, r#"{"host":"x","a":[1,{"b":"]"}],"host":"new.internal"}"#);
    }

    #[test]
    fn a_sides_port_may_be_the_same() {
        let (mut from, to) = (here(), there());
        from.port = to.port;
        let keys = keys(&[("host", Part::Host), ("port", Part::Port)]);
        let content = Content { keys: &keys, text: None };
        assert_eq!(content.leads(r#"{"host":"old.internal","port":6432}"#, &from, &to), Leads::From);
        assert_eq!(content.leads(r#"{"host":"new.internal","port":6432}"#, &from, &to), Leads::To);
    }
}
