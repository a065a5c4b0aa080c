//! What the other server would find when it dials a server for replication. Only a server can prove that *it* can
//! dial; from here the same credentials are tried, and what they lead to is looked at.

use serde::{Deserialize, Serialize};

use crate::runbook::model::TlsMode;
use crate::systems::Result;
use crate::systems::mysql::{Access, Database, catalog};
use crate::systems::survey::Dialled;

/// How a server is dialled for replication, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The system whose server dials.
    pub from: String,
    /// The system that is dialled.
    pub to: String,
    /// Where it is dialled.
    pub dialled: Dialled,
    /// Whether whoever answers must prove who it is (`tls: verify-full`).
    #[serde(default)]
    pub verified: bool,
    /// Whether `tls.ca` says by whom, on this machine, and nothing says it on the host of the server that dials.
    #[serde(default)]
    pub without_ca: bool,
    /// What was found from here; `None` when the connection failed.
    pub found: Option<Found>,
    /// Why the connection failed.
    pub failure: Option<String>,
}

/// What a replication URL leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// `server_uuid`, where the server has one.
    pub uuid: Option<String>,
    /// `server_id`.
    pub server_id: i64,
    /// `user@host`, as the server matched it.
    pub account: String,
    /// Whether it may read the binary log (`REPLICATION SLAVE`).
    pub replicates: bool,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl Reach {
    /// Tries from here what the server of `from` will try: the replication URL of `to`, or its URL. Without one an
    /// account is made for the streams, which takes the same privilege, to be given away.
    pub async fn read(from: &Database, to: &Database) -> Result<Self> {
        let mut there = to.clone();
        if let Some(url) = &to.spec.replication_url {
            there.spec.url.clone_from(url);
        }
        let dialled = Dialled::of_mysql(&there).await?;
        let (found, failure) = match look(&there).await {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error.reason)),
        };
        let verified = to.spec.tls.mode == TlsMode::VerifyFull;
        let without_ca = verified && to.spec.tls.ca.is_some() && to.spec.replication_ca.is_none();
        Ok(Self { from: from.name.clone(), to: to.name.clone(), dialled, verified, without_ca, found, failure })
    }
}

async fn look(database: &Database) -> Result<Found> {
    let session = database.connect(Access::ReadOnly).await?;
    let identity = catalog::identity(&session).await?;
    let cipher = session.records("read how it is protected", "SHOW SESSION STATUS LIKE 'Ssl_cipher'").await?;
    let cipher = cipher.first().and_then(|record| record.get("Value").cloned().flatten());
    Ok(Found {
        uuid: identity.uuid.clone(),
        server_id: i64::from(identity.server_id),
        replicates: identity.may("REPLICATION SLAVE"),
        encrypted: cipher.is_some_and(|cipher| !cipher.is_empty()),
        account: identity.account,
    })
}
