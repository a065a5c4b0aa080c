//! Quantities of the runbook: every duration, size and share carries its unit in the file, so that `10` can't be
//! read as minutes by one person and as seconds by another.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time, written `500ms`, `30s`, `10m`, `6h` or `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^([0-9]+ ?(ms|s|m|h|d) ?)+$"))]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A span of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text).map(Span).map_err(|_| {
            format!("`{text}` is not a duration; write a number with a unit, such as 500ms, 30s, 10m or 6h")
        })
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        f.write_str(&text.replace(' ', ""))
    }
}

/// A number of bytes, written `512KiB`, `1MiB`, `10GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[0-9.]+ ?([kKMGT]i?)?B$"))]
pub struct Size(pub u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let remedy = || format!("`{text}` is not a size; write a number with a unit, such as 512KiB, 1MiB or 10GB");
        if !text.ends_with('B') {
            return Err(remedy());
        }
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| remedy())
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        // Exact, unlike what people are shown: the frozen plan holds it.
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, unit)| size.0 > 0 && size.0.is_multiple_of(*unit)) {
            Some((name, unit)) => format!("{}{name}", size.0 / unit),
            None => format!("{}B", size.0),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize(self.0).display().iec())
    }
}

/// A share of a whole, written `0.5%` or `25%`; a bare number is per cent too, as in `weights: [1, 5, 10]`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "ShareText")]
pub struct Share(pub f64);

/// How a share may stand in the file; only for the JSON Schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the shape to schemars")]
#[schemars(untagged)]
enum ShareText {
    Number(f64),
    Text(String),
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(&text).trim();
        match number.parse::<f64>() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self(share)),
            _ => Err(format!("`{text}` is not a share; write a number between 0 and 100, such as 5 or 0.5%")),
        }
    }
}

impl From<Share> for String {
    fn from(share: Share) -> String {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A limit of something measured: a plain number, a share (`0.5%`) or a time (`250ms`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "LimitText")]
pub enum Limit {
    /// A number, in whatever unit the measurement has.
    Number(f64),
    /// A share of a whole.
    Share(Share),
    /// A length of time.
    Time(Span),
}

/// How a limit may stand in the file; only for the JSON Schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the shape to schemars")]
#[schemars(untagged)]
enum LimitText {
    Number(f64),
    Text(String),
}

impl Limit {
    /// The limit in the base unit of what it limits: per cent, seconds, or as it stands.
    #[must_use]
    pub const fn base(self) -> f64 {
        match self {
            Self::Number(number) => number,
            Self::Share(share) => share.0,
            Self::Time(span) => span.0.as_secs_f64(),
        }
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Self::Number(number)),
            _ if text.ends_with('%') => Share::try_from(text).map(Self::Share),
            _ => Span::try_from(text.clone()).map(Self::Time).map_err(|_| {
                format!("`{text}` is not a limit; write a number, a share such as 0.5%, or a time such as 250ms")
            }),
        }
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> String {
        limit.to_string()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Share(share) => write!(f, "{share}"),
            Self::Time(span) => write!(f, "{span}"),
        }
    }
}
