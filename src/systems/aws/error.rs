//! What went wrong with a call, how sure it is that it had no effect, and what a tired person does about it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::systems::{Certainty, DriverError};

/// Code of errors in which there were no credentials to sign with.
pub const NO_CREDENTIALS: &str = "CredentialsNotLoaded";
/// Code of errors in which a read-only client refused to send a change.
pub const READ_ONLY: &str = "ReadOnly";
/// Code of errors in which the credentials belong to another account than the runbook's.
pub const WRONG_ACCOUNT: &str = "WrongAccount";

/// Texts of AWS are cut after this many characters.
const LONGEST: usize = 300;

/// Troubles that have nothing to do with the call itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The credentials have expired, or there are none.
    Expired,
    /// They may not do this.
    Denied,
    /// Too many calls.
    Throttled,
}

/// Which of these troubles an error is.
#[must_use]
pub fn trouble(error: &DriverError) -> Option<Trouble> {
    error.code.as_deref().and_then(trouble_of)
}

fn trouble_of(code: &str) -> Option<Trouble> {
    match code {
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "TokenRefreshRequired"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidToken"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | NO_CREDENTIALS => Some(Trouble::Expired),
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "AuthorizationError" | "NotAuthorized" => {
            Some(Trouble::Denied)
        }
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "PriorRequestNotComplete"
        | "SlowDown"
        | "BandwidthLimitExceeded" => Some(Trouble::Throttled),
        _ => None,
    }
}

/// An error of the SDK as ours.
#[must_use]
pub fn explain<E>(system: &str, profile: Option<&str>, what: &str, error: &SdkError<E, HttpResponse>) -> DriverError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let driver = |reason: String, certainty| DriverError::new(system, what, reason, certainty);
    let mut told = match error {
        SdkError::ConstructionFailure(_) => local(driver, error, Certainty::NotSent),
        SdkError::TimeoutError(_) => {
            driver("no answer in time; whether it took effect is not known".to_owned(), Certainty::Unknown)
        }
        SdkError::DispatchFailure(_) => {
            let certainty = if before_sending(error) { Certainty::NotSent } else { Certainty::Unknown };
            local(driver, error, certainty)
        }
        SdkError::ServiceError(answer) => answered(driver, answer.err(), answer.raw()),
        _ => {
            driver(format!("the answer could not be read: {}", page(error).unwrap_or(chain(error))), Certainty::Unknown)
        }
    };
    if told.hint.is_none() {
        told.hint = hint(&told, profile);
    }
    told
}

/// It failed on this side: no credentials, no connection, a read-only client.
fn local<E>(
    driver: impl Fn(String, Certainty) -> DriverError,
    error: &SdkError<E, HttpResponse>,
    certainty: Certainty,
) -> DriverError
where
    E: Error + 'static,
{
    let text = chain(error);
    if text.contains("is no read, and here nothing may be changed") {
        return DriverError { code: Some(READ_ONLY.to_owned()), ..driver(text, Certainty::NotSent) };
    }
    if source::<CredentialsError>(error).is_some()
        || text.contains("credentials provider")
        || text.contains("no identity")
    {
        return DriverError { code: Some(NO_CREDENTIALS.to_owned()), ..driver(text, Certainty::NotSent) };
    }
    driver(text, certainty)
}

