//! AWS before a sandbox that has databases: the load balancer in the place of HAProxy, and a secret and a record that say
//! where the database is.

use std::{collections::BTreeMap, path::Path};

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};

use super::super::{Age, Servers};
use super::{
    Balancer, Cloud, NewBalancer, Plane, SandboxError, StartPlane,
    sdk::{failed, sdk_config, wanted},
};

/// Where the application's database is said to be.
const SECRET: &str = "shop/database";
const DOMAIN: &str = "shop.internal";
const TTL_SECONDS: i64 = 5;

/// AWS before a sandbox. Dropping it ends it.
#[derive(Debug)]
pub struct Front {
    /// The emulators.
    pub cloud: Cloud,
    /// The load balancer as the emulator has it.
    pub balancer: Balancer,
    /// The node that carries its traffic.
    pub plane: Plane,
    zone: String,
    door: u16,
}

impl Front {
    /// Starts it before two application instances, with a secret and a record that lead to what the application connects
    /// to: a port of 127.0.0.1.
    ///
    /// # Errors
    /// When a program is missing or does not start.
    pub async fn start(root: &Path, apps: (u16, u16), door: u16) -> Result<Self, SandboxError> {
        let cloud = Cloud::start(root).await?;
        let balancer = Balancer::create(&cloud, &NewBalancer::default(), apps.0, apps.1).await?;
        let program = Servers::find().haproxy(Age::New)?.clone();
        let plane = Plane::start(StartPlane::before(&cloud, &balancer, root, program)).await?;
        create_secret(&cloud, door).await?;
        let zone = create_zone(&cloud).await?;
        Ok(Self { cloud, balancer, plane, zone, door })
    }

    /// What a runbook finds in its environment.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.cloud.env();
        env.extend(self.balancer.env());
        let urls = self.plane.urls().into_iter();
        env.extend(urls.take(1).map(|url| ("WEB_URL".to_owned(), url)));
        let named = [
            ("SECRET", SECRET),
            ("ZONE", &self.zone),
            ("RECORD", &format!("db.{DOMAIN}")),
            ("DOOR", &format!("127.0.0.1:{}", self.door)),
        ];
        env.extend(named.map(|(name, value)| (name.to_owned(), value.to_owned())));
        env
    }

    /// When this process ends it stays, with the weights as they are then: nobody follows the emulator any more.
    pub fn leave_running(&mut self) {
        self.cloud.leave_running();
        self.plane.leave_running();
    }
}

async fn create_secret(cloud: &Cloud, port: u16) -> Result<(), SandboxError> {
    let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&cloud.ministack()));
    let text = serde_json::json!({ "username": "app", "host": "127.0.0.1", "port": port, "dbname": "shop" });
    let request = client.create_secret().name(SECRET).secret_string(text.to_string());
    request.send().await.map_err(failed("create a secret"))?;
    Ok(())
}

/// A zone with a record that leads to the name of the same.
async fn create_zone(cloud: &Cloud) -> Result<String, SandboxError> {
    let doing = "create a zone";
    let client = aws_sdk_route53::Client::new(&sdk_config(&cloud.ministack()));
    let made =
        client.create_hosted_zone().name(DOMAIN).caller_reference("sandbox").send().await.map_err(failed(doing))?;
    let zone = wanted(doing, made.hosted_zone())?.id().trim_start_matches("/hostedzone/").to_owned();
    let value = ResourceRecord::builder().value(format!("pool.{DOMAIN}")).build().map_err(failed(doing))?;
    let record = ResourceRecordSet::builder().name(format!("db.{DOMAIN}")).r#type(RrType::Cname).ttl(TTL_SECONDS);
    let record = record.resource_records(value).build().map_err(failed(doing))?;
    let change = Change::builder().action(ChangeAction::Create).resource_record_set(record);
    let batch =
        ChangeBatch::builder().changes(change.build().map_err(failed(doing))?).build().map_err(failed(doing))?;
    let request = client.change_resource_record_sets().hosted_zone_id(&zone).change_batch(batch);
    request.send().await.map_err(failed("create a record"))?;
    Ok(zone)
}
