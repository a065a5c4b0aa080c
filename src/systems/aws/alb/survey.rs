//! What the preflight reads of a load balancer: what there is, what belongs together, and who else writes it.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::TargetGroup;
use serde::{Deserialize, Serialize};

use super::health::{self, Health};
use super::routes::{self, State};
use crate::runbook::model::Alb as Spec;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// What was read of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AlbSurvey {
    /// Its routes; why they can't be read.
    pub state: Option<State>,
    /// Why the routes can't be read.
    pub unread: Option<String>,
    /// The group that traffic leaves, then the one that it moves to; absent when there is none.
    pub groups: [Option<GroupSurvey>; 2],
    /// Tags by ARN: of listeners, rules, groups.
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Services of ECS that write rules themselves, and have one of the groups; absent when that could not be asked.
    pub writers: Option<Vec<String>>,
}

/// What was read of a target group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupSurvey {
    /// Its ARN.
    pub arn: String,
    /// Load balancers that it is attached to.
    pub balancers: Vec<String>,
    /// Its network.
    pub vpc: Option<String>,
    /// Its protocol.
    pub protocol: Option<String>,
    /// Its targets.
    pub health: Health,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

impl GroupSurvey {
    /// An attribute as a number.
    #[must_use]
    pub fn seconds(&self, key: &str) -> Option<u64> {
        self.attributes.get(key)?.parse().ok()
    }

    /// Whether an attribute is on.
    #[must_use]
    pub fn is_on(&self, key: &str) -> bool {
        self.attributes.get(key).is_some_and(|value| value == "true")
    }
}

/// Reads a load balancer. What is not there is told, not an error; what can't be asked is one.
pub async fn read(aws: &Aws, spec: &Spec) -> Result<AlbSurvey> {
    let mut survey = AlbSurvey::default();
    match routes::read(aws, &spec.listeners, &spec.rules).await {
        Ok(state) => survey.state = Some(state),
        Err(error) if error.code.as_deref().is_none_or(|code| code.ends_with("NotFound")) => {
            survey.unread = Some(format!("{}: {}", error.what, error.reason));
        }
        Err(error) => return Err(error),
    }
    survey.groups = [group(aws, &spec.from).await?, group(aws, &spec.to).await?];
    let mut arns: Vec<String> = spec.listeners.iter().chain(&spec.rules).cloned().collect();
    arns.extend(survey.groups.iter().flatten().map(|group| group.arn.clone()));
    survey.tags = tags(aws, &arns).await.unwrap_or_default();
    survey.writers = writers(aws, spec).await.ok();
    Ok(survey)
}

async fn group(aws: &Aws, arn: &str) -> Result<Option<GroupSurvey>> {
    let what = format!("read group {}", routes::short(arn));
    let send = || aws.elbv2().describe_target_groups().target_group_arns(arn).send();
    let found = match aws.read(Service::Elbv2, &what, send).await {
        Ok(answer) => answer.target_groups.unwrap_or_default().into_iter().next(),
        Err(error) if error.is_code("TargetGroupNotFound") => None,
        Err(error) => return Err(error),
    };
    let Some(found) = found else { return Ok(None) };
    let send = || aws.elbv2().describe_target_group_attributes().target_group_arn(arn).send();
    let attributes = aws.read(Service::Elbv2, &what, send).await?.attributes.unwrap_or_default();
    let attributes = attributes.into_iter().filter_map(|one| Some((one.key?, one.value?))).collect();
    Ok(Some(surveyed(arn, &found, health::read(aws, arn).await?, attributes)))
}

fn surveyed(arn: &str, found: &TargetGroup, health: Health, attributes: BTreeMap<String, String>) -> GroupSurvey {
    GroupSurvey {
        arn: arn.to_owned(),
        balancers: found.load_balancer_arns().to_vec(),
        vpc: found.vpc_id.clone(),
        protocol: found.protocol.as_ref().map(|protocol| protocol.as_str().to_owned()),
        health,
        attributes,
    }
}

async fn tags(aws: &Aws, arns: &[String]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut all = BTreeMap::new();
    // AWS takes twenty at a time.
    for some in arns.chunks(20) {
        let send = || aws.elbv2().describe_tags().set_resource_arns(Some(some.to_vec())).send();
        let answer = aws.read(Service::Elbv2, "read the tags", send).await?;
        for told in answer.tag_descriptions.unwrap_or_default() {
            let tags = told.tags.unwrap_or_default().into_iter();
            let tags = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect();
            all.insert(told.resource_arn.unwrap_or_default(), tags);
        }
    }
    Ok(all)
}

/// Services are looked through as far as this; one that has more has other ways to know.
const CLUSTERS: usize = 10;
const SERVICES: usize = 200;

/// Services that shift traffic themselves between our groups: by ECS's own strategies, or by CodeDeploy.
async fn writers(aws: &Aws, spec: &Spec) -> Result<Vec<String>> {
    let clusters = aws.read(Service::Ecs, "list the clusters", || aws.ecs().list_clusters().send()).await?;
    let mut found = Vec::new();
    for cluster in clusters.cluster_arns.unwrap_or_default().into_iter().take(CLUSTERS) {
        let mut services: Vec<String> = Vec::new();
        let mut token: Option<String> = None;
        while services.len() < SERVICES {
            let send =
                || aws.ecs().list_services().cluster(&cluster).max_results(100).set_next_token(token.clone()).send();
            let page = aws.read(Service::Ecs, "list the services", send).await?;
            services.extend(page.service_arns.unwrap_or_default());
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        for some in services.chunks(10) {
            let send = || aws.ecs().describe_services().cluster(&cluster).set_services(Some(some.to_vec())).send();
            let told = aws.read(Service::Ecs, "read the services", send).await?.services.unwrap_or_default();
            found.extend(
                told.iter().filter(|service| shifts(service, spec)).filter_map(|service| service.service_name.clone()),
            );
        }
    }
    Ok(found)
}

fn shifts(service: &aws_sdk_ecs::types::Service, spec: &Spec) -> bool {
    let ours = [Some(spec.from.as_str()), Some(spec.to.as_str())];
    let has_ours = service.load_balancers().iter().any(|balancer| ours.contains(&balancer.target_group_arn.as_deref()));
    let strategy = service.deployment_configuration.as_ref().and_then(|config| config.strategy.as_ref());
    let native = strategy.is_some_and(|strategy| strategy.as_str() != "ROLLING");
    let controller = service.deployment_controller.as_ref().map(|controller| controller.r#type.as_str());
    has_ours && (native || controller == Some("CODE_DEPLOY"))
}
