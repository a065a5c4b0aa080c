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

use super::{
    overlay::rds::Rds,
    proxy::{Fault, Proxy, at},
};
use crate::cutover::support::{Scene, WINDOW};

struct Stage {
    scene: Scene,
    proxy: Proxy,
    rds: Client,
    /// The instance's security group, which has no rule at first.
    database: String,
    _cloud: Cloud,
}

/// A call to EC2 as a person would make it; gives the text of an element of the answer. The emulator learns the service from
/// the signature's scope, and does not look at the signature.
async fn ec2(proxy: &Proxy, action: &str, fields: &[(&str, &str)], element: &str) -> String {
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", "2016-11-15").extend_pairs(fields);
    let call = client.post(proxy.url()).header("authorization", scope);
    let call = call.header("content-type", "application/x-www-form-urlencoded").body(form.finish());
    let answer = call.send().await.unwrap();
    assert!(answer.status().is_success(), "{action}: {answer:?}");
    let text = answer.text().await.unwrap();
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    text.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(found, _)| found).to_owned()
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
        let database =
            ec2(&proxy, "CreateSecurityGroup", &[("GroupName", "db"), ("GroupDescription", "db")], "groupId").await;
        let made = made.vpc_security_group_ids(&database);
        made.master_user_password("not a secret").send().await.unwrap();
        let stage = Self { scene, proxy, rds, database, _cloud: cloud };
        stage.settled().await;
        stage
    }

    async fn settled(&self) {
        let look = || self.rds.describe_db_instances().db_instance_identifier("orders-prod").send();
        while look().await.unwrap().db_instances()[0].db_instance_status() != Some("available") {}
    }

    /// What replication needs is in force.
    async fn settle_parameters(&self) {
        let parameter = aws_sdk_rds::types::Parameter::builder().parameter_name("rds.logical_replication");
        let parameter = parameter.parameter_value("1").apply_method(ApplyMethod::PendingReboot).build();
        let set = self.rds.modify_db_parameter_group().db_parameter_group_name("orders-18").parameters(parameter);
        set.send().await.unwrap();
        self.rds.reboot_db_instance().db_instance_identifier("orders-prod").send().await.unwrap();
        self.settled().await;
    }

    /// Where the instance listens.
    fn port(&self) -> String {
        self.scene.sandbox.target.port().to_string()
    }

    async fn authorize(&self, rule: &[(&str, String)]) {
        let rule: Vec<(&str, &str)> = rule.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ec2(&self.proxy, "AuthorizeSecurityGroupIngress", &rule, "return").await;
    }

    /// A service whose tasks have this security group, and which the runbook names.
    async fn service(&self, group: &str) {
        use aws_sdk_ecs::types::{AwsVpcConfiguration, ContainerDefinition, NetworkConfiguration, NetworkMode};
        let ecs = aws_sdk_ecs::Client::new(&sdk_config(&self.proxy.url()));
        ecs.create_cluster().cluster_name("shop").send().await.unwrap();
        let container = ContainerDefinition::builder().name("web").image("web").memory(64).build();
        let definition = ecs.register_task_definition().family("web").network_mode(NetworkMode::Awsvpc);
        definition.container_definitions(container).send().await.unwrap();
        let subnet = ec2(&self.proxy, "DescribeSubnets", &[], "subnetId").await;
        let network = AwsVpcConfiguration::builder().subnets(subnet).security_groups(group).build().unwrap();
        let network = NetworkConfiguration::builder().awsvpc_configuration(network).build();
        let create = ecs.create_service().cluster("shop").service_name("web").task_definition("web").desired_count(1);
        create.network_configuration(network).send().await.unwrap();
        let text = std::fs::read_to_string(&self.scene.runbook).unwrap();
        let named = "systems:\n  orders-app: { ecs: { cluster: shop, service: web } }\n";
        std::fs::write(&self.scene.runbook, text.replacen("systems:\n", named, 1)).unwrap();
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
    let rule = [("GroupId", stage.database.clone()), ("IpPermissions.1.IpProtocol", "-1".to_owned())];
    let everybody = ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0".to_owned());
    stage.authorize(&[rule.as_slice(), &[everybody]].concat()).await;
    let found = stage.check(0).await;
    assert_eq!(found["rds-parameters"]["level"], "pass", "{found:#?}");
    assert_eq!(found["rds-parameter-status"]["level"], "pass");
    let open = &found["rds-security-groups"];
    assert_eq!((&open["level"], &open["title"]), (&"warn".into(), &"its security groups let everybody in".into()));
    assert!(open["mend"][0].as_str().unwrap().contains("'IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]'"), "{open:#}");
}

