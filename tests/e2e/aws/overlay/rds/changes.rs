//! What somebody asks an instance to be.

use super::{
    Answer, Form, Node, State,
    instance::{Phase, Then},
};

/// Changes that wait for the maintenance window unless they are to be applied immediately (user guide, "Settings for DB
/// instances"; API reference, `PendingModifiedValues`).
const WAITING: [&str; 8] = [
    "DBInstanceClass",
    "AllocatedStorage",
    "MultiAZ",
    "EngineVersion",
    "BackupRetentionPeriod",
    "StorageType",
    "Iops",
    "CACertificateIdentifier",
];
/// Changes that are made at once, whatever was said of immediately.
const AT_ONCE: [&str; 5] = [
    "DeletionProtection",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "AutoMinorVersionUpgrade",
    "PubliclyAccessible",
];

impl State {
    pub(super) fn modify(&mut self, form: Form) -> Answer {
        let to = form.get("NewDBInstanceIdentifier").map(str::to_lowercase);
        if let Some(to) = &to
            && self.find(to).is_ok()
        {
            return Err((400, "DBInstanceAlreadyExists", format!("DB instance already exists: {to}")));
        }
        let looks = self.looks;
        let one = self.available(form)?;
        for name in AT_ONCE {
            if let Some(value) = form.get(name) {
                one.node.set(name, value);
            }
        }
        // User guide, "Associating a DB parameter group": the instance must be rebooted before the group is in force.
        if let Some(group) = form.get("DBParameterGroupName") {
            one.set_group(group, "pending-reboot");
        }
        let waiting = WAITING.iter().filter_map(|name| Some(((*name).to_owned(), form.get(name)?.to_owned())));
        one.pending.extend(waiting);
        one.pending.extend(to.clone().map(|to| ("DBInstanceIdentifier".to_owned(), to)));
        if form.is("ApplyImmediately") {
            // Status `renaming` and `modifying` (user guide, "Viewing Amazon RDS DB instance status").
            if one.pending.keys().any(|name| name != "DBInstanceIdentifier") {
                one.phases.push_back(Phase::new("modifying", looks, Then::Applied));
            }
            if let Some(to) = to {
                one.phases.push_back(Phase::new("renaming", looks, Then::Renamed(to)));
            }
        }
        Ok(vec![one.shown()])
    }

    /// Its name, ARN and endpoint change, and the resource id does not; replicas go on to name it (user guide, "Renaming a
    /// DB instance": "the read replicas continue to be associated").
    pub(super) fn renamed(&mut self, at: usize, to: &str) {
        let one = &mut self.instances[at];
        let from = one.identifier().to_owned();
        one.pending.remove("DBInstanceIdentifier");
        one.node.set("DBInstanceIdentifier", to);
        one.node.set("DBInstanceArn", format!("arn:aws:rds:us-east-1:123456789012:db:{to}"));
        let host = one.node.text("Endpoint/Address").replacen(&from, to, 1);
        let port = one.node.text("Endpoint/Port").to_owned();
        one.node.put(Node::of("Endpoint", vec![Node::leaf("Address", host), Node::leaf("Port", port)]));
        one.local.iter().for_each(|local| local.renamed(to));
        for other in &mut self.instances {
            if other.node.text("ReadReplicaSourceDBInstanceIdentifier") == from {
                other.node.set("ReadReplicaSourceDBInstanceIdentifier", to);
            }
            let replicas = other.node.list("ReadReplicaDBInstanceIdentifiers");
            let replicas: Vec<String> =
                replicas.into_iter().map(|name| if name == from { to.to_owned() } else { name }).collect();
            other.node.set_list("ReadReplicaDBInstanceIdentifiers", &replicas);
        }
        self.tell(to, "configuration change", &format!("Renamed instance from {from} to {to}"));
    }

