//! The actions of a rule as they are journaled, shown and sent: AWS's own spelling, nothing left out. `ModifyRule` and
//! `ModifyListener` replace the whole list, so that what is not sent is lost.

use std::collections::HashMap;

use aws_sdk_elasticloadbalancingv2::types as sdk;
use serde::{Deserialize, Serialize};

/// The kind of action that weights stand in.
pub(super) const FORWARD: &str = "forward";
/// Kinds of action that can be sent back as they were read.
const KNOWN: [&str; 6] =
    ["authenticate-cognito", "authenticate-oidc", "fixed-response", FORWARD, "jwt-validation", "redirect"];

/// The stored form of a type of the SDK: its texts and words, then what is the same in both.
macro_rules! stored {
    ($(#[$doc:meta])* $name:ident = $sdk:ident { $($text:ident),*; $($same:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        #[expect(missing_docs, reason = "the fields are AWS's")]
        pub struct $name {
            $(#[serde(skip_serializing_if = "Option::is_none")]
            pub $text: Option<String>,)*
            $(#[serde(skip_serializing_if = "Option::is_none")]
            pub $same: Option<$type>,)*
        }

        impl $name {
            fn read(from: &sdk::$sdk) -> Self {
                Self {
                    $($text: from.$text.as_ref().map(|text| text.as_str().to_owned()),)*
                    $($same: from.$same.clone(),)*
                }
            }

            fn send(&self) -> sdk::$sdk {
                let mut to = sdk::$sdk::builder().build();
                $(to.$text = self.$text.as_deref().map(Into::into);)*
                $(to.$same = self.$same.clone();)*
                to
            }
        }
    };
}

stored! {
    /// One of the groups that a forward action divides traffic between.
    Group = TargetGroupTuple { target_group_arn; weight: i32 }
}

stored! {
    /// Whether clients stay with the group that they came to first, and for how long.
    Stickiness = TargetGroupStickinessConfig { ; enabled: bool, duration_seconds: i32 }
}

stored! {
    /// Where else clients are sent.
    Redirect = RedirectActionConfig { protocol, port, host, path, query, status_code; }
}

stored! {
    /// An answer of the load balancer's own.
    FixedResponse = FixedResponseActionConfig { message_body, status_code, content_type; }
}

stored! {
    /// A login before anything else. AWS never shows the client's secret: the one that it has is kept.
    Oidc = AuthenticateOidcActionConfig {
        issuer, authorization_endpoint, token_endpoint, user_info_endpoint, client_id, session_cookie_name, scope,
        on_unauthenticated_request;
        session_timeout: i64, authentication_request_extra_params: HashMap<String, String>
    }
}

stored! {
    /// A login with Cognito before anything else.
    Cognito = AuthenticateCognitoActionConfig {
        user_pool_arn, user_pool_client_id, user_pool_domain, session_cookie_name, scope, on_unauthenticated_request;
        session_timeout: i64, authentication_request_extra_params: HashMap<String, String>
    }
}

stored! {
    /// A claim that a token must have.
    Claim = JwtValidationActionAdditionalClaim { format, name; values: Vec<String> }
}

/// Groups with their weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Forward {
    /// The groups.
    pub target_groups: Vec<Group>,
    /// Whether clients stay with a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_group_stickiness_config: Option<Stickiness>,
}

/// A token that is looked at before anything else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields are AWS's")]
pub struct Jwt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_claims: Vec<Claim>,
}

/// One action of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields are AWS's")]
pub struct Action {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_group_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_config: Option<Forward>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_config: Option<Redirect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_response_config: Option<FixedResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticate_oidc_config: Option<Oidc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticate_cognito_config: Option<Cognito>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_validation_config: Option<Jwt>,
}

impl Action {
    /// Reads an action. `Err` names the kind of one that could not be put back as it was.
    pub fn read(from: &sdk::Action) -> Result<Self, String> {
        let kind = from.r#type.as_ref().map_or("", |kind| kind.as_str());
        if !KNOWN.contains(&kind) {
            return Err(kind.to_owned());
        }
        Ok(Self {
            kind: kind.to_owned(),
            order: from.order,
            target_group_arn: from.target_group_arn.clone(),
            forward_config: from.forward_config.as_ref().map(read_forward),
            redirect_config: from.redirect_config.as_ref().map(Redirect::read),
            fixed_response_config: from.fixed_response_config.as_ref().map(FixedResponse::read),
            authenticate_oidc_config: from.authenticate_oidc_config.as_ref().map(Oidc::read),
            authenticate_cognito_config: from.authenticate_cognito_config.as_ref().map(Cognito::read),
            jwt_validation_config: from.jwt_validation_config.as_ref().map(read_jwt),
        })
    }

