//! A scene whose target is a streaming standby of the source.

use std::collections::BTreeSet;

use pointsman::{
    journal::{Act, Event},
    sandbox::{
        Role, SandboxOptions,
        postgres::{Postgres, PostgresServer},
    },
};

use crate::cutover::support::{STEPS, Scene, Staged};

/// A whole promotion that can still be rolled back.
pub fn steps() -> Vec<String> {
    STEPS.iter().map(|step| step.replace("to: target, timeout: 2m", "to: target, through: read-replica")).collect()
}

/// Whether a step begins here.
pub fn begins(event: &Event, step: &str) -> bool {
    matches!(event, Event::Intent { of, .. } if of.step == step && of.act == Act::Apply)
}

pub struct Stage {
    pub scene: Scene,
    /// What the source was like at first.
    pristine: BTreeSet<String>,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(Postgres::options()).await
    }

    pub async fn with(options: SandboxOptions) -> Self {
        Self::of(SandboxOptions { replica: true, ..options }).await
    }

    /// Of two servers as the options say.
    pub async fn of(options: SandboxOptions) -> Self {
        let scene = Scene::with(options).await;
        scene.write(&steps());
        let pristine = Postgres::catalog(&scene.sandbox.source).await;
        Self { scene, pristine }
    }

    /// Makes a new replica of the source in the place of one that was promoted.
    pub async fn replica_again(&self) {
        self.scene.sandbox.target.make_again().await.unwrap();
    }

    /// Whether the target follows still, by whomever.
    pub async fn is_replica(&self) -> bool {
        let target = self.scene.sandbox.target.connect(Role::Superuser).await.unwrap();
        let sql = "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_subscription WHERE subname LIKE 'rds%')";
        target.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Nothing of the run is left on the source. What was promoted stays fenced, and has nothing of ours either.
    pub async fn assert_undone(&self, when: &str) {
        let found = Postgres::catalog(&self.scene.sandbox.source).await;
        let of_rds = |line: &&String| line.contains("rds_bg");
        let left: Vec<_> = found.symmetric_difference(&self.pristine).filter(|line| !of_rds(line)).collect();
        assert!(left.is_empty(), "{when}: {left:?}\n{}", self.scene.story());
        if self.is_replica().await {
            return;
        }
        self.assert_nothing_of_ours(&self.scene.sandbox.target).await;
        let app = self.scene.sandbox.target.connect(Role::App).await;
        assert!(app.is_err(), "{when}: an old copy takes clients");
    }

    pub async fn assert_nothing_of_ours(&self, server: &PostgresServer) {
        let ours: Vec<_> =
            Postgres::catalog(server).await.into_iter().filter(|line| line.contains("pointsman")).collect();
        assert!(ours.is_empty(), "{ours:?}\n{}", self.scene.story());
    }
}
