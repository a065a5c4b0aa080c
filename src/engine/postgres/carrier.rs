//! What carries the rows forward when it is not the servers themselves: DMS, which logs in to both databases as a client.
//! The fence of the target leaves its login in. Before the target opens for the application this login is taken away and
//! its sessions are ended: what flows back to the source must not be carried forward once more.

use crate::plan::Plan;
use crate::runbook::model::{DmsTask, Replicate, Step};
use crate::systems::pair::Heading;
use crate::systems::postgres::{ident, literal};

/// Its sessions have ended by then.
const LIMIT_MS: u64 = 5000;

/// The login of a carrier at the target.
pub(in crate::engine) struct Carrier<'a> {
    role: &'a str,
    database: &'a str,
    identities: &'a [(String, String, String)],
}

/// The task of DMS that a plan speaks of.
pub(in crate::engine) fn task(plan: &Plan) -> Option<&DmsTask> {
    plan.steps.iter().find_map(|step| match &step.step {
        Step::Replicate(Replicate { dms: Some(task), .. }) => Some(&**task),
        _ => None,
    })
}

impl<'a> Carrier<'a> {
    /// The carrier of a plan, if it has one.
    pub(in crate::engine) fn of(plan: &'a Plan) -> Option<Self> {
        let role = &task(plan)?.target.role;
        let identities = plan.choices.dms.as_ref().map_or(&[][..], |dms| &dms.identities);
        Some(Self { role, database: &plan.choices.target.database, identities })
    }

    /// The one that a passage in this direction shuts out: only forward is there one.
    pub(super) fn shut_by(plan: &'a Plan, way: Heading) -> Option<Self> {
        Self::of(plan).filter(|_| way == Heading::Forth)
    }

    /// Lets it log in and write, inside a transaction: the sign on the fenced database's door is not meant for it.
    pub(in crate::engine) fn let_in(&self) -> String {
        let (role, database) = (ident(self.role), ident(self.database));
        format!("ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = off;\n")
    }

    /// Takes its login away, inside a transaction.
    pub(in crate::engine) fn shut_out(&self) -> String {
        format!("ALTER ROLE {} NOLOGIN;\n{}", ident(self.role), self.forget())
    }

    /// Identities that are always the server's own are so again, or take what DMS sends.
    pub(in crate::engine) fn identities(&self, always: bool) -> String {
        let word = if always { "ALWAYS" } else { "BY DEFAULT" };
        self.identities.iter().fold(String::new(), |sql, (schema, table, column)| {
            let (table, column) = (format!("{}.{}", ident(schema), ident(table)), ident(column));
            sql + &format!("ALTER TABLE IF EXISTS {table} ALTER COLUMN {column} SET GENERATED {word};\n")
        })
    }

    /// Everything as it was before [`Carrier::let_in`] and [`Carrier::shut_out`].
    pub(in crate::engine) fn give_back(&self) -> String {
        format!("ALTER ROLE {} LOGIN;\n{}{}", ident(self.role), self.forget(), self.identities(true))
    }

    fn forget(&self) -> String {
        let (role, database) = (ident(self.role), ident(self.database));
        format!("ALTER ROLE {role} IN DATABASE {database} RESET default_transaction_read_only;\n")
    }

    /// Ends its sessions, and looks twice whether none is left: one that was logging in may appear late.
    pub(super) fn expel(&self) -> String {
        let role = literal(self.role);
        format!(
            "DO $$ DECLARE ended int; quiet int := 0; latest timestamptz := clock_timestamp() + interval '{LIMIT_MS} ms'; \
             BEGIN LOOP\n  PERFORM pg_stat_clear_snapshot();\n  \
             PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {role};\n  \
             GET DIAGNOSTICS ended = ROW_COUNT;\n  quiet := CASE WHEN ended = 0 THEN quiet + 1 ELSE 0 END;\n  \
             EXIT WHEN quiet = 2;\n  \
             IF clock_timestamp() > latest THEN RAISE EXCEPTION 'sessions of DMS (%) do not end', {role} \
             USING ERRCODE = 'PM002'; END IF;\n  PERFORM pg_sleep(0.0005);\nEND LOOP; END $$;\n"
        )
    }
}
