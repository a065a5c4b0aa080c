//! Read replicas, and their promotion, which the emulator says yes to and never does.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Answer, Form, Node, State,
    instance::{Instance, Phase, Then},
};

impl State {
    /// API reference, CreateDBInstanceReadReplica; user guide, "Creating a read replica": automatic backups must be enabled
    /// on the source; a replica starts without them.
    pub(super) fn create_replica(&mut self, form: Form) -> Answer {
        let (identifier, source) = (form.text("DBInstanceIdentifier"), form.text("SourceDBInstanceIdentifier"));
        if self.find(identifier).is_ok() {
            return Err((400, "DBInstanceAlreadyExists", format!("DB instance already exists: {identifier}")));
        }
        let source = source.rsplit(':').next().unwrap_or(source);
        let of = self.find(source)?;
        if of.node.text("BackupRetentionPeriod") == "0" {
            let message = format!("Automated backups are not enabled for this database instance: {source}");
            return Err((400, "InvalidDBInstanceState", message));
        }
        let mut replicas = of.node.list("ReadReplicaDBInstanceIdentifiers");
        replicas.push(identifier.to_owned());
        let mut node = of.node.clone();
        of.node.set_list("ReadReplicaDBInstanceIdentifiers", &replicas);
        let host = node.text("Endpoint/Address").replacen(source, identifier, 1);
        node.put(Node::of("Endpoint", vec![Node::leaf("Address", host)]));
        node.set("DBInstanceIdentifier", identifier);
        node.set("DBInstanceArn", format!("arn:aws:rds:us-east-1:123456789012:db:{identifier}"));
        node.set("DbiResourceId", format!("db-LOCAL{:021}", self.number()));
        node.set("ReadReplicaSourceDBInstanceIdentifier", source);
        node.set("BackupRetentionPeriod", "0");
        node.set_list("ReadReplicaDBInstanceIdentifiers", &[]);
        let phases = VecDeque::from([Phase::new("creating", self.looks, Then::Nothing)]);
        let local = self.locals.remove(identifier);
        let in_force = self.values_of(node.text("DBParameterGroups/DBParameterGroup/DBParameterGroupName"));
        let instance = Instance { node, local, emulated: None, phases, pending: BTreeMap::new(), in_force };
        let shown = instance.shown();
        self.instances.push(instance);
        self.tell(identifier, "creation", "DB instance created");
        Ok(vec![shown])
    }

    /// API reference, PromoteReadReplica (`InvalidDBInstanceState` for one that is no replica); user guide, "Promoting a read
    /// replica to be a standalone DB instance": replication is stopped and the replica is rebooted, which takes minutes.
    pub(super) fn promote(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let one = self.available(form)?;
        if one.node.text("ReadReplicaSourceDBInstanceIdentifier").is_empty() {
            let message = format!("DB Instance {} is not a read replica.", one.identifier());
            return Err((400, "InvalidDBInstanceState", message));
        }
        let modifying = Phase::new("modifying", looks, Then::Promoted);
        one.phases.push_back(match one.local.clone() {
            Some(local) => modifying.with(async move { local.promoted().await }),
            None => modifying,
        });
        one.phases.push_back(Phase::new("rebooting", looks, Then::Nothing));
        let days = form.get("BackupRetentionPeriod").unwrap_or("1");
        one.node.set("BackupRetentionPeriod", days);
        Ok(vec![one.shown()])
    }

    /// Neither side knows the other any more.
    pub(super) fn promoted(&mut self, at: usize) {
        let one = &mut self.instances[at];
        let identifier = one.identifier().to_owned();
        let source = one.node.text("ReadReplicaSourceDBInstanceIdentifier").to_owned();
        one.node.remove("ReadReplicaSourceDBInstanceIdentifier");
        if let Ok(source) = self.find(&source) {
            let mut left = source.node.list("ReadReplicaDBInstanceIdentifiers");
            left.retain(|name| *name != identifier);
            source.node.set_list("ReadReplicaDBInstanceIdentifiers", &left);
        }
        self.tell(&identifier, "read replica", "Promoted read replica to a standalone database instance.");
    }
}
