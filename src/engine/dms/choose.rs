//! Columns that DMS can't write as they are: it sends a value for every column that it carries.

use crate::plan::{Choices, DmsChoices, Plan};
use crate::runbook::model::Replicate;
use crate::systems::Result;
use crate::systems::postgres::Access;
use crate::systems::world::World;

/// Columns of the tables that are generated, or identities that are always the server's own.
const COLUMNS: &str = "SELECT n.nspname::text, c.relname::text, a.attname::text, a.attgenerated <> '' FROM pg_attribute a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attgenerated <> '' OR a.attidentity = 'a') AND c.relkind = 'r' \
       AND n.nspname::text = ANY ($1) ORDER BY 1, 2, 3";

pub(super) async fn columns(plan: &Plan, replicate: &Replicate, choices: &Choices) -> Result<DmsChoices> {
    let world = World::new(plan.systems.clone());
    let source = world.postgres(&replicate.from)?.connect(Access::ReadOnly).await?;
    let mut found = DmsChoices::default();
    for row in source.rows("list the columns that are the server's own", COLUMNS, &[&choices.schemas]).await? {
        let list = if row.get(3) { &mut found.generated } else { &mut found.identities };
        list.push((row.get(0), row.get(1), row.get(2)));
    }
    Ok(found)
}
