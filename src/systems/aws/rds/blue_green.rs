//! Blue/Green deployments: a copy of an instance or a cluster that follows it, and that RDS puts in its place. Of which kind
//! one is its ARNs say.
//!
//! <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_BlueGreenDeployment.html>

use std::collections::BTreeMap;

use aws_sdk_rds::types::{BlueGreenDeployment, BlueGreenDeploymentTask, Filter, Tag};

use super::server::tags;
use super::{Kind, Source};
use crate::runbook::model::CreateBlueGreen;
use crate::runbook::units::Span;
use crate::systems::aws::{Aws, Service};
use crate::systems::{Certainty, DriverError, Result};

/// Code of the answer when there is no such deployment.
pub const NO_DEPLOYMENT: &str = "BlueGreenDeploymentNotFoundFault";
/// Code of the answer when there is one of this name already.
pub const DEPLOYMENT_EXISTS: &str = "BlueGreenDeploymentAlreadyExistsFault";
/// Code of the answer when a deployment can't be deleted now.
pub const DEPLOYMENT_BUSY: &str = "InvalidBlueGreenDeploymentStateFault";

const GIB: u64 = 1 << 30;

/// How a deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The green one is being made.
    Provisioning,
    /// The green one follows.
    Available,
    /// It is being switched over.
    Switching,
    /// The green one has the place of the blue one.
    Completed,
    /// A switchover was tried, and everything was taken back.
    Failed,
    /// Any other, in the words of RDS.
    Other(String),
}

impl From<&str> for Standing {
    fn from(status: &str) -> Self {
        match status {
            "PROVISIONING" => Self::Provisioning,
            "AVAILABLE" => Self::Available,
            "SWITCHOVER_IN_PROGRESS" => Self::Switching,
            "SWITCHOVER_COMPLETED" => Self::Completed,
            "SWITCHOVER_FAILED" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// What is read of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// `BlueGreenDeploymentIdentifier`, which stays.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The ARN of the blue instance or cluster.
    pub blue: String,
    /// The ARN of the green one; absent while it is made.
    pub green: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// The status in the words of RDS, with what it says about it.
    pub words: String,
    /// What RDS does to make it, and how far each is: `PENDING`, `IN_PROGRESS`, `COMPLETED`, `FAILED`.
    pub tasks: Vec<(String, String)>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Deployment {
    /// Whether it is of an instance or of a cluster; `None` of a global database.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::of_arn(&self.blue)
    }

    /// The identifier of the green one, as it is called now.
    #[must_use]
    pub fn green_identifier(&self) -> Option<&str> {
        self.green.as_deref().and_then(|arn| arn.rsplit(':').next())
    }

    /// What events are about it: itself, and both servers.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        let both = self.green_identifier().into_iter().chain([self.blue_identifier()]);
        let both = both.filter_map(|name| Some(Source::named(self.kind()?, name)));
        both.chain([Source::Deployment(self.id.clone(), self.name.clone())]).collect()
    }

    /// The identifier of the blue one, as it is called now.
    #[must_use]
    pub fn blue_identifier(&self) -> &str {
        self.blue.rsplit(':').next().unwrap_or_default()
    }
}

impl From<BlueGreenDeployment> for Deployment {
    fn from(found: BlueGreenDeployment) -> Self {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (status, details) = (found.status.unwrap_or_default(), some(found.status_details));
        let words = details.as_ref().map_or_else(|| status.clone(), |details| format!("{status}: {details}"));
        let task = |task: BlueGreenDeploymentTask| (task.name.unwrap_or_default(), task.status.unwrap_or_default());
        Self {
            id: found.blue_green_deployment_identifier.unwrap_or_default(),
            name: found.blue_green_deployment_name.unwrap_or_default(),
            blue: found.source.unwrap_or_default(),
            green: some(found.target),
            standing: Standing::from(status.as_str()),
            words: crate::secret::mask(&words),
            tasks: found.tasks.unwrap_or_default().into_iter().map(task).collect(),
            tags: tags(found.tag_list),
        }
    }
}

/// The calls that read a deployment, and servers of this kind.
pub fn reads(kind: Kind) -> impl Iterator<Item = &'static str> {
    let clusters = (kind == Kind::Cluster).then_some("DescribeDBClusters");
    ["DescribeBlueGreenDeployments", "DescribeDBInstances"].into_iter().chain(clusters)
}

/// The deployment of this name; `None` when there is none.
pub async fn deployment_named(aws: &Aws, name: &str) -> Result<Option<Deployment>> {
    let found = read(aws, "blue-green-deployment-name", name).await?;
    Ok(found.into_iter().find(|one| one.name == name))
}

