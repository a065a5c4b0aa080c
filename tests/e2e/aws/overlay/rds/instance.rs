//! One instance, and the states that it goes through.

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc};

use tokio::task::JoinHandle;

use super::{Answer, Form, Local, Node, State};

pub(super) struct Instance {
    /// As it is once nothing is under way.
    pub node: Node,
    pub local: Option<Arc<dyn Local>>,
    /// The name that the emulator knows it by.
    pub emulated: Option<String>,
    /// What it goes through; the first is now.
    pub phases: VecDeque<Phase>,
    /// What was asked for and is not so yet: `PendingModifiedValues`.
    pub pending: BTreeMap<String, String>,
    /// The parameters that are in force, as the last reboot or change left them.
    pub in_force: BTreeMap<String, String>,
}

/// A state that lasts for some looks, and for as long as its work is not done.
pub(super) struct Phase {
    status: &'static str,
    looks: usize,
    work: Option<JoinHandle<()>>,
    then: Then,
}

/// What has happened once a state is over.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// The pending values are the values.
    Applied,
    Renamed(String),
    /// It follows nobody any more.
    Promoted,
    /// Its parameter group is in force.
    Rebooted,
    Deleted,
}

impl Phase {
    pub fn new(status: &'static str, looks: usize, then: Then) -> Self {
        Self { status, looks, work: None, then }
    }

    pub const fn status(&self) -> &'static str {
        self.status
    }

    /// Lasts until this is done.
    pub fn with(self, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { work: Some(tokio::spawn(work)), ..self }
    }
}

/// Somebody looked: what is over by now, with what it led to.
pub(super) fn over(phases: &mut VecDeque<Phase>) -> Option<Then> {
    let phase = phases.front_mut()?;
    phase.looks = phase.looks.saturating_sub(1);
    let works = phase.work.as_ref().is_some_and(|work| !work.is_finished());
    if phase.looks > 0 || works {
        return None;
    }
    phases.pop_front().map(|phase| phase.then)
}

impl Instance {
    pub fn identifier(&self) -> &str {
        self.node.text("DBInstanceIdentifier")
    }

    pub fn status(&self) -> &str {
        self.phases.front().map_or_else(|| self.node.text("DBInstanceStatus"), |phase| phase.status)
    }

    /// As DescribeDBInstances shows it.
    pub fn shown(&self) -> Node {
        let mut node = self.node.clone();
        node.set("DBInstanceStatus", self.status());
        // API reference, `DBInstance`: "The endpoint might not be shown for instances with the status of `creating`."
        if self.status() == "creating" {
            node.remove("Endpoint");
        } else if let Some(local) = &self.local {
            let port = local.port().to_string();
            node.put(Node::of("Endpoint", vec![Node::leaf("Address", "127.0.0.1"), Node::leaf("Port", port)]));
        }
        let pending = self.pending.iter().map(|(name, value)| Node::leaf(name, value)).collect();
        node.put(Node::of("PendingModifiedValues", pending));
        node
    }

    pub fn group(&self) -> &str {
        self.node.text("DBParameterGroups/DBParameterGroup/DBParameterGroupName")
    }

    pub fn set_group(&mut self, name: &str, status: &str) {
        let fields = vec![Node::leaf("DBParameterGroupName", name), Node::leaf("ParameterApplyStatus", status)];
        self.node.put(Node::of("DBParameterGroups", vec![Node::of("DBParameterGroup", fields)]));
    }
}

impl State {
    pub(super) fn find(&mut self, identifier: &str) -> Result<&mut Instance, (u16, &'static str, String)> {
        // Identifiers are not case-sensitive (user guide, "Naming constraints in Amazon RDS").
        let found = self.instances.iter_mut().find(|one| one.identifier().eq_ignore_ascii_case(identifier));
        found.ok_or_else(|| (404, "DBInstanceNotFound", format!("DBInstance {identifier} not found.")))
    }

    /// One that is asked to change must be available (API reference: `InvalidDBInstanceState`, "The DB instance isn't in a
    /// valid state").
    pub(super) fn available(&mut self, form: Form) -> Result<&mut Instance, (u16, &'static str, String)> {
        let found = self.find(form.text("DBInstanceIdentifier"))?;
        let status = found.status().to_owned();
        if status == "available" {
            return Ok(found);
        }
        let message = format!("Instance {} is not in available state but {status}.", found.identifier());
        Err((400, "InvalidDBInstanceState", message))
    }

    /// A number that nothing else has.
    pub(super) fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// The emulator made it. It is made, then backed up for the first time if it is ever backed up (user guide, "Viewing
    /// Amazon RDS DB instance status": `creating`, `backing-up`, `available`).
    pub(super) fn made(&mut self, mut node: Node) -> Node {
        let identifier = node.text("DBInstanceIdentifier").to_owned();
        // API reference, `DBInstance`: `DbiResourceId` is "The Amazon Web Services Region-unique, immutable identifier".
        node.set("DbiResourceId", format!("db-LOCAL{:021}", self.number()));
        let backed_up = node.text("BackupRetentionPeriod") != "0";
        let mut phases = VecDeque::from([Phase::new("creating", self.looks, Then::Nothing)]);
        if backed_up {
            phases.push_back(Phase::new("backing-up", self.looks, Then::Nothing));
        }
        let in_force = self.values_of(node.text("DBParameterGroups/DBParameterGroup/DBParameterGroupName"));
        let local = self.locals.remove(&identifier);
        let emulated = Some(identifier.clone());
        let instance = Instance { node, local, emulated, phases, pending: BTreeMap::new(), in_force };
        let shown = instance.shown();
        self.instances.push(instance);
        self.tell(&identifier, "creation", "DB instance created");
        shown
    }

    pub(super) fn describe(&mut self, form: Form) -> Answer {
        self.go_on();
        if let Some(identifier) = form.get("DBInstanceIdentifier") {
            let shown = self.find(identifier)?.shown();
            return Ok(vec![Node::of("DBInstances", vec![shown])]);
        }
        let filters = [("db-instance-id", "DBInstanceIdentifier"), ("dbi-resource-id", "DbiResourceId")];
        let filters = filters.into_iter().chain([("db-cluster-id", "DBClusterIdentifier"), ("engine", "Engine")]);
        let filters: Vec<_> = filters.filter_map(|(name, field)| Some((field, form.filter(name)?))).collect();
        let wanted = |one: &&Instance| filters.iter().all(|(field, values)| values.contains(&one.node.text(field)));
        let shown = self.instances.iter().filter(wanted).map(Instance::shown).collect();
        Ok(vec![Node::of("DBInstances", shown)])
    }

    /// Everything that is under way makes progress when somebody looks at instances, or at clusters.
    pub(super) fn go_on(&mut self) {
        for at in (0..self.instances.len()).rev() {
            if let Some(then) = over(&mut self.instances[at].phases) {
                self.happened(at, then);
            }
        }
    }

    fn happened(&mut self, at: usize, then: Then) {
        let identifier = self.instances[at].identifier().to_owned();
        match then {
            Then::Nothing => {}
            Then::Applied => {
                let one = &mut self.instances[at];
                for (name, value) in std::mem::take(&mut one.pending) {
                    one.node.set(&name, value);
                }
                self.tell(&identifier, "configuration change", "Finished applying modification");
            }
            Then::Renamed(to) => self.renamed(at, &to),
            Then::Promoted => self.promoted(at),
            Then::Rebooted => self.rebooted(at),
            Then::Deleted => {
                self.instances.remove(at);
                self.tell(&identifier, "deletion", "DB instance deleted");
            }
        }
    }
}
