//! Security groups, by the query API of EC2: whom a network lets in.
//!
//! The SDK's crate for EC2 is larger than all others together, and one call that only reads is made here. So the call is
//! put together from the SDK's own parts: its signature, its HTTP client, its timeouts, its errors. What it looks like on
//! the wire is in the Amazon EC2 API reference, `DescribeSecurityGroups`, `IpPermission` and "Error codes".

use std::error::Error;

use aws_config::SdkConfig;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_sdk_rds::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_types::service_config::ServiceConfigKey;

use self::answer::{document, refusal};
use super::readonly::ReadOnly;
use super::{Access, Aws, Service};
use crate::systems::{Certainty, DriverError, Result};

mod answer;

const OPERATION: &str = "DescribeSecurityGroups";
/// Of the API.
const VERSION: &str = "2016-11-15";

/// A security group, and whom it lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Such as `sg-0a1b`.
    pub id: String,
    /// Its inbound rules.
    pub rules: Vec<Rule>,
}

/// An inbound rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `tcp`, `udp`, a protocol's number, or `-1` for all.
    pub protocol: String,
    /// The first and the last port; absent where the rule is for all.
    pub ports: (Option<i32>, Option<i32>),
    /// Who is let in.
    pub from: Vec<Peer>,
}

/// Who a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Whoever has this security group.
    Group(String),
    /// Addresses, such as `10.0.0.0/16`.
    Addresses(String),
    /// Addresses that a list of AWS or of a person has.
    List(String),
}

impl Rule {
    /// Whether it is for connections to a port.
    #[must_use]
    pub fn is_for(&self, port: u16) -> bool {
        let (first, last) = (self.ports.0.unwrap_or(0), self.ports.1.unwrap_or(i32::from(u16::MAX)));
        match self.protocol.as_str() {
            "-1" => true,
            "tcp" | "6" => (first..=last).contains(&i32::from(port)),
            _ => false,
        }
    }
}

/// Security groups by their ids; those that are not there are missing.
pub async fn security_groups(aws: &Aws, ids: &[String]) -> Result<Vec<SecurityGroup>> {
    let what = "read the rules of security groups";
    let (mut all, mut next) = (Vec::new(), None::<String>);
    loop {
        let form = form(ids, next.as_deref());
        let call =
            operation(aws).await.map_err(|reason| DriverError::new(aws.system(), what, reason, Certainty::NotSent))?;
        let answer = aws.read(Service::Ec2, what, || call.invoke(form.clone())).await?;
        let (found, more) =
            document(&answer).map_err(|reason| DriverError::new(aws.system(), what, reason, Certainty::Unknown))?;
        all.extend(found);
        next = more;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// Filtered, not named: one that was deleted would make AWS refuse to tell of the others.
fn form(ids: &[String], next: Option<&str>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", OPERATION).append_pair("Version", VERSION).append_pair("Filter.1.Name", "group-id");
    for (number, id) in ids.iter().enumerate() {
        form.append_pair(&format!("Filter.1.Value.{}", number + 1), id);
    }
    if let Some(next) = next {
        form.append_pair("NextToken", next);
    }
    form.finish()
}

/// The call, signed and sent as the SDK's clients do it.
async fn operation(aws: &Aws) -> std::result::Result<Operation<String, String, ErrorMetadata>, String> {
    let config = aws.config();
    let missing = |what: &str| format!("the configuration has no {what}");
    let client = config.http_client().ok_or_else(|| missing("HTTP client"))?;
    let timeouts = config.timeout_config().ok_or_else(|| missing("timeouts"))?;
    let mut call = Operation::builder()
        .service_name("EC2")
        .operation_name(OPERATION)
        .http_client(client)
        .timeout_config(timeouts.clone())
        .endpoint_url(&endpoint(&config).await?)
        .with_connection_poisoning()
        .no_retry()
        .runtime_plugin(signature(&config)?);
    if let Some(sleep) = config.sleep_impl() {
        call = call.sleep_impl(sleep);
    }
    if let Some(time) = config.time_source() {
        call = call.time_source(time);
    }
    if aws.access() == Access::ReadOnly {
        call = call.interceptor(ReadOnly);
    }
    Ok(call.serializer(request).deserializer(read).build())
}

fn signature(config: &SdkConfig) -> std::result::Result<StaticRuntimePlugin, String> {
    let region = config.region().ok_or("no region is named")?;
    let credentials = config.credentials_provider().ok_or("there are no credentials")?;
    let mut layer = Layer::new("signature");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig {
        region: Some(region.clone().into()),
        name: Some("ec2".into()),
        ..SigV4OperationSigningConfig::default()
    });
    let mut parts = RuntimeComponentsBuilder::new("signature");
    let options = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
    parts.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(options)));
    parts.push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()));
    match config.identity_cache() {
        Some(cache) => parts.set_identity_cache(Some(cache)),
        None => parts.set_identity_cache(Some(IdentityCache::no_cache())),
    };
    parts.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
    Ok(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(parts))
}

