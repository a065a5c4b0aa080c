//! The gates on CloudWatch against MiniStack, which keeps what was put and answers percentiles truthfully; it knows no
//! metric math, and says so. How late AWS's own data come, and that a half answer is marked so, is our belief.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic};
use jiff::Timestamp;
use pointsman::clock;
use pointsman::sandbox::aws::NewBalancer;
use serde_json::{Value, json};

use super::{
    proxy::{Fault, at},
    support::Scene,
    visitors::Visitors,
};

const CLOUDWATCH: &str = "monitoring";

fn book(gates: &BTreeMap<&str, Value>, steps: &str) -> String {
    let names: Vec<&&str> = gates.keys().collect();
    let gates = json!(gates);
    format!(
        "version: 1\nname: web\nstage: staging\naws: {{ account: \"123456789012\", region: us-east-1, timeout: 2s }}\n\
         systems:\n  web:\n    alb: {{ listeners: [\"${{env:ALB_LISTENER}}\"], rules: [\"${{env:ALB_RULE}}\"], \
         from: \"${{env:ALB_FROM}}\", to: \"${{env:ALB_TO}}\" }}\ngates: {gates}\nsteps:\n{}",
        steps.replace("GATES", &json!(names).to_string())
    )
}

const WAIT: &str = "  - wait: { gates: GATES, timeout: 40s }\n";

/// Data of the last minute that is complete, and of those before it.
struct Planted<'a> {
    scene: &'a Scene,
    minute: Timestamp,
}

impl<'a> Planted<'a> {
    fn new(scene: &'a Scene) -> Self {
        let now = clock::now().as_second();
        Self { scene, minute: Timestamp::from_second(now - now.rem_euclid(60) - 120).unwrap() }
    }

    /// Puts values into a minute: 0 is the newest complete one.
    async fn put(&self, namespace: &str, name: &str, dimensions: &[(&str, &str)], ago: i64, values: &[f64]) {
        let at = DateTime::from_secs(self.minute.as_second() - 60 * ago + 10);
        let dimension = |(name, value): &(&str, &str)| Dimension::builder().name(*name).value(*value).build();
        let dimensions: Vec<Dimension> = dimensions.iter().map(dimension).collect();
        let data = values.iter().map(|value| {
            let datum = MetricDatum::builder().metric_name(name).timestamp(at).value(*value);
            datum.set_dimensions(Some(dimensions.clone())).build()
        });
        let client = self.scene.direct().cloudwatch;
        client.put_metric_data().namespace(namespace).set_metric_data(Some(data.collect())).send().await.unwrap();
    }

    async fn put_of(&self, side: &str, name: &str, ago: i64, values: &[f64]) {
        let balancer = &self.scene.sandbox.balancer;
        let group = if side == "to" { &balancer.to } else { &balancer.from };
        let group = group.rsplit(':').next().unwrap();
        let whole = balancer.listener.rsplit_once("listener/").unwrap().1;
        let whole = whole.rsplit_once('/').unwrap().0;
        let dimensions = [("LoadBalancer", whole), ("TargetGroup", group)];
        self.put("AWS/ApplicationELB", name, &dimensions, ago, values).await;
    }
}

/// What `plan` reads of each gate, by name: its verdict, and all of it.
async fn readings(scene: &Scene, gates: &BTreeMap<&str, Value>) -> BTreeMap<String, (String, String)> {
    scene.write(&book(gates, WAIT));
    let called = scene.must(0, &["plan", scene.runbook.to_str().unwrap(), "--output", "json"]).await;
    let plan: Value = serde_json::from_str(called.out.trim()).unwrap();
    let readings = plan["readings"].as_object().unwrap();
    let of = |(name, reading): (&String, &Value)| {
        (name.clone(), (reading["verdict"].as_str().unwrap().to_owned(), reading.to_string()))
    };
    readings.iter().map(of).collect()
}

