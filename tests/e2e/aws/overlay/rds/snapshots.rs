//! Snapshots, which the emulator has as `available` at once.
//!
//! API reference, `DBSnapshot`: `Status`, and `PercentProgress`, "The percentage of the estimated data that has been
//! transferred"; CreateDBSnapshot: `DBSnapshotAlreadyExists`, and the instance must be available.

use super::{
    Answer, Form, Node, State,
    instance::{Phase, Then},
};

pub(super) struct Snapshot {
    node: Node,
    looks: usize,
    of: usize,
    fails: bool,
}

impl Snapshot {
    /// The first element of `node` is its identifier.
    pub const fn new(node: Node, of: usize, fails: bool) -> Self {
        Self { node, looks: 0, of, fails }
    }

    pub fn identifier(&self) -> &str {
        &self.node.children[0].text
    }

    pub fn is_of_cluster(&self) -> bool {
        self.node.name == "DBClusterSnapshot"
    }

    pub fn looked_at(&mut self) -> Node {
        self.looks += 1;
        self.shown()
    }

    pub const fn status(&self) -> &'static str {
        match (self.looks < self.of, self.fails) {
            (true, _) => "creating",
            (false, true) => "failed",
            (false, false) => "available",
        }
    }

    pub fn shown(&self) -> Node {
        let mut node = self.node.clone();
        node.set("Status", self.status());
        node.set("PercentProgress", (100 * self.looks.min(self.of) / self.of).to_string());
        node
    }
}

impl State {
    pub(super) fn create_snapshot(&mut self, form: Form) -> Answer {
        let (of, identifier) = (form.text("DBInstanceIdentifier"), form.text("DBSnapshotIdentifier"));
        if self.snapshots.iter().any(|one| one.identifier() == identifier) {
            let message = format!(
                "Cannot create the snapshot because a snapshot with the identifier {identifier} already exists."
            );
            return Err((400, "DBSnapshotAlreadyExists", message));
        }
        let looks = self.looks;
        self.available(form)?.phases.push_back(Phase::new("backing-up", looks, Then::Nothing));
        let mut shown = self.snapshot_of(of, identifier)?;
        let tags = form.list("Tags.Tag", ".Key").zip(form.list("Tags.Tag", ".Value"));
        let tags = tags.map(|(key, value)| Node::of("Tag", vec![Node::leaf("Key", key), Node::leaf("Value", value)]));
        let tags = Node::of("TagList", tags.collect());
        shown.put(tags.clone());
        self.snapshots.last_mut().expect("it was made").node.put(tags);
        Ok(vec![shown])
    }

    pub(super) fn snapshot_of(&mut self, of: &str, identifier: &str) -> Result<Node, (u16, &'static str, String)> {
        let (total, fails) = (self.looks.max(1), self.snapshots_fail);
        let instance = &self.find(of)?.node;
        let mut node = Node::of("DBSnapshot", vec![Node::leaf("DBSnapshotIdentifier", identifier)]);
        for field in ["DBInstanceIdentifier", "DbiResourceId", "Engine", "EngineVersion", "AllocatedStorage"] {
            node.set(field, instance.text(field));
        }
        node.set("SnapshotType", "manual");
        node.set("SnapshotCreateTime", pointsman::clock::now().to_string());
        node.set("DBSnapshotArn", format!("arn:aws:rds:us-east-1:123456789012:snapshot:{identifier}"));
        let snapshot = Snapshot::new(node, total, fails);
        let shown = snapshot.shown();
        self.snapshots.push(snapshot);
        self.tell(of, "backup", "Backing up DB instance");
        Ok(shown)
    }

    pub(super) fn describe_snapshots(&mut self, form: Form) -> Answer {
        let (named, of) = (form.get("DBSnapshotIdentifier"), form.get("DBInstanceIdentifier"));
        let wanted = |one: &Snapshot| {
            !one.is_of_cluster()
                && named.is_none_or(|named| named == one.identifier())
                && of.is_none_or(|of| of == one.node.text("DBInstanceIdentifier"))
        };
        let mut found = Vec::new();
        for one in self.snapshots.iter_mut().filter(|one| wanted(one)) {
            found.push(one.looked_at());
        }
        match named {
            Some(named) if found.is_empty() => {
                Err((404, "DBSnapshotNotFound", format!("DBSnapshot {named} not found.")))
            }
            _ => Ok(vec![Node::of("DBSnapshots", found)]),
        }
    }

    pub(super) fn delete_snapshot(&mut self, form: Form) -> Answer {
        let named = form.text("DBSnapshotIdentifier");
        let at = self.snapshots.iter().position(|one| one.identifier() == named);
        let at = at.ok_or_else(|| (404, "DBSnapshotNotFound", format!("DBSnapshot {named} not found.")))?;
        Ok(vec![self.snapshots.remove(at).shown()])
    }
}
