//! What is chosen otherwise than between two servers that follow each other.
//!
//! The rows that DMS writes on the target are transactions of the target's own. With GTIDs the source would have to be told
//! of each of them that it is done; by file and position the way back begins at one place, and nothing before it is
//! asked for. The target's fence is made of account locks: `super_read_only` would keep DMS out too.

use crate::plan::{Choices, CopyBy, DmsChoices, Follow, Plan};
use crate::runbook::model::{Fence, Replicate};
use crate::systems::Result;
use crate::systems::mysql::catalog::{self, listed};
use crate::systems::mysql::{Access, Flavour, Session};
use crate::systems::world::World;

/// Columns that the target computes itself.
const GENERATED: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN (SCHEMAS) \
     AND (EXTRA LIKE '%VIRTUAL GENERATED%' OR EXTRA LIKE '%STORED GENERATED%' OR EXTRA LIKE '%PERSISTENT%') ORDER BY 1, 2, 3";

pub(super) async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices> {
    let mut choices = super::super::choose::choose(plan, replicate).await?;
    let source = World::new(plan.systems.clone()).mysql(&replicate.from)?.connect(Access::ReadOnly).await?;
    choices.target.fence = Fence::Accounts;
    if let Some(chosen) = &mut choices.mysql {
        (chosen.copy_by, chosen.copy_why) = (CopyBy::Dump, String::new());
        if source.flavour() == Flavour::Mysql {
            chosen.follow = Follow::Position;
        }
        "DMS carries the rows forward; the way back begins where the target opens".clone_into(&mut chosen.why);
    }
    choices.dms = Some(columns(&source, &choices.schemas).await?);
    Ok(choices)
}

async fn columns(source: &Session, schemas: &[String]) -> Result<DmsChoices> {
    let sql = GENERATED.replace("SCHEMAS", &listed(schemas));
    let rows = source.rows("list the columns that are the server's own", &sql).await?;
    let column = |row: Vec<Option<String>>| {
        let mut values = row.into_iter().flatten();
        Some((values.next()?, values.next()?, values.next()?))
    };
    let native = catalog::identity(source).await?.variable("innodb_native_foreign_keys").to_owned();
    Ok(DmsChoices {
        generated: rows.into_iter().filter_map(column).collect(),
        identities: Vec::new(),
        // The variable came with the logging (9.6), and switches it off.
        cascades_logged: native.eq_ignore_ascii_case("off"),
    })
}