    /// API reference, RebootDBInstance: "a momentary outage, during which the DB instance status is set to rebooting".
    pub(super) fn reboot(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let group = self.available(form)?.group().to_owned();
        let values = self.values_of(&group);
        let one = self.available(form)?;
        let phase = Phase::new("rebooting", looks, Then::Rebooted);
        let phase = match one.local.clone() {
            Some(local) => phase.with(async move { local.set(values, true).await }),
            None => phase,
        };
        one.phases.push_back(phase);
        Ok(vec![one.shown()])
    }

    pub(super) fn rebooted(&mut self, at: usize) {
        let group = self.instances[at].group().to_owned();
        let values = self.values_of(&group);
        let one = &mut self.instances[at];
        one.in_force = values;
        one.set_group(&group, "in-sync");
        let identifier = one.identifier().to_owned();
        self.member_rebooted(&identifier);
        self.tell(&identifier, "availability", "DB instance restarted");
    }

    /// User guide, "Stopping an Amazon RDS DB instance temporarily": not one that has a replica or is one.
    pub(super) fn stop(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let one = self.available(form)?;
        let follows = !one.node.text("ReadReplicaSourceDBInstanceIdentifier").is_empty();
        if follows || !one.node.list("ReadReplicaDBInstanceIdentifiers").is_empty() {
            let message = format!("Cannot stop instance {}: it is or has a read replica.", one.identifier());
            return Err((400, "InvalidDBInstanceState", message));
        }
        one.phases.push_back(Phase::new("stopping", looks, Then::Nothing));
        one.node.set("DBInstanceStatus", "stopped");
        let shown = one.shown();
        self.tell(form.text("DBInstanceIdentifier"), "notification", "DB instance stopped");
        Ok(vec![shown])
    }

    pub(super) fn start(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let one = self.find(form.text("DBInstanceIdentifier"))?;
        if one.status() != "stopped" {
            let message = format!("Instance {} is not stopped.", one.identifier());
            return Err((400, "InvalidDBInstanceState", message));
        }
        one.phases.push_back(Phase::new("starting", looks, Then::Nothing));
        one.node.set("DBInstanceStatus", "available");
        let shown = one.shown();
        self.tell(form.text("DBInstanceIdentifier"), "notification", "DB instance started");
        Ok(vec![shown])
    }

    /// Refused here, or left to the emulator, which has to forget it too; API reference, DeleteDBInstance: a final snapshot
    /// unless it is skipped, and never with deletion protection.
    pub(super) fn delete(&mut self, form: Form) -> Option<Answer> {
        let one = match self.find(form.text("DBInstanceIdentifier")) {
            Ok(one) => one,
            Err(refused) => return Some(Err(refused)),
        };
        if one.node.text("DeletionProtection") == "true" {
            let message = "Cannot delete protected DB Instance, please disable deletion protection and try again.";
            return Some(Err((400, "InvalidParameterCombination", message.into())));
        }
        if !form.is("SkipFinalSnapshot") && form.get("FinalDBSnapshotIdentifier").is_none() {
            let message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.";
            return Some(Err((400, "InvalidParameterCombination", message.into())));
        }
        one.emulated.take_if(|name| name != one.node.text("DBInstanceIdentifier"));
        one.emulated.is_none().then(|| self.deleted(form))
    }

    /// Whether the emulator knows it by the name that it has now.
    pub(super) fn is_emulated(&mut self, form: Form) -> bool {
        let named = form.text("DBInstanceIdentifier");
        self.find(named).is_ok_and(|one| one.emulated.as_deref() == Some(one.identifier()))
    }

    pub(super) fn deleted(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        if let Some(snapshot) = form.get("FinalDBSnapshotIdentifier") {
            self.snapshot_of(form.text("DBInstanceIdentifier"), snapshot)?;
        }
        let one = self.find(form.text("DBInstanceIdentifier"))?;
        one.emulated = None;
        one.phases.push_back(Phase::new("deleting", looks, Then::Deleted));
        Ok(vec![one.shown()])
    }
}
