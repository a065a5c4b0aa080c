//! Where calls go and as whom: the SDK's default chain, with the runbook's region, profile and endpoint laid over it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::Mutex;

use super::account;
use super::calls::Service;
use super::error::{Trouble, explain, trouble};
use super::readonly::ReadOnly;
use super::throttle::{ATTEMPTS, Budgets, backoff};
use crate::runbook::model::AwsPlace;
use crate::secret;
use crate::systems::{Certainty, DriverError, Result};

const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(10);

/// Whether changes can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Describe, Get and List only; anything else is refused on this side.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// The clients for one place, as one system of the runbook. Cheap to clone.
#[derive(Clone)]
pub struct Aws {
    system: String,
    hub: Arc<Hub>,
    access: Access,
    urgent: bool,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("system", &self.system).field("place", &self.hub.place).finish_non_exhaustive()
    }
}

/// What all systems at one place share: the configuration with its credentials, and the pace.
struct Hub {
    place: AwsPlace,
    config: RwLock<Arc<SdkConfig>>,
    budgets: Budgets,
    /// Whether these credentials were seen to be those of the runbook's account.
    guarded: AtomicBool,
}

/// Every place that was gone to, kept.
#[derive(Clone, Default)]
pub struct Hubs(Arc<Mutex<HashMap<String, Arc<Hub>>>>);

impl fmt::Debug for Hubs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hubs")
    }
}

impl Hubs {
    /// The clients for a place; `system` is what errors call them. The first time for changes, the account is looked at.
    pub async fn aws(&self, system: &str, place: &AwsPlace, access: Access) -> Result<Aws> {
        let place = resolved(system, place)?;
        let key = format!("{place:?}");
        let mut hubs = self.0.lock().await;
        let aws = match hubs.get(&key) {
            Some(hub) => Aws { system: system.to_owned(), hub: Arc::clone(hub), access, urgent: false },
            None => Aws::connect(system, place, access).await,
        };
        hubs.insert(key, Arc::clone(&aws.hub));
        drop(hubs);
        aws.guard().await?;
        Ok(aws)
    }

    /// Forgets every place, and with it the credentials.
    pub async fn forget(&self) {
        self.0.lock().await.clear();
    }
}

/// References in the place are resolved; it holds no secrets.
fn resolved(system: &str, place: &AwsPlace) -> Result<AwsPlace> {
    let mut place = place.clone();
    for text in
        [&mut place.account, &mut place.region, &mut place.profile, &mut place.endpoint_url].into_iter().flatten()
    {
        let plain = secret::resolve(text)
            .map_err(|error| DriverError::new(system, "resolve its settings", error, Certainty::NotSent))?;
        plain.expose().clone_into(text);
    }
    Ok(place)
}

async fn load(place: &AwsPlace) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let attempt = place.timeout.map_or(ATTEMPT, |timeout| timeout.0);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(attempt))
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt)
        .build();
    let region = place.region.clone().map(Region::new);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    if let Some(region) = region.clone() {
        loader = loader.region(region);
    }
    if let Some(profile) = &place.profile {
        // A profile that the runbook names comes before keys that happen to be in the environment.
        let around = ProviderConfig::without_region().with_http_client(http).with_region(region);
        let provider = ProfileFileCredentialsProvider::builder().configure(&around).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(provider);
    }
    if let Some(url) = &place.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

/// A client of one service.
macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident: $krate:ident;)*) => {
        impl Aws {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> $krate::Client {
                let config = $krate::config::Builder::from(&*self.config());
                let config = match self.access {
                    Access::ReadOnly => config.interceptor(ReadOnly),
                    Access::ReadWrite => config,
                };
                $krate::Client::from_conf(config.build())
            })*
        }
    };
}

