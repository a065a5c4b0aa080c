//! AWS: the real SDK against two emulators behind a proxy of faults, and traffic that is real.
//!
//! ```text
//! pointsman ─► proxy ─┬─► moto: elasticloadbalancing, ecs, rds         visitors ─► HAProxy node(s) ─► old | new
//!              faults │                                                              ▲ weights, later by a delay
//!              counts ├─► MiniStack: all other services                              └── moto
//!                     └─► overlays: health of targets, rollouts and tasks of ECS, instances of RDS, DMS
//! ```
//!
//! # How to write a test with it
//!
//! ```no_run
//! let scene = Scene::new(NewBalancer::default()).await;   // emulators, proxy, ALB before two applications, journal
//! scene.write("…a whole runbook…");                       // the environment has ALB_LISTENER, ALB_RULE, ALB_FROM, ALB_TO, WEB_URL
//! let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 8, false);
//! scene.proxy.plant(at("elasticloadbalancing", "ModifyRule").only(2), Fault::ClosedAfter);
//! scene.run(0).await;                                     // runs the program, and wants this exit code
//! assert_eq!(scene.proxy.count("elasticloadbalancing", "ModifyRule"), 8);
//! assert!(visitors.stop().await.failed.is_empty());
//! ```
//!
//! - Services are named as requests are signed: `elasticloadbalancing`, `ecs`, `rds`, `route53`, `secretsmanager`, `ssm`,
//!   `monitoring` (CloudWatch), `sts`, `iam`, `servicediscovery`. [`Fault`] lists what can go wrong, [`at`] says with which call.
//! - [`Scene::health`] sets what `DescribeTargetHealth` says; [`overlay::ecs::Ecs`] is a service with rollouts and one-off
//!   tasks, to be given to [`proxy::Proxy::overlay`]; [`overlay::rds::Rds`] has instances of RDS, each of which is a real
//!   server of the test ([`overlay::rds::Local`]): make them through the proxy, not round it. An overlay is our belief about AWS: say so in the test's comment.
//! - [`Scene::direct`] has clients that go round the proxy, to prepare, to meddle as somebody else would, and to look.
//! - An emulator that breaks (an HTML page, an unknown action) fails the test when the proxy is dropped.

#![allow(dead_code, reason = "the harness is there before all of the tests that use it")]
#![allow(clippy::cast_precision_loss, reason = "a test counts no further than thousands")]

pub mod overlay;
pub mod proxy;
pub mod support;
pub mod visitors;

pub use named::{Rds, Shown};

mod account;
mod alb;
mod behind_a_window;
mod book;
mod cloudwatch;
mod dms;
mod dms_mysql;
mod endpoints;
mod failover;
mod harness;
mod health;
mod killing;
mod lost;
mod meddling;
mod named;
mod rds_blue_green;
mod rds_clusters;
mod rds_names;
mod rds_overlay;
mod rds_preflight;
mod rds_proxy;
mod rds_steps;
mod references;
mod shift;
mod warned;