/// The service answered with an error.
fn answered(
    driver: impl Fn(String, Certainty) -> DriverError,
    error: &impl ProvideErrorMetadata,
    raw: &HttpResponse,
) -> DriverError {
    let status = raw.status().as_u16();
    let code = error.code().map(str::to_owned);
    let known = code.as_deref().and_then(trouble_of);
    // A server that failed may have done it before it failed; one that counts calls has not begun.
    let certainty = if status >= 500 && known.is_none() { Certainty::Unknown } else { Certainty::Refused };
    let reason = match (code.as_deref(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {}", brief(code, message)),
        (Some(code), None) => format!("{code} (HTTP {status})"),
        (None, _) => web_page(raw).unwrap_or_else(|| format!("HTTP {status} without an error code")),
    };
    DriverError { code, ..driver(reason, certainty) }
}

/// A page for browsers where an answer for programs should be: something between us and AWS, or an emulator.
fn web_page(raw: &HttpResponse) -> Option<String> {
    let status = raw.status().as_u16();
    let html = raw.headers().get("content-type").is_some_and(|kind| kind.contains("text/html"));
    let body = raw.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title);
    html.then(|| {
        let title = title.map(|title| format!(" ({})", title.trim())).unwrap_or_default();
        format!("HTTP {status} with a web page{title} instead of an answer: this is not AWS's API that answers")
    })
}

fn page<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    error.raw_response().and_then(web_page)
}

/// The message of a refused signature repeats the request with its token: only its first sentence is shown.
fn brief(code: &str, message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = if code.starts_with("Signature") || code == "IncompleteSignature" {
        line.split_inclusive(". ").next().unwrap_or(line).trim_end()
    } else {
        line
    };
    line.chars().take(LONGEST).collect()
}

/// Whether the connection was never made, so that nothing was sent.
fn before_sending<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: Error + 'static,
{
    let text = chain(error);
    ["(Connect)", "connect timeout", "dns error", "tcp connect error", "credentials", "no identity"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// All that an error and its causes say, once each.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        next = cause.source();
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

fn source<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// What a person does about it.
fn hint(error: &DriverError, profile: Option<&str>) -> Option<String> {
    match trouble(error) {
        Some(Trouble::Expired) => Some(refresh(profile)),
        Some(Trouble::Denied) => {
            Some("`pointsman iam-policy RUNBOOK` prints the policy that a run needs; then `pointsman retry`".into())
        }
        Some(Trouble::Throttled) => {
            Some("too many calls from this account in this region; wait a minute, then `pointsman retry`".into())
        }
        None if error.certainty == Certainty::NotSent && error.code.is_none() => {
            Some("nothing was sent: is the network there, and is this the right region or `endpoint-url`?".into())
        }
        None => None,
    }
}

/// How credentials are refreshed here.
fn refresh(profile: Option<&str>) -> String {
    let login = |profile: &str| format!("refresh them: `aws sso login --profile {profile}`, then `pointsman retry`");
    if let Some(profile) = profile {
        return login(profile);
    }
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
        return "they stand in the environment of this process: get new ones, and in that shell `pointsman resume`"
            .into();
    }
    if let Some(profile) = std::env::var_os("AWS_PROFILE") {
        return login(&profile.to_string_lossy());
    }
    "refresh them (`aws sso login`, or the role of this machine), then `pointsman retry`".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_apart() {
        assert_eq!(trouble_of("ExpiredToken"), Some(Trouble::Expired));
        assert_eq!(trouble_of("AccessDenied"), Some(Trouble::Denied));
        assert_eq!(trouble_of("Throttling"), Some(Trouble::Throttled));
        assert_eq!(trouble_of("RuleNotFound"), None);
    }

    #[test]
    fn a_refused_signature_does_not_show_the_request() {
        let message = "The signature does not match. The Canonical String was x-amz-security-token:hush";
        assert_eq!(brief("SignatureDoesNotMatch", message), "The signature does not match.");
        assert_eq!(brief("RuleNotFound", "One or more rules not found\nmore"), "One or more rules not found");
    }

    #[test]
    fn hints_say_how_to_go_on() {
        let expired =
            DriverError { code: Some("ExpiredToken".into()), ..DriverError::new("web", "x", "y", Certainty::Refused) };
        assert!(hint(&expired, Some("prod")).unwrap().contains("aws sso login --profile prod"));
        let lost = DriverError::new("web", "x", "y", Certainty::Unknown);
        assert_eq!(hint(&lost, None), None);
    }
}
