//! The preflight of a server of RDS: what it finds is mended by the very calls that it names, one after the other.
//!
//! Rests on the overlay of RDS, which is our belief about AWS. Behind the instance is the sandbox's real target.

use std::sync::Arc;

use aws_sdk_rds::{Client, types::ApplyMethod};
use pointsman::sandbox::{
    DATABASE,
    aws::{Cloud, sdk_config},
};
use serde_json::Value;

use super::{overlay::rds::Rds, proxy::Proxy};
use crate::cutover::support::{Scene, WINDOW};

struct Stage {
    scene: Scene,
    proxy: Proxy,
    rds: Client,
    _cloud: Cloud,
}

impl Stage {
    async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut scene = Scene::new().await;
        let cloud = Cloud::start(scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        let overlay = Arc::new(Rds::default());
        proxy.overlay(overlay.clone());
        let env: std::collections::BTreeMap<String, String> = scene.env().into_iter().collect();
        let url = url::Url::parse(&env["TARGET_URL"]).unwrap();
        overlay.serves("orders-prod", Arc::new(url.port().unwrap()));
        let password = percent_encoding::percent_decode_str(url.password().unwrap_or_default()).decode_utf8_lossy();
        scene.add_env([("TARGET_PASSWORD".into(), password.into_owned()), ("TARGET_URL".into(), "unused".into())]);
        scene.add_env(Cloud::env_through(&proxy.url()));
        scene.write(&["preflight", "replicate: { from: source, to: target, timeout: 2m }", WINDOW]);
        let text = std::fs::read_to_string(&scene.runbook).unwrap();
        let named = format!(
            "target: {{ postgres: {{ rds: orders-rds, user: {}, password: \"${{env:TARGET_PASSWORD}}\", database: {DATABASE} }} }}\n  \
             orders-rds: {{ rds: {{ instance: orders-prod }} }}",
            url.username()
        );
        let text = text.replacen("target: { postgres: { url: \"${env:TARGET_URL}\" } }", &named, 1);
        std::fs::write(&scene.runbook, text).unwrap();
        let rds = Client::new(&sdk_config(&proxy.url()));
        let group = rds.create_db_parameter_group().db_parameter_group_name("orders-18");
        group.db_parameter_group_family("postgres18").description("ours").send().await.unwrap();
        let made = rds.create_db_instance().db_instance_identifier("orders-prod").db_instance_class("db.t4g.large");
        let made = made.engine("postgres").engine_version("18.1").allocated_storage(100).backup_retention_period(7);
        let made =
            made.db_parameter_group_name("orders-18").master_username("admin_1").preferred_backup_window("03:00-03:30");
        made.master_user_password("not a secret").send().await.unwrap();
        let stage = Self { scene, proxy, rds, _cloud: cloud };
        stage.settled().await;
        stage
    }

    async fn settled(&self) {
        let look = || self.rds.describe_db_instances().db_instance_identifier("orders-prod").send();
        while look().await.unwrap().db_instances()[0].db_instance_status() != Some("available") {}
    }

    /// What `check` finds of RDS, by id.
    async fn check(&self, code: i32) -> std::collections::BTreeMap<String, Value> {
        self.proxy.forget();
        let called = self.scene.must(code, &["check", self.scene.runbook.to_str().unwrap(), "--output", "json"]).await;
        assert!(self.proxy.writes().is_empty(), "check changes nothing: {:?}", self.proxy.writes());
        let told: Value = serde_json::from_str(&called.out).unwrap();
        let found = told["findings"].as_array().unwrap().iter();
        let ours = found.filter(|finding| finding["system"] == "orders-rds");
        ours.map(|finding| (finding["id"].as_str().unwrap().to_owned(), finding.clone())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_preflight_finds_is_mended_by_what_it_names() {
    let stage = Stage::new().await;
    let found = stage.check(3).await;
    let of = |id: &str| (found[id]["level"].as_str().unwrap().to_owned(), found[id]["mend"].to_string());
    let (level, mend) = of("rds-parameters");
    assert_eq!(level, "fail", "{found:#?}");
    assert!(mend.contains("--db-parameter-group-name orders-18"), "{mend}");
    assert!(
        mend.contains("ParameterName=rds.logical_replication,ParameterValue=1,ApplyMethod=pending-reboot"),
        "{mend}"
    );
    assert_eq!((of("rds-class").0.as_str(), of("rds-tls").0.as_str()), ("warn", "warn"));
    let (level, mend) = of("rds-protection");
    assert!(level == "warn" && mend.contains("--db-instance-identifier orders-prod --deletion-protection"), "{mend}");
    assert_eq!((of("rds-storage").0.as_str(), of("rds-backups").0.as_str()), ("pass", "pass"));
    assert_eq!(of("rds-unread").0, "pass", "{found:#?}");

    // The parameter is set; until the reboot it is not in force, whatever the group says.
    let parameter = aws_sdk_rds::types::Parameter::builder().parameter_name("rds.logical_replication");
    let parameter = parameter.parameter_value("1").apply_method(ApplyMethod::PendingReboot).build();
    let set = stage.rds.modify_db_parameter_group().db_parameter_group_name("orders-18").parameters(parameter);
    set.send().await.unwrap();
    let found = stage.check(3).await;
    let waits = &found["rds-parameters"];
    assert_eq!(waits["level"], "fail", "{waits:#}");
    assert!(
        waits["mend"][0]
            .as_str()
            .unwrap()
            .starts_with("aws rds reboot-db-instance --db-instance-identifier orders-prod")
    );
    assert_eq!(found["rds-parameter-status"]["level"], "warn");

    stage.rds.reboot_db_instance().db_instance_identifier("orders-prod").send().await.unwrap();
    stage.settled().await;
    let found = stage.check(0).await;
    assert_eq!(found["rds-parameters"]["level"], "pass", "{found:#?}");
    assert_eq!(found["rds-parameter-status"]["level"], "pass");
}
