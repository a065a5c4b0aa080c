//! A group that is not fit gets no weight. All of this rests on the overlay of a target's health, which is our belief about
//! AWS: the emulator finds every target healthy.

use pointsman::sandbox::aws::NewBalancer;

use super::{book::Book, overlay::health::Health, support::Scene, visitors::Visitors};
use crate::cutover::support::ended;

/// The run ends with this code, and the new group never had any weight.
async fn stays_away(scene: &Scene, what: &str, targets: &[Health]) {
    scene.health.set(&scene.sandbox.balancer.to, targets);
    scene.proxy.forget();
    let run = scene.call(&scene.run_words()).await;
    assert!(matches!(run.code, 3 | 4), "{what}: {run:?}\n{}", scene.story());
    for arn in [&scene.sandbox.balancer.listener, &scene.sandbox.balancer.rule] {
        let weights = scene.weights(arn).await;
        assert_eq!(weights.get("new").copied().unwrap_or(0), 0, "{what}: {weights:?}");
    }
    for call in scene.proxy.writes() {
        assert!(!gives_weight(&call.parameters, &scene.sandbox.balancer.to), "{what}: {call:#?}");
    }
    if run.code == 4 {
        scene.must(5, &["rollback", "--output", "json"]).await;
    }
}

/// Whether a write gives the group any weight.
fn gives_weight(parameters: &serde_json::Value, group: &str) -> bool {
    let fields = parameters.as_object().unwrap();
    fields.iter().filter(|(_, value)| value.as_str() == Some(group)).any(|(name, _)| {
        let weight = name.replace("TargetGroupArn", "Weight");
        fields.get(&weight).and_then(serde_json::Value::as_str).is_some_and(|weight| weight != "0")
    })
}

/// Modes 13 and 14: nobody there, not checked yet, on its way out, or all ill, which a load balancer hides.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_not_fit_gets_no_weight() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book::default());
    stays_away(&scene, "empty", &[]).await;
    stays_away(&scene, "initial", &[Health::Initial, Health::Initial]).await;
    stays_away(&scene, "draining", &[Health::Draining]).await;
    stays_away(&scene, "all ill", &[Health::Unhealthy, Health::Unhealthy]).await;
    stays_away(&scene, "too few", &[Health::Healthy, Health::Unhealthy, Health::Unhealthy]).await;
}

/// Mode 13: a group that is in no rule is checked by nobody; attached without weight it becomes fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_attached_without_weight_before_its_health_counts() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book::default());
    let to = scene.sandbox.balancer.to.clone();
    scene.health.set(&to, &[Health::Unused]);
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let run = scene.start();
    scene.proxy.until_called("elasticloadbalancing", "ModifyRule", 1).await;
    let first = scene.proxy.writes();
    assert!(first.iter().all(|call| !gives_weight(&call.parameters, &to)), "{first:#?}");
    scene.health.set(&to, &[Health::Healthy]);
    let ended = ended(run).await;
    assert_eq!(ended.code, 0, "{ended:?}\n{}", scene.story());
}

/// Mode 15: ill at one look, fit at the next.
#[tokio::test(flavor = "multi_thread")]
async fn health_that_fails_between_two_shares_stops_the_next() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 100]", ..Book::default() });
    let to = scene.sandbox.balancer.to.clone();
    scene.health.set(&to, &[Health::Healthy, Health::Healthy]);
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let run = scene.start();
    // Attached, then 10%.
    scene.proxy.until_called("elasticloadbalancing", "ModifyRule", 2).await;
    scene.health.set(&to, &[Health::Unhealthy, Health::Unhealthy]);
    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    let weights = scene.weights(&scene.sandbox.balancer.rule).await;
    assert!(weights["old"] > 0, "all of the traffic went to ill targets: {weights:?}");
    scene.must(5, &["rollback", "--output", "json"]).await;
}