clients! {
    /// CloudWatch.
    cloudwatch: aws_sdk_cloudwatch;
    /// Database Migration Service.
    dms: aws_sdk_databasemigration;
    /// Elastic Container Service.
    ecs: aws_sdk_ecs;
    /// Application Load Balancers.
    elbv2: aws_sdk_elasticloadbalancingv2;
    /// Permissions.
    iam: aws_sdk_iam;
    /// Databases.
    rds: aws_sdk_rds;
    /// DNS.
    route53: aws_sdk_route53;
    /// Secrets Manager.
    secrets_manager: aws_sdk_secretsmanager;
    /// Cloud Map.
    service_discovery: aws_sdk_servicediscovery;
    /// Parameters.
    ssm: aws_sdk_ssm;
    /// Who we are.
    sts: aws_sdk_sts;
}

impl Aws {
    /// Clients for a place; nothing is sent yet. Most callers want [`Hubs::aws`].
    pub async fn connect(system: &str, place: AwsPlace, access: Access) -> Self {
        let config = RwLock::new(Arc::new(load(&place).await));
        let hub = Arc::new(Hub { place, config, budgets: Budgets::default(), guarded: AtomicBool::new(false) });
        Self { system: system.to_owned(), hub, access, urgent: false }
    }

    /// What errors call it.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Where calls go.
    #[must_use]
    pub fn place(&self) -> &AwsPlace {
        &self.hub.place
    }

    /// The region that calls go to, from the runbook or from the environment.
    #[must_use]
    pub fn region(&self) -> Option<String> {
        self.config().region().map(ToString::to_string)
    }

    /// Whether changes can be sent.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// The configuration, with the credentials of now.
    #[must_use]
    pub fn config(&self) -> Arc<SdkConfig> {
        Arc::clone(&self.hub.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, for going back: it may use the part of the pace that is kept for that.
    #[must_use]
    pub fn urgent(&self) -> Self {
        Self { urgent: true, ..self.clone() }
    }

    /// Sends a call that changes nothing, again and again if need be.
    pub async fn read<T, E, F>(&self, service: Service, what: &str, send: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.call(service, false, what, send).await
    }

    /// Sends a call that changes something. It is sent again only when it is certain that it had no effect; with
    /// [`Certainty::Unknown`] the caller reads back.
    pub async fn write<T, E, F>(&self, service: Service, what: &str, send: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.call(service, true, what, send).await
    }

    async fn call<T, E, F>(
        &self,
        service: Service,
        write: bool,
        what: &str,
        send: impl Fn() -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let mut reloaded = false;
        let mut attempt = 0;
        loop {
            self.hub.budgets.wait(service, write, self.urgent).await;
            let error = match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => explain(&self.system, self.hub.place.profile.as_deref(), what, &error),
            };
            if trouble(&error) == Some(Trouble::Expired) && !reloaded {
                // Somebody may have logged in again meanwhile.
                reloaded = true;
                self.reload().await;
                if service != Service::Sts {
                    self.guard().await?;
                }
                continue;
            }
            attempt += 1;
            if attempt >= ATTEMPTS || !may_send_again(&error, write) {
                return Err(error);
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
    }

    /// Asks the chain for credentials anew.
    async fn reload(&self) {
        let fresh = Arc::new(load(&self.hub.place).await);
        *self.hub.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.hub.guarded.store(false, Ordering::SeqCst);
    }

    /// Before the first change with these credentials: do they belong to the runbook's account? Boxed, since asking is
    /// a call too.
    fn guard(&self) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(async move {
            if self.access == Access::ReadWrite && !self.hub.guarded.load(Ordering::SeqCst) {
                account::guard(self).await?;
                self.hub.guarded.store(true, Ordering::SeqCst);
            }
            Ok(())
        })
    }
}

/// Whether a call that failed is worth another try, and safe to try.
fn may_send_again(error: &DriverError, write: bool) -> bool {
    match error.certainty {
        Certainty::NotSent => error.code.is_none(),
        Certainty::Refused => trouble(error) == Some(Trouble::Throttled),
        Certainty::Unknown => !write,
    }
}
