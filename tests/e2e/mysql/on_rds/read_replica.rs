//! A read replica of RDS for MySQL, promoted by RDS: asked for once whatever is lost, and back from exactly where it opened.

use pointsman::executor::state::Side as Writer;

use super::instances::{How, OnRds};
use crate::aws::proxy::{Fault, at};

/// Transactions a second.
const RATE: f64 = 100.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_whose_answer_is_lost_is_waited_for_and_led_back() {
    let on = OnRds::<false>::new(How::ReadReplica).await;
    let scene = &on.scene;
    let load = scene.load(RATE);
    load.flows().await;
    on.proxy.plant(at("rds", "PromoteReadReplica").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!((on.proxy.count("rds", "PromoteReadReplica"), scene.state().writer), (1, Writer::Target));
    assert_eq!(on.overlay.shows("orders-new", "DBInstanceStatus"), "available");
    on.led_back(load).await;
    assert_eq!(on.proxy.count("rds", "PromoteReadReplica"), 1);
}