/// Security groups are moto's, read by our own call to EC2; services are moto's too.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_in_is_read_from_the_rules() {
    let stage = Stage::new().await;
    stage.settle_parameters().await;
    let app =
        ec2(&stage.proxy, "CreateSecurityGroup", &[("GroupName", "app"), ("GroupDescription", "app")], "groupId").await;
    stage.service(&app).await;
    let found = stage.check(0).await;
    let groups = &found["rds-security-groups"];
    assert_eq!((&groups["level"], &groups["title"]), (&"warn".into(), &"its security groups let nobody in".into()));

    // An office is let in, and whether the application stands there is not known.
    let port = stage.port();
    let rule = |from: &[(&'static str, String)]| {
        let mut rule = vec![("GroupId", stage.database.clone()), ("IpPermissions.1.IpProtocol", "tcp".to_owned())];
        rule.extend(["IpPermissions.1.FromPort", "IpPermissions.1.ToPort"].map(|name| (name, port.clone())));
        rule.extend(from.iter().cloned());
        rule
    };
    stage.authorize(&rule(&[("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/16".to_owned())])).await;
    stage.proxy.plant(at("ec2", "DescribeSecurityGroups").only(1), Fault::Throttled);
    let found = stage.check(0).await;
    let groups = &found["rds-security-groups"];
    assert_eq!(groups["title"], "it is not known whether its clients are let in", "{groups:#}");
    assert_eq!(stage.proxy.count("ec2", "DescribeSecurityGroups"), 2, "one was throttled");
    let wanted = format!(
        "aws ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port {port} --source-group {app}",
        stage.database
    );
    assert!(groups["mend"][0].as_str().unwrap().starts_with(&wanted), "{groups:#} should have {wanted}");

    // What it names is done.
    stage.authorize(&rule(&[("IpPermissions.1.Groups.1.GroupId", app.clone())])).await;
    let found = stage.check(0).await;
    let groups = &found["rds-security-groups"];
    assert_eq!(groups["level"], "pass", "{groups:#}");
    let detail = groups["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("the service web is let in by {app}")), "{detail}");
    assert!(detail.contains("this machine was let in as target"), "{detail}");

    for (fault, words) in [
        (Fault::Denied, "UnauthorizedOperation: "),
        (Fault::HalfReply, "read the rules of security groups"),
        (
            Fault::Refused(400, "AuthFailure", "AWS was not able to validate the provided access credentials"),
            "AuthFailure",
        ),
    ] {
        stage.proxy.plant(at("ec2", "DescribeSecurityGroups"), fault);
        let found = stage.check(0).await;
        stage.proxy.heal();
        let groups = &found["rds-security-groups"];
        assert_eq!(groups["title"], "who is let in was not looked at", "{words}: {groups:#}");
        let unread = found["rds-unread"]["detail"].as_str().unwrap();
        assert!(unread.contains(words), "{words} is not in {unread}");
    }
    let policy = stage.scene.must(0, &["iam-policy", stage.scene.runbook.to_str().unwrap()]).await.out;
    assert!(policy.contains("ec2:DescribeSecurityGroups") && policy.contains("ecs:DescribeServices"), "{policy}");
}
