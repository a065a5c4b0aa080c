//! Where load balancers and applications reach a server: its `address`, else what its URL says.

use crate::engine::named_address;
use crate::systems::Result;
use crate::systems::pgbouncer::Address;
use crate::systems::world::World;

pub(super) fn address(world: &World, side: &str) -> Result<Address> {
    let database = world.mysql(side)?;
    let target = database.target()?;
    match &database.spec.address {
        Some(named) => named_address(side, named, target.schema),
        None => Ok(Address { host: target.host, port: target.port, dbname: target.schema }),
    }
}
