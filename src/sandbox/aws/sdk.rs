//! The SDK as the sandbox itself uses it: to fill the emulators and to read what they hold. It never takes the way that
//! a run takes, so that nothing it does is counted among the run's calls.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_types::error::display::DisplayErrorContext;

use super::{REGION, SandboxError};

/// A configuration for one emulator, by its URL.
pub fn sdk_config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "sandbox");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(Builder::new().build_http())
        .build()
}

/// For `map_err` on a call: names the attempt and tells the whole cause.
pub(crate) fn failed<E: std::error::Error>(doing: &str) -> impl FnOnce(E) -> SandboxError + use<'_, E> {
    move |error| SandboxError::Http { doing: doing.to_owned(), reason: DisplayErrorContext(error).to_string() }
}

/// What a reply must hold.
pub(crate) fn wanted<T>(doing: &str, found: Option<T>) -> Result<T, SandboxError> {
    found.ok_or_else(|| SandboxError::Http { doing: doing.to_owned(), reason: "the reply lacks it".into() })
}
