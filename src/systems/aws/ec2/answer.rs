//! What EC2 answers, read out of its XML.

use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};

use super::{Peer, Rule, SecurityGroup};

const END: &str = "</DescribeSecurityGroupsResponse>";

type Read<T> = Result<T, XmlDecodeError>;

/// The groups of an answer, and the token of the next page.
pub(super) fn document(text: &str) -> Result<(Vec<SecurityGroup>, Option<String>), String> {
    // Half a list would be taken for the whole one.
    if !text.trim_end().ends_with(END) {
        return Err("the answer is not a whole list of security groups".to_owned());
    }
    page(text).map_err(|error| format!("the answer could not be read: {error}"))
}

fn page(text: &str) -> Read<(Vec<SecurityGroup>, Option<String>)> {
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    let (mut groups, mut next) = (Vec::new(), None);
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            "securityGroupInfo" => groups = items(tag, group)?,
            "nextToken" => next = Some(try_data(&mut tag)?.into_owned()).filter(|token| !token.is_empty()),
            _ => {}
        }
    }
    Ok((groups, next))
}

fn items<T>(mut list: ScopedDecoder<'_, '_>, read: impl Fn(ScopedDecoder<'_, '_>) -> Read<T>) -> Read<Vec<T>> {
    let mut all = Vec::new();
    while let Some(tag) = list.next_tag() {
        if tag.start_el().matches("item") {
            all.push(read(tag)?);
        }
    }
    Ok(all)
}

fn group(mut item: ScopedDecoder<'_, '_>) -> Read<SecurityGroup> {
    let mut group = SecurityGroup::default();
    while let Some(mut tag) = item.next_tag() {
        match tag.start_el().local() {
            "groupId" => group.id = try_data(&mut tag)?.into_owned(),
            "ipPermissions" => group.rules = items(tag, rule)?,
            _ => {}
        }
    }
    Ok(group)
}

fn rule(mut item: ScopedDecoder<'_, '_>) -> Read<Rule> {
    let mut rule = Rule::default();
    while let Some(mut tag) = item.next_tag() {
        match tag.start_el().local() {
            "ipProtocol" => rule.protocol = try_data(&mut tag)?.into_owned(),
            "fromPort" => rule.ports.0 = number(&mut tag)?,
            "toPort" => rule.ports.1 = number(&mut tag)?,
            "groups" => rule.from.extend(named(tag, "groupId", Peer::Group)?),
            "ipRanges" => rule.from.extend(named(tag, "cidrIp", Peer::Addresses)?),
            "ipv6Ranges" => rule.from.extend(named(tag, "cidrIpv6", Peer::Addresses)?),
            "prefixListIds" => rule.from.extend(named(tag, "prefixListId", Peer::List)?),
            _ => {}
        }
    }
    Ok(rule)
}

fn number(tag: &mut ScopedDecoder<'_, '_>) -> Read<Option<i32>> {
    let text = try_data(tag)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| XmlDecodeError::custom(format!("{text} is no port")))
}

/// The one text of each item that counts here.
fn named(list: ScopedDecoder<'_, '_>, name: &str, of: fn(String) -> Peer) -> Read<Vec<Peer>> {
    let texts = items(list, |mut item| {
        let mut found = None;
        while let Some(mut tag) = item.next_tag() {
            if tag.start_el().matches(name) {
                found = Some(try_data(&mut tag)?.into_owned());
            }
        }
        Ok(found)
    })?;
    Ok(texts.into_iter().flatten().map(of).collect())
}

/// `Response/Errors/Error`, or `ErrorResponse/Error`, which what stands before EC2 answers; its code and message.
pub(super) fn refusal(text: &str) -> ErrorMetadata {
    refused(text).unwrap_or_else(|_| ErrorMetadata::builder().build())
}

fn refused(text: &str) -> Read<ErrorMetadata> {
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    let mut told = ErrorMetadata::builder();
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            "Errors" => {
                while let Some(error) = tag.next_tag() {
                    told = code(error, told)?;
                }
            }
            "Error" => told = code(tag, told)?,
            _ => {}
        }
    }
    Ok(told.build())
}

fn code(
    mut error: ScopedDecoder<'_, '_>,
    mut told: aws_smithy_types::error::metadata::Builder,
) -> Read<aws_smithy_types::error::metadata::Builder> {
    while let Some(mut tag) = error.next_tag() {
        match tag.start_el().local() {
            "Code" => told = told.code(try_data(&mut tag)?),
            "Message" => told = told.message(try_data(&mut tag)?),
            _ => {}
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the example of the API reference, with one rule of each kind.
    const ANSWER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeSecurityGroupsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
 <securityGroupInfo><item><ownerId>1</ownerId><groupId>sg-1</groupId><groupName>db &amp; co</groupName><vpcId>vpc-1</vpcId>
  <ipPermissions>
   <item><ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort><toPort>5433</toPort>
    <groups><item><userId>1</userId><groupId>sg-app</groupId></item></groups><ipRanges><item><cidrIp>10.0.0.0/16</cidrIp>
    <description>office</description></item></ipRanges><ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>
    <prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds></item>
   <item><ipProtocol>-1</ipProtocol><groups/><ipRanges/><ipv6Ranges/><prefixListIds/></item>
  </ipPermissions>
  <ipPermissionsEgress><item><ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>
  </ipPermissionsEgress></item></securityGroupInfo><nextToken>more</nextToken></DescribeSecurityGroupsResponse>
"#;

    #[test]
    fn inbound_rules_are_read_and_outbound_ones_are_not() {
        let (groups, next) = document(ANSWER).unwrap();
        assert_eq!(next.as_deref(), Some("more"));
        let [group] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((group.id.as_str(), group.rules.len()), ("sg-1", 2));
        let from = vec![
            Peer::Group("sg-app".into()),
            Peer::Addresses("10.0.0.0/16".into()),
            Peer::Addresses("::/0".into()),
            Peer::List("pl-1".into()),
        ];
        assert_eq!(group.rules[0], Rule { protocol: "tcp".into(), ports: (Some(5432), Some(5433)), from });
        assert_eq!(group.rules[1], Rule { protocol: "-1".into(), ports: (None, None), from: Vec::new() });
    }

    #[test]
    fn half_an_answer_and_another_ones_are_none() {
        for cut in [0, 10, ANSWER.len() / 2, ANSWER.len() - 5] {
            assert!(document(&ANSWER[..cut]).is_err(), "{cut}");
        }
        assert!(document("<html>hello</html>").is_err());
        let broken = ANSWER.replace("<fromPort>5432", "<fromPort>soon");
        assert!(document(&broken).unwrap_err().contains("soon is no port"));
    }

    #[test]
    fn a_refusal_has_its_code_in_either_shape() {
        let of = |text: &str| refusal(text).code().unwrap_or("none").to_owned();
        let own = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors>\
                   <RequestID>r</RequestID></Response>";
        assert_eq!(of(own), "UnauthorizedOperation");
        let other = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>";
        assert_eq!((of(other), of("nonsense")), ("Throttling".into(), "none".into()));
    }
}
