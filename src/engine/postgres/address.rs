//! Where poolers and applications reach a database: its `address`, else what its URL says.

use crate::engine::named_address;
use crate::systems::Result;
use crate::systems::pgbouncer::Address;
use crate::systems::postgres::Database;
use crate::systems::world::World;

pub(super) fn address(world: &World, side: &str) -> Result<Address> {
    let database = world.postgres(side)?;
    let dbname = database.config()?.get_dbname().map(str::to_owned);
    match &database.spec.address {
        Some(named) => named_address(side, named, dbname),
        None => from_url(&database, dbname),
    }
}

fn from_url(database: &Database, dbname: Option<String>) -> Result<Address> {
    let config = database.config()?;
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(tokio_postgres::config::Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".to_owned(),
    };
    Ok(Address { host, port: config.get_ports().first().copied().unwrap_or(5432), dbname })
}
