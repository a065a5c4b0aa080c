//! A secret: a new version with another host and port in it, and nothing else changed, becomes the current one, if the
//! one that was read still is. The former version stays, and is the way back. What a secret says never leaves this
//! file: versions do.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::content::Content;
use super::ends::ends;
use super::told::{Reach, arn};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::journal::Act;
use crate::preflight::{Check, Finding};
use crate::runbook::model::SecretsManager;
use crate::secret::Secret;
use crate::systems::Result;
use crate::systems::address::Address;
use crate::systems::aws::secrets_manager::{self as driver, CURRENT, OURS, Version};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;

/// A secret that applications read.
pub struct Secrets {
    reach: Reach,
    spec: SecretsManager,
}

impl Secrets {
    pub(super) fn new(world: &World, name: &str, spec: &SecretsManager) -> Self {
        Self { reach: Reach::new(world, name), spec: spec.clone() }
    }

    fn content(&self) -> Content<'_> {
        Content { keys: &self.spec.keys, text: self.spec.text }
    }

    fn ends(&self, route: &Route) -> Result<(Address, Address)> {
        ends(route, self.spec.from.as_deref(), self.spec.to.as_deref())
    }

    async fn leads(&self, aws: &Aws, route: &Route) -> Result<(Version, Leads)> {
        let (from, to) = self.ends(route)?;
        let now = driver::current(aws, &self.spec.secret).await?;
        let leads = self.content().leads(now.text.expose(), &from, &to);
        Ok((now, leads))
    }

    /// Going back: the version that was current before, where nobody has written another one since and it leads there.
    async fn former(&self, errand: &Errand<'_>, aws: &Aws, now: &Version) -> Outcome<Option<String>> {
        let remembered = |key: &str| errand.latest::<String>(&self.reach.name, key);
        let (Some(before), Some(stored)) = (remembered("before")?, remembered("stored")?) else { return Ok(None) };
        if errand.of.act != Act::Undo || stored != now.id {
            return Ok(None);
        }
        let (from, to) = self.ends(errand.route)?;
        let kept = driver::version(aws, &self.spec.secret, &before).await?;
        let leads = |version: &Version| self.content().leads(version.text.expose(), &from, &to) == Leads::To;
        Ok(kept.filter(leads).map(|version| version.id))
    }

    async fn store(&self, errand: &Errand<'_>, aws: &Aws, now: &Version) -> Outcome<String> {
        let name = &self.reach.name;
        let (from, to) = self.ends(errand.route)?;
        let led = self.content().led(now.text.expose(), &from, &to);
        let text = led.map(Secret::new).map_err(|reason| self.reach.refused(reason, "look at the secret by hand"))?;
        let token = errand.token(name, &now.id);
        errand.note(name, "before", now.id.clone())?;
        errand.note(name, "stored", token.clone())?;
        errand.cx.still_mine()?;
        Ok(driver::store(aws, &self.spec.secret, &token, &text).await?)
    }
}

#[async_trait]
impl Endpoint for Secrets {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok((_, to)) = self.ends(route) else { return Vec::new() };
        let id = &self.spec.secret;
        let text = format!("(the same, with {})", self.content().words(&to));
        let call = |operation, parameters| Call::new(Service::SecretsManager, operation, parameters).to_string();
        let read = call("GetSecretValue", json!({ "SecretId": id, "VersionStage": CURRENT }));
        if route.way == Heading::Back {
            let moved = json!({ "SecretId": id, "VersionStage": CURRENT, "MoveToVersionId": "THE FORMER ONE",
                                "RemoveFromVersionId": "OURS" });
            let else_new = "# where somebody has written it since, a new version as on the way there".to_owned();
            return vec![read, call("UpdateSecretVersionStage", moved), else_new];
        }
        vec![
            read,
            call(
                "PutSecretValue",
                json!({ "SecretId": id, "ClientRequestToken": "NEW", "SecretString": text, "VersionStages": [OURS] }),
            ),
            call(
                "UpdateSecretVersionStage",
                json!({ "SecretId": id, "VersionStage": CURRENT, "MoveToVersionId": "NEW",
                        "RemoveFromVersionId": "THE ONE THAT WAS READ" }),
            ),
        ]
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let name = &self.reach.name;
        Some(format!("those that read {name} only when they start follow when they are started again"))
    }

    fn permissions(&self) -> Vec<Permission> {
        let named = self.spec.secret.starts_with("arn:");
        let resource = if named {
            self.spec.secret.clone()
        } else {
            // AWS ends a secret's ARN with six characters of its own.
            arn("secretsmanager", &self.reach.place(), &format!("secret:{}-??????", self.spec.secret))
        };
        ["GetSecretValue", "DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"]
            .map(|operation| Permission::on(Service::SecretsManager, operation, resource.clone()))
            .into()
    }

    async fn findings(&self, route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let (_, leads) = self.leads(&aws, route).await?;
        let check = Check {
            id: "secret-rotation",
            system: &self.reach.name,
            why: "A rotation writes a version of its own, which may come between ours and the way back.",
        };
        let rotation = if driver::rotates(&aws, &self.spec.secret).await? {
            let mend = vec![format!("aws secretsmanager cancel-rotate-secret --secret-id {}", self.spec.secret)];
            check.warn("the secret is rotated by itself", "RotationEnabled is true.", mend)
        } else {
            check.pass("nothing rotates the secret", "RotationEnabled is false.")
        };
        Ok(vec![self.reach.route(&leads), rotation])
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        Ok(self.leads(&aws, errand.route).await?.1)
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let (now, leads) = self.leads(&aws, errand.route).await?;
        if leads != Leads::From {
            return Err(self.reach.refused(format!("it was changed meanwhile ({leads:?})"), "find out who changes it"));
        }
        let next = match self.former(errand, &aws, &now).await? {
            Some(former) => former,
            None => self.store(errand, &aws, &now).await?,
        };
        errand.cx.still_mine()?;
        driver::make_current(&aws, &self.spec.secret, &next, &now.id).await?;
        let (read, leads) = self.leads(&aws, errand.route).await?;
        if leads != Leads::To || read.id != next {
            return Err(self.reach.in_doubt(format!("version {next} was made current, but {} is", read.id)));
        }
        Ok(json!({ "version": next, "before": now.id }) as Value)
    }
}