    /// The action as it is sent.
    #[must_use]
    pub fn send(&self) -> sdk::Action {
        let mut to = sdk::Action::builder().r#type(self.kind.as_str().into()).build();
        to.order = self.order;
        to.target_group_arn.clone_from(&self.target_group_arn);
        to.forward_config = self.forward_config.as_ref().map(send_forward);
        to.redirect_config = self.redirect_config.as_ref().map(Redirect::send);
        to.fixed_response_config = self.fixed_response_config.as_ref().map(FixedResponse::send);
        to.authenticate_oidc_config = self.authenticate_oidc_config.as_ref().map(send_oidc);
        to.authenticate_cognito_config = self.authenticate_cognito_config.as_ref().map(Cognito::send);
        to.jwt_validation_config = self.jwt_validation_config.as_ref().map(send_jwt);
        to
    }
}

fn read_forward(from: &sdk::ForwardActionConfig) -> Forward {
    Forward {
        target_groups: from.target_groups().iter().map(Group::read).collect(),
        target_group_stickiness_config: from.target_group_stickiness_config.as_ref().map(Stickiness::read),
    }
}

fn send_forward(from: &Forward) -> sdk::ForwardActionConfig {
    let mut to = sdk::ForwardActionConfig::builder().build();
    to.target_groups = Some(from.target_groups.iter().map(Group::send).collect());
    to.target_group_stickiness_config = from.target_group_stickiness_config.as_ref().map(Stickiness::send);
    to
}

fn send_oidc(from: &Oidc) -> sdk::AuthenticateOidcActionConfig {
    let mut to = from.send();
    to.use_existing_client_secret = Some(true);
    to
}

fn read_jwt(from: &sdk::JwtValidationActionConfig) -> Jwt {
    Jwt {
        jwks_endpoint: from.jwks_endpoint.clone(),
        issuer: from.issuer.clone(),
        additional_claims: from.additional_claims().iter().map(Claim::read).collect(),
    }
}

fn send_jwt(from: &Jwt) -> sdk::JwtValidationActionConfig {
    let mut to = sdk::JwtValidationActionConfig::builder().build();
    to.jwks_endpoint.clone_from(&from.jwks_endpoint);
    to.issuer.clone_from(&from.issuer);
    to.additional_claims =
        (!from.additional_claims.is_empty()).then(|| from.additional_claims.iter().map(Claim::send).collect());
    to
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_action_comes_back_as_it_was() {
        let stored = json!([
            { "Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {
                "Issuer": "https://id", "AuthorizationEndpoint": "https://id/a", "TokenEndpoint": "https://id/t",
                "UserInfoEndpoint": "https://id/u", "ClientId": "c", "SessionCookieName": "s", "Scope": "openid",
                "OnUnauthenticatedRequest": "authenticate", "SessionTimeout": 604_800,
                "AuthenticationRequestExtraParams": { "display": "page" } } },
            { "Type": "authenticate-cognito", "Order": 2, "AuthenticateCognitoConfig": {
                "UserPoolArn": "arn:p", "UserPoolClientId": "c", "UserPoolDomain": "d", "OnUnauthenticatedRequest": "deny" } },
            { "Type": "jwt-validation", "Order": 3, "JwtValidationConfig": { "JwksEndpoint": "https://k", "Issuer": "i",
                "AdditionalClaims": [{ "Format": "string-array", "Name": "n", "Values": ["v"] }] } },
            { "Type": "redirect", "Order": 4, "RedirectConfig": { "Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301" } },
            { "Type": "fixed-response", "Order": 5, "FixedResponseConfig": { "MessageBody": "b", "StatusCode": "503" } },
            { "Type": "forward", "Order": 6, "TargetGroupArn": "arn:a", "ForwardConfig": {
                "TargetGroups": [{ "TargetGroupArn": "arn:a", "Weight": 1 }],
                "TargetGroupStickinessConfig": { "Enabled": true, "DurationSeconds": 60 } } },
        ]);
        let actions: Vec<Action> = serde_json::from_value(stored.clone()).unwrap();
        let sent: Vec<sdk::Action> = actions.iter().map(Action::send).collect();
        assert_eq!(sent[0].authenticate_oidc_config.as_ref().unwrap().use_existing_client_secret, Some(true));
        let read: Vec<Action> = sent.iter().map(|action| Action::read(action).unwrap()).collect();
        assert_eq!(read, actions);
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    }

    #[test]
    fn an_action_of_an_unknown_kind_is_not_touched() {
        let strange = sdk::Action::builder().r#type("teleport".into()).build();
        assert_eq!(Action::read(&strange), Err("teleport".into()));
    }
}