/// Where the configuration says; else where AWS has it: the rules of the SDK for RDS know every partition, FIPS and dual
/// stack, and the two differ in the service's name only ("Amazon EC2 service endpoints", AWS General Reference).
async fn endpoint(config: &SdkConfig) -> std::result::Result<String, String> {
    let key = ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    if let Some(url) = own.or_else(|| config.endpoint_url().map(str::to_owned)) {
        return Ok(url);
    }
    let params = Params::builder()
        .set_region(config.region().map(ToString::to_string))
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack())
        .build()
        .map_err(|error| error.to_string())?;
    let found = DefaultResolver::new().resolve_endpoint(&params).await.map_err(|error| said(error.as_ref()))?;
    Ok(found.url().replacen("://rds", "://ec2", 1))
}

fn said(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn request(form: String) -> std::result::Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    Ok(request)
}

/// The document, or the refusal.
fn read(answer: &HttpResponse) -> std::result::Result<String, OrchestratorError<ErrorMetadata>> {
    let text = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default()).into_owned();
    if answer.status().is_success() {
        return Ok(text);
    }
    Err(OrchestratorError::operation(refusal(&text)))
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};

    use super::*;

    #[test]
    fn a_rule_is_for_the_ports_that_it_names() {
        let rule =
            |protocol: &str, first, last| Rule { protocol: protocol.into(), ports: (first, last), from: Vec::new() };
        assert!(rule("-1", None, None).is_for(5432) && rule("tcp", Some(5432), Some(5432)).is_for(5432));
        assert!(rule("6", Some(0), Some(65535)).is_for(5432) && rule("-1", Some(-1), Some(-1)).is_for(5432));
        assert!(!rule("tcp", Some(3306), Some(3306)).is_for(5432) && !rule("udp", None, None).is_for(5432));
        assert!(!rule("icmp", Some(-1), Some(-1)).is_for(5432));
    }

    #[test]
    fn groups_are_filtered_so_that_one_that_is_gone_hides_no_other() {
        let of = form(&["sg-1".into(), "sg-2".into()], Some("a b"));
        let expected = "Action=DescribeSecurityGroups&Version=2016-11-15&Filter.1.Name=group-id&Filter.1.Value.1=sg-1\
                        &Filter.1.Value.2=sg-2&NextToken=a+b";
        assert_eq!(of, expected);
    }

    #[tokio::test]
    async fn the_endpoint_is_that_of_the_partition_or_the_runbooks() {
        let of = |region: &'static str| {
            SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(Region::new(region))
        };
        let plain = async |config: SdkConfig| endpoint(&config).await.unwrap();
        assert_eq!(plain(of("eu-west-1").build()).await, "https://ec2.eu-west-1.amazonaws.com");
        assert_eq!(plain(of("cn-north-1").build()).await, "https://ec2.cn-north-1.amazonaws.com.cn");
        assert_eq!(plain(of("us-east-1").use_fips(true).build()).await, "https://ec2-fips.us-east-1.amazonaws.com");
        assert_eq!(plain(of("us-east-1").use_dual_stack(true).build()).await, "https://ec2.us-east-1.api.aws");
        assert_eq!(plain(of("us-east-1").endpoint_url("http://here:1").build()).await, "http://here:1");
        assert!(endpoint(&SdkConfig::builder().build()).await.is_err(), "no region");
    }
}
