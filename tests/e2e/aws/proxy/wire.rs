//! What a request asks for, and how AWS says no: each service has its own protocol, and the SDK decides by its code.

use serde_json::{Map, Value, json};

use super::http::{Reply, Request};

/// How a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A form in, XML out: `elasticloadbalancing`, `rds`, `sts`, `iam`.
    Query,
    /// The same, with refusals and codes of its own: `ec2` (API reference, "Error codes for the Amazon EC2 API").
    Ec2,
    /// JSON both ways: `ecs`, `ssm`, `secretsmanager`, `servicediscovery`, `dms`.
    Json,
    /// Paths and XML: `route53`.
    Rest,
    /// CBOR both ways: `monitoring`, which is CloudWatch.
    Cbor,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The name that it is signed for.
    pub service: String,
    pub action: String,
    pub protocol: Protocol,
    /// The form's fields, the JSON body, or `{path, body}`; null for CBOR.
    pub parameters: Value,
}

/// Reads it from the signature's scope and the protocol's own place.
pub fn asked(request: &Request) -> Asked {
    let signed = request.header("authorization").unwrap_or_default();
    let scope = signed.split("Credential=").nth(1).unwrap_or_default().split(',').next().unwrap_or_default();
    let service = scope.split('/').nth(3).unwrap_or("unsigned").to_owned();
    if let Some((_, action)) = request.target.split_once("/operation/") {
        return Asked { service, action: action.to_owned(), protocol: Protocol::Cbor, parameters: Value::Null };
    }
    if let Some(target) = request.header("x-amz-target") {
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        let parameters = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        return Asked { service, action, protocol: Protocol::Json, parameters };
    }
    if service == "route53" {
        let parameters = json!({ "path": request.target, "body": request.text() });
        return Asked { service, action: route53(request).to_owned(), protocol: Protocol::Rest, parameters };
    }
    let form = form(&request.text());
    let action = form.get("Action").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let protocol = if service == "ec2" { Protocol::Ec2 } else { Protocol::Query };
    Asked { service, action, protocol, parameters: Value::Object(form) }
}

fn form(text: &str) -> Map<String, Value> {
    url::form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect()
}

fn route53(request: &Request) -> &'static str {
    let path = request.target.split('?').next().unwrap_or_default().trim_end_matches('/');
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["hostedzone", _, "rrset"]) => "ChangeResourceRecordSets",
        ("GET", ["hostedzone", _, "rrset"]) => "ListResourceRecordSets",
        ("GET", ["hostedzone", _]) => "GetHostedZone",
        ("GET", ["hostedzone"]) => "ListHostedZones",
        ("GET", ["hostedzonesbyname"]) => "ListHostedZonesByName",
        ("GET", ["change", _]) => "GetChange",
        ("GET", ["healthcheck", _]) => "GetHealthCheck",
        ("GET", ["healthcheck", _, "status"]) => "GetHealthCheckStatus",
        ("POST", ["hostedzone"]) => "CreateHostedZone",
        _ => "unknown",
    }
}

/// Too many calls. The SDK repeats it.
pub fn throttled(protocol: Protocol) -> Reply {
    match protocol {
        Protocol::Query | Protocol::Rest => refusal(protocol, 400, "Throttling", "Rate exceeded"),
        Protocol::Ec2 => refusal(protocol, 503, "RequestLimitExceeded", "Request limit exceeded."),
        Protocol::Json | Protocol::Cbor => refusal(protocol, 400, "ThrottlingException", "Rate exceeded"),
    }
}

/// Credentials that were good are so no longer.
pub fn expired(protocol: Protocol) -> Reply {
    let message = "The security token included in the request is expired";
    match protocol {
        Protocol::Query | Protocol::Rest => refusal(protocol, 403, "ExpiredToken", message),
        Protocol::Ec2 => refusal(protocol, 400, "RequestExpired", "Request has expired."),
        Protocol::Json | Protocol::Cbor => refusal(protocol, 400, "ExpiredTokenException", message),
    }
}

/// No permission for the action.
pub fn denied(protocol: Protocol, service: &str, action: &str) -> Reply {
    let message = format!("User: arn:aws:iam::123456789012:user/run is not authorized to perform: {service}:{action}");
    match protocol {
        Protocol::Query | Protocol::Rest => refusal(protocol, 403, "AccessDenied", &message),
        Protocol::Ec2 => refusal(protocol, 403, "UnauthorizedOperation", &message),
        Protocol::Json | Protocol::Cbor => refusal(protocol, 400, "AccessDeniedException", &message),
    }
}

/// AWS itself fails. The SDK repeats it.
pub fn failed(protocol: Protocol, status: u16) -> Reply {
    refusal(protocol, status, "InternalFailure", "An internal error has occurred.")
}

/// A refusal in the protocol's shape.
pub fn refusal(protocol: Protocol, status: u16, code: &str, message: &str) -> Reply {
    match protocol {
        Protocol::Query | Protocol::Rest => {
            let body = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
            );
            Reply::new(status, "text/xml", body)
        }
        Protocol::Ec2 => {
            let body = format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
                 <RequestID>00000000-0000-4000-8000-000000000000</RequestID></Response>"
            );
            Reply::new(status, "text/xml", body)
        }
        Protocol::Json => {
            let body = json!({ "__type": code, "message": message }).to_string();
            Reply::new(status, "application/x-amz-json-1.1", body)
        }
        Protocol::Cbor => {
            let mut body = vec![0xa2];
            for text in ["__type", code, "message", message] {
                cbor_text(&mut body, text);
            }
            let mut reply = Reply::new(status, "application/cbor", body);
            reply.headers.push(("smithy-protocol".into(), "rpc-v2-cbor".into()));
            reply
        }
    }
}

/// A text of up to 65,535 bytes (RFC 8949, major type 3).
fn cbor_text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap();
    body.push(0x79);
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}
