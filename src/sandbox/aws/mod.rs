//! AWS on this machine: two emulators, each for what it tells the truth in, and a load balancer that carries real
//! traffic by the weights that one of them holds.
//!
//! ```text
//! clients ─► HAProxy nodes ─► application old | new        pointsman ─► moto       load balancers, ECS, RDS
//!               ▲ weights, later by `delay`                          └─► MiniStack  everything else
//!               └──────────── plane ◄── rules ── moto
//!                               └── request counts, health ─► MiniStack (CloudWatch)
//! ```
//!
//! moto drops nothing of a rule's actions, and MiniStack does; MiniStack speaks CloudWatch's present protocol and keeps
//! Route 53's batches whole, and moto does not. Neither has a data plane with weights: HAProxy is that, and how it behaves
//! is what we know of AWS.

mod config;
mod emulator;
mod front;
mod metrics;
mod network;
mod node;
mod plane;
mod read;
mod sdk;
mod seed;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use emulator::{Cloud, REGION};
pub use front::Front;
pub use plane::{Plane, StartPlane, TargetCount};
pub use sdk::sdk_config;
pub use seed::{Balancer, NewBalancer};

use super::{Age, Folder, SandboxError, Servers, instance::AppInstance, sweep};

/// A sandbox without databases: the emulators, two application instances and the load balancer before them. Dropping it
/// ends them all.
#[derive(Debug)]
pub struct AwsSandbox {
    /// The emulators.
    pub cloud: Cloud,
    /// The load balancer as the emulator has it.
    pub balancer: Balancer,
    /// The nodes that carry its traffic.
    pub plane: Plane,
    /// The application instance that has all the traffic at first; it answers its name to `GET /whoami`.
    pub app_old: AppInstance,
    /// The application instance that has none at first.
    pub app_new: AppInstance,
    // The last field, so that the servers have ended when the folder is deleted.
    folder: Folder,
}

impl AwsSandbox {
    /// Starts everything below `base`, with this program as the application.
    ///
    /// # Errors
    /// When a program is missing or does not start.
    pub async fn start(base: &Path, app: &Path, new: NewBalancer) -> Result<Self, SandboxError> {
        sweep(base);
        let folder = Folder { path: sweep::new_folder(base)?, kept: false };
        let root = folder.path.clone();
        // Nothing is ever written: the instances are asked for their names only.
        let nowhere = || "postgres://nobody@127.0.0.1:1/none".to_owned();
        let (cloud, app_old, app_new) = tokio::try_join!(
            Cloud::start(&root),
            AppInstance::start("old", app, &root, nowhere()),
            AppInstance::start("new", app, &root, nowhere()),
        )?;
        let balancer = Balancer::create(&cloud, &new, app_old.port(), app_new.port()).await?;
        let program = Servers::find().haproxy(Age::New)?.clone();
        let plane = Plane::start(StartPlane::before(&cloud, &balancer, &root, program)).await?;
        Ok(Self { cloud, balancer, plane, app_old, app_new, folder })
    }

    /// What a runbook finds in its environment: the emulators' addresses, credentials, and the load balancer's names.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.cloud.env();
        env.extend(self.balancer.env());
        env.insert("WEB_URL".into(), self.plane.urls().swap_remove(0));
        env
    }

    /// The folder that everything lies in.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The log of one of the emulators: `moto` or `ministack`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.path.join("logs").join(format!("{name}.log"))
    }
}
