//! Parameter groups, whose changes the emulator has in force at once.
//!
//! User guide, "Parameter groups for Amazon RDS": a dynamic parameter with the method `immediate` is applied at once; a
//! static one needs `pending-reboot`, and the instance shows `pending-reboot` until it is rebooted. "Modifying parameters in a
//! DB parameter group": a default group can't be changed. API reference, ModifyDBParameterGroup: at most 20 in a call.

use std::collections::BTreeMap;

use super::{Answer, Form, Node, State};

#[derive(Default)]
pub(super) struct Group {
    /// What was set, by name.
    set: BTreeMap<String, String>,
}

/// Parameters that are there without anybody's having set them: name, value, whether dynamic.
const KNOWN: [(&str, &str, bool); 14] = [
    ("rds.logical_replication", "0", false),
    ("rds.force_ssl", "1", true),
    ("shared_preload_libraries", "pg_stat_statements", false),
    ("max_connections", "100", false),
    ("max_replication_slots", "20", false),
    ("max_wal_senders", "20", false),
    ("max_worker_processes", "8", false),
    ("max_logical_replication_workers", "4", false),
    ("work_mem", "4096", true),
    ("log_min_duration_statement", "-1", true),
    ("binlog_format", "MIXED", true),
    ("gtid-mode", "OFF_PERMISSIVE", false),
    ("read_only", "{TrueIfReplica}", true),
    ("long_query_time", "10", true),
];

fn known(name: &str) -> Option<(&'static str, bool)> {
    KNOWN.iter().find(|(known, ..)| *known == name).map(|(_, value, dynamic)| (*value, *dynamic))
}

/// The element that names a group: of instances, or of clusters.
fn element(form: Form) -> &'static str {
    let of_cluster = form.get("DBClusterParameterGroupName").is_some();
    if of_cluster { "DBClusterParameterGroupName" } else { "DBParameterGroupName" }
}

fn name_in(form: Form<'_>) -> &str {
    form.text(element(form))
}

impl State {
    pub(super) fn made_group(&mut self, form: Form) {
        self.groups.entry(name_in(form).to_owned()).or_default();
    }

    /// What a group sets.
    pub(super) fn values_of(&self, name: &str) -> BTreeMap<String, String> {
        self.groups.get(name).map(|group| group.set.clone()).unwrap_or_default()
    }

    fn group(&mut self, form: Form) -> Result<&mut Group, (u16, &'static str, String)> {
        let name = name_in(form);
        if name.starts_with("default.") {
            let message =
                "The parameter group DBParameterGroup name cannot begin with 'default': it can't be modified.";
            return Err((400, "InvalidParameterValue", message.into()));
        }
        let missing = || (404, "DBParameterGroupNotFound", format!("DBParameterGroup not found: {name}"));
        self.groups.get_mut(name).ok_or_else(missing)
    }

    /// Names, values and methods of the request.
    fn asked(form: Form<'_>) -> Vec<(&str, Option<&str>, &str)> {
        let names = form.list("Parameters.Parameter", ".ParameterName").enumerate();
        let field = |at: usize, field: &str| form.get(&format!("Parameters.Parameter.{}.{field}", at + 1));
        let with = |(at, name)| (name, field(at, "ParameterValue"), field(at, "ApplyMethod").unwrap_or_default());
        names.map(with).collect()
    }

    pub(super) fn modify_group(&mut self, form: Form) -> Answer {
        let asked = Self::asked(form);
        if asked.is_empty() || asked.len() > 20 {
            return Err((400, "InvalidParameterValue", "Between 1 and 20 parameters can be modified.".into()));
        }
        let name = name_in(form);
        let pending = self.group(form)?;
        let mut now = BTreeMap::new();
        for (parameter, value, method) in &asked {
            let Some((_, dynamic)) = known(parameter) else {
                return Err((400, "InvalidParameterValue", format!("Could not find parameter with name: {parameter}")));
            };
            if !dynamic && *method == "immediate" {
                let message = "cannot use immediate apply method for static parameter";
                return Err((400, "InvalidParameterCombination", message.into()));
            }
            let value = value.unwrap_or_default().to_owned();
            if *method == "immediate" {
                now.insert((*parameter).to_owned(), value.clone());
            }
            pending.set.insert((*parameter).to_owned(), value);
        }
        self.changed(name, &now, asked.len() > now.len());
        Ok(vec![Node::leaf(element(form), name)])
    }

    /// Parameters that get the engine's default again.
    pub(super) fn reset_group(&mut self, form: Form) -> Answer {
        let (name, asked) = (name_in(form), Self::asked(form));
        let group = self.group(form)?;
        let mut now = BTreeMap::new();
        for (parameter, _, method) in &asked {
            group.set.remove(*parameter);
            if let (Some((value, _)), "immediate") = (known(parameter), *method) {
                now.insert((*parameter).to_owned(), value.to_owned());
            }
        }
        self.changed(name, &now, asked.len() > now.len());
        Ok(vec![Node::leaf(element(form), name)])
    }

    /// Instances with the group take what is immediate, and wait for a reboot for the rest.
    fn changed(&mut self, group: &str, now: &BTreeMap<String, String>, waits: bool) {
        if waits {
            self.cluster_group_changed(group);
        }
        for one in self.instances.iter_mut().filter(|one| one.group() == group) {
            one.in_force.extend(now.clone());
            if let (false, Some(local)) = (now.is_empty(), one.local.clone()) {
                let now = now.clone();
                tokio::spawn(async move { local.set(now, false).await });
            }
            if waits {
                one.set_group(group, "pending-reboot");
            }
        }
    }

    pub(super) fn describe_parameters(&mut self, form: Form) -> Answer {
        let name = name_in(form);
        if !name.starts_with("default.") {
            self.group(form)?;
        }
        let set = self.values_of(name);
        let source = form.get("Source");
        let shown = KNOWN.iter().filter_map(|(parameter, value, dynamic)| {
            let user = set.get(*parameter);
            let from = if user.is_some() { "user" } else { "engine-default" };
            source.is_none_or(|source| source == from).then(|| {
                let fields = [
                    ("ParameterName", *parameter),
                    ("ParameterValue", user.map_or(*value, String::as_str)),
                    ("Source", from),
                    ("ApplyType", if *dynamic { "dynamic" } else { "static" }),
                    ("DataType", "string"),
                    ("IsModifiable", "true"),
                    ("ApplyMethod", if *dynamic { "immediate" } else { "pending-reboot" }),
                ];
                Node::of("Parameter", fields.map(|(name, text)| Node::leaf(name, text)).into())
            })
        });
        Ok(vec![Node::of("Parameters", shown.collect())])
    }
}