/// The deployment with this identifier; `None` when it is gone.
pub async fn deployment(aws: &Aws, id: &str) -> Result<Option<Deployment>> {
    match read(aws, "blue-green-deployment-identifier", id).await {
        Ok(found) => Ok(found.into_iter().find(|one| one.id == id)),
        Err(error) if error.is_code(NO_DEPLOYMENT) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read(aws: &Aws, filter: &str, value: &str) -> Result<Vec<Deployment>> {
    let filter = Filter::builder().name(filter).values(value).build();
    let ask = || aws.rds().describe_blue_green_deployments().filters(filter.clone()).send();
    let answer = aws.read(Service::Rds, &format!("read the Blue/Green deployment {value}"), ask).await?;
    Ok(answer.blue_green_deployments.unwrap_or_default().into_iter().map(Deployment::from).collect())
}

/// Kind and identifier of the green one of the deployment of this name. When there is none the error has the code
/// [`NO_DEPLOYMENT`].
pub async fn green(aws: &Aws, name: &str) -> Result<(Kind, String)> {
    let what = format!("read the Blue/Green deployment {name}");
    let refused = |reason: String| DriverError::new(aws.system(), &what, reason, Certainty::Refused);
    let Some(found) = deployment_named(aws, name).await? else {
        let mut error = refused("there is none of this name".to_owned());
        error.code = Some(NO_DEPLOYMENT.to_owned());
        return Err(error.with_hint(MAKE_IT.replace("NAME", name)));
    };
    match (found.kind(), found.green_identifier()) {
        (Some(kind), Some(identifier)) => Ok((kind, identifier.to_owned())),
        (Some(kind), None) => Err(refused(format!("it has no green {} yet: it is {}", kind.word(), found.words))
            .with_hint("wait until `aws rds describe-blue-green-deployments` shows AVAILABLE")),
        (None, _) => Err(refused(format!("it is of {}, neither an instance nor a cluster", found.blue))
            .with_hint("a global database is not switched over here")),
    }
}

/// Begins to make one of the server with this ARN, with one tag. Of a cluster the group is that of the cluster; class and
/// storage can't be given (the parameters' descriptions in the reference).
/// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateBlueGreenDeployment.html>
pub async fn create_deployment(
    aws: &Aws,
    name: &str,
    source: &str,
    spec: &CreateBlueGreen,
    tag: (&str, &str),
) -> Result<()> {
    let tag = Tag::builder().key(tag.0).value(tag.1).build();
    let number = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let (of_cluster, of_instances) = spec.groups(Kind::of_arn(source));
    let ask = || {
        let call = aws.rds().create_blue_green_deployment().blue_green_deployment_name(name).source(source);
        let call = call.tags(tag.clone()).set_target_engine_version(spec.engine_version.clone());
        let call = call.set_target_db_instance_class(spec.class.clone());
        let call = call.set_target_db_cluster_parameter_group_name(of_cluster.cloned());
        let call = call.set_target_db_parameter_group_name(of_instances.cloned());
        let call = call.set_target_allocated_storage(spec.storage.map(|size| number(size.0 / GIB)));
        let call = call.set_target_storage_type(spec.storage_type.clone());
        let call = call.set_target_iops(spec.iops.map(|iops| number(iops.into())));
        call.set_target_storage_throughput(spec.throughput.map(|mib| number(mib.into()))).send()
    };
    aws.write(Service::Rds, &format!("make the Blue/Green deployment {name}"), ask).await.map(drop)
}

impl CreateBlueGreen {
    /// The parameter groups of the green one: that of the cluster, and that of instances.
    #[must_use]
    pub fn groups(&self, kind: Option<Kind>) -> (Option<&String>, Option<&String>) {
        match kind {
            Some(Kind::Cluster) => (self.parameter_group.as_ref(), self.instance_parameter_group.as_ref()),
            _ => (None, self.parameter_group.as_ref()),
        }
    }
}

/// How a person makes one.
const MAKE_IT: &str = "make it before, by the step `create-blue-green` in a runbook of its own, or by hand, and wait until it \
                       is AVAILABLE: aws rds create-blue-green-deployment --blue-green-deployment-name NAME --source \
                       ARN-OF-THE-BLUE-ONE";

/// Puts the green one in the place of the blue one. RDS takes everything back when that lasts longer than `limit`.
pub async fn switch_over(aws: &Aws, id: &str, limit: Span) -> Result<()> {
    let seconds = i32::try_from(limit.0.as_secs()).unwrap_or(i32::MAX);
    let ask = || {
        let call = aws.rds().switchover_blue_green_deployment().blue_green_deployment_identifier(id);
        call.switchover_timeout(seconds).send()
    };
    aws.write(Service::Rds, &format!("switch over the Blue/Green deployment {id}"), ask).await.map(drop)
}

/// Deletes the record of a deployment; both servers stay.
pub async fn delete_deployment(aws: &Aws, id: &str) -> Result<()> {
    let ask = || aws.rds().delete_blue_green_deployment().blue_green_deployment_identifier(id).send();
    aws.write(Service::Rds, &format!("delete the Blue/Green deployment {id}"), ask).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_the_words_of_rds_and_the_names_of_now() {
        let found =
            BlueGreenDeployment::builder().blue_green_deployment_identifier("bgd-1").status("SWITCHOVER_FAILED");
        let found = found.status_details("replica lag").source("arn:aws:rds:eu-west-1:1:db:orders").build();
        let read = Deployment::from(found);
        assert_eq!((read.standing.clone(), read.words.as_str()), (Standing::Failed, "SWITCHOVER_FAILED: replica lag"));
        assert_eq!((read.blue_identifier(), read.green_identifier()), ("orders", None));
        assert!(read.tasks.is_empty() && read.tags.is_empty());
        assert_eq!(Standing::from("DELETING"), Standing::Other("DELETING".into()));
        let sources = read.sources();
        assert_eq!(sources.first(), Some(&Source::Instance("orders".into())), "{sources:?}");
    }

    #[test]
    fn its_arns_say_whether_it_is_of_a_cluster() {
        let of = |kind: &str| {
            let arn = |name: &str| format!("arn:aws:rds:eu-west-1:1:{kind}:{name}");
            let found = BlueGreenDeployment::builder().source(arn("orders")).target(arn("orders-green-abc123"));
            Deployment::from(found.build())
        };
        assert_eq!((of("db").kind(), of("cluster").kind()), (Some(Kind::Instance), Some(Kind::Cluster)));
        assert_eq!(of("cluster").sources()[0], Source::Cluster("orders-green-abc123".into()));
        assert_eq!((of("global-cluster").kind(), of("global-cluster").sources().len()), (None, 1));
    }
}
