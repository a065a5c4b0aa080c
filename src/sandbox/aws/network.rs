//! The network that a load balancer stands in: the emulator has a default one, which is asked for by hand, since nothing
//! else here needs the SDK of EC2.

use super::{
    SandboxError,
    sdk::{failed, wanted},
};

/// The default network and two of its parts.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) vpc: String,
    pub(crate) subnets: Vec<String>,
}

/// Reads the emulator's default network.
pub(crate) async fn default_network(moto: &str) -> Result<Network, SandboxError> {
    let doing = "read the emulator's subnets";
    // The emulator learns the service from the signature's scope, and does not look at the signature.
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    // It wants a provider of cryptography even where nothing is encrypted; a second one is refused, which is fine.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().map_err(failed(doing))?;
    let request = client
        .post(moto)
        .header("authorization", scope)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("Action=DescribeSubnets&Version=2016-11-15");
    let answer = request.send().await.map_err(failed(doing))?.text().await.map_err(failed(doing))?;
    let subnets: Vec<String> = inside(&answer, "subnetId").take(2).map(str::to_owned).collect();
    let vpc = wanted(doing, inside(&answer, "vpcId").next())?.to_owned();
    Ok(Network { vpc, subnets })
}

/// The texts of all elements of this name.
fn inside<'a>(xml: &'a str, element: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let begin = rest.find(&open)? + open.len();
        let end = begin + rest[begin..].find(&close)?;
        let found = &rest[begin..end];
        rest = &rest[end..];
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn elements_are_found_in_their_order() {
        let xml = "<a><subnetId>one</subnetId></a><subnetId>two</subnetId><vpcId>v</vpcId>";
        assert_eq!(inside(xml, "subnetId").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(inside(xml, "none").next(), None);
    }
}