fn of_web(metric: &str, of: &str, more: &[(&str, Value)]) -> Value {
    let mut gate = json!({ "metric": metric, "of": format!("web.{of}") });
    gate.as_object_mut().unwrap().extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    json!({ "cloudwatch": gate })
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_read_at_their_newest_complete_minute() {
    let scene = Scene::new(NewBalancer::default()).await;
    let planted = Planted::new(&scene);
    planted.put_of("to", "RequestCount", 0, &[300.0, 200.0]).await;
    planted.put_of("to", "HTTPCode_Target_5XX_Count", 0, &[5.0]).await;
    planted.put_of("to", "HTTPCode_Target_5XX_Count", 1, &[400.0]).await;
    let times: Vec<f64> = (1..=100).map(|n| f64::from(n) / 1000.0).collect();
    planted.put_of("to", "TargetResponseTime", 0, &times).await;
    planted.put("Shop", "Waiting", &[("Queue", "mail")], 0, &[7.0]).await;
    planted.put("Shop", "Waiting", &[("Queue", "old")], 30, &[1.0]).await;
    let waiting = |queue: &str| {
        let shape = json!({ "namespace": "Shop", "metric": "Waiting", "dimensions": { "Queue": queue },
                            "statistic": "Maximum", "max": 7 });
        json!({ "cloudwatch": shape })
    };
    let part =
        json!({ "namespace": "Shop", "metric": "Waiting", "dimensions": { "Queue": "mail" }, "statistic": "Sum" });
    let max = |limit: &str| [("max", json!(limit))];
    let by_arn = json!({ "metric": "request-count", "load-balancer": "${env:ALB_RULE}", "target-group": "${env:ALB_TO}", "min": 500 });
    let gates = BTreeMap::from([
        ("calm", of_web("target-5xx-rate", "to", &max("1%"))),
        ("strict", of_web("target-5xx-rate", "to", &max("0.9%"))),
        ("quiet", of_web("target-5xx-rate", "to", &[("max", json!("1%")), ("min-requests", json!(501))])),
        ("silent", of_web("target-5xx-rate", "from", &max("1%"))),
        ("fast", of_web("p99-latency", "to", &max("100ms"))),
        ("faster", of_web("p50-latency", "to", &max("40ms"))),
        ("by-arn", json!({ "cloudwatch": by_arn })),
        ("mail", waiting("mail")),
        ("old", waiting("old")),
        ("nothing", waiting("none")),
        ("math", json!({ "cloudwatch": { "expression": "m * 2", "metrics": { "m": part }, "max": 1 } })),
    ]);
    let read = readings(&scene, &gates).await;
    let verdicts: BTreeMap<&str, &str> =
        read.iter().map(|(name, (verdict, _))| (name.as_str(), verdict.as_str())).collect();
    let expected = BTreeMap::from([
        ("calm", "pass"),
        ("strict", "fail"),
        ("quiet", "no-data"),
        ("silent", "no-data"),
        ("fast", "pass"),
        ("faster", "fail"),
        ("by-arn", "pass"),
        ("mail", "pass"),
        ("old", "no-data"),
        ("nothing", "no-data"),
        ("math", "error"),
    ]);
    assert_eq!(verdicts, expected, "{read:#?}");
    assert!(read["calm"].1.contains("500 requests"), "{read:#?}");
    assert!(read["math"].1.contains("InternalError"), "the emulator knows no metric math, and says so: {read:#?}");
    assert!(scene.proxy.writes().is_empty(), "{:?}", scene.proxy.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_quiet_when_it_says_so() {
    let scene = Scene::new(NewBalancer::default()).await;
    let client = scene.direct().cloudwatch;
    for (name, state) in [("calm", StateValue::Ok), ("loud", StateValue::Alarm), ("new", StateValue::InsufficientData)]
    {
        let alarm = client.put_metric_alarm().alarm_name(name).namespace("Shop").metric_name("Errors");
        let alarm = alarm.period(60).evaluation_periods(1).threshold(1.0).statistic(Statistic::Sum);
        alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).send().await.unwrap();
        let set = client.set_alarm_state().alarm_name(name).state_value(state).state_reason("the test says so");
        set.send().await.unwrap();
    }
    client.put_composite_alarm().alarm_name("any").alarm_rule("ALARM(loud)").send().await.unwrap();
    let set = client.set_alarm_state().alarm_name("any").state_value(StateValue::Alarm).state_reason("one of them");
    set.send().await.unwrap();
    let alarm = |names: &[&str]| json!({ "alarm": { "names": names } });
    let gates = BTreeMap::from([
        ("calm", alarm(&["calm"])),
        ("loud", alarm(&["calm", "loud"])),
        ("new", alarm(&["calm", "new"])),
        ("any", alarm(&["any"])),
        ("lost", alarm(&["calm", "clam"])),
    ]);
    let read = readings(&scene, &gates).await;
    let verdicts: BTreeMap<&str, &str> =
        read.iter().map(|(name, (verdict, _))| (name.as_str(), verdict.as_str())).collect();
    let expected =
        BTreeMap::from([("calm", "pass"), ("loud", "fail"), ("new", "no-data"), ("any", "fail"), ("lost", "error")]);
    assert_eq!(verdicts, expected, "{read:#?}");
    assert!(read["loud"].1.contains("the test says so"), "{read:#?}");
}

/// Seconds instead of minutes: the sandbox publishes every second what its load balancer counts.
fn by_the_second(metric: &str, of: &str, limit: (&str, Value)) -> Value {
    let words =
        [limit, ("period", json!("1s")), ("delay", json!("1s")), ("max-age", json!("4s")), ("min-requests", json!(1))];
    of_web(metric, of, &words)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_by_real_traffic_and_holds_on_silence() {
    let scene = Scene::new(NewBalancer::default()).await;
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 4, false);
    let errors = |of: &str| by_the_second("target-5xx-rate", of, ("max", json!("0%")));
    scene.write(&book(&BTreeMap::from([("errors", errors("from"))]), WAIT));
    scene.proxy.plant(at(CLOUDWATCH, "GetMetricData").times(2), Fault::Throttled);
    scene.run(0).await;
    assert!(scene.proxy.count(CLOUDWATCH, "GetMetricData") >= 3, "{:?}", scene.proxy.names());

    scene.write(&book(&BTreeMap::from([("errors", errors("to"))]), WAIT));
    scene.run(4).await;
    assert!(scene.held().contains("gate errors has no data"), "{}", scene.held());
    assert!(visitors.stop().await.failed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_hold_and_say_how_to_get_new_ones() {
    let scene = Scene::new(NewBalancer::default()).await;
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 4, false);
    let errors = by_the_second("target-5xx-rate", "from", ("max", json!("0%")));
    scene.write(&book(&BTreeMap::from([("errors", errors)]), WAIT));
    scene.proxy.plant(at(CLOUDWATCH, "GetMetricData").times(1000), Fault::Expired);
    scene.run(4).await;
    let held = scene.held();
    assert!(held.contains("gate errors can't be read"), "{held}");
    assert!(held.contains("get new ones, and in that shell `pointsman resume`"), "{held}");
    scene.proxy.heal();
    let id = scene.journal.find(None).unwrap().id;
    scene.must(0, &["resume", &id, "--output", "json"]).await;
    assert!(visitors.stop().await.failed.is_empty());
}
