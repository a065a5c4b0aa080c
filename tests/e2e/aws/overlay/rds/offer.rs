//! What RDS offers to make, of which the emulator knows nothing (API reference, DescribeDBEngineVersions: deprecated versions
//! with `IncludeAll` only; DescribeOrderableDBInstanceOptions: the options that fit what was asked for).

use super::{Form, Node};

/// Of every engine alike: a version, and whether it was given up.
const VERSIONS: [(&str, bool); 4] = [("16.1", true), ("17.4", false), ("17.5", false), ("18.1", false)];
const CLASSES: [&str; 3] = ["db.m7g.large", "db.r7g.large", "db.t4g.large"];

pub(super) fn versions(form: Form) -> Node {
    let told = VERSIONS.iter().filter(|(_, deprecated)| !deprecated || form.is("IncludeAll"));
    let version = |(version, deprecated): &(&str, bool)| {
        let status = if *deprecated { "deprecated" } else { "available" };
        let fields = [("Engine", form.text("Engine")), ("EngineVersion", version), ("Status", status)];
        Node::of("DBEngineVersion", fields.map(|(name, text)| Node::leaf(name, text)).into())
    };
    Node::of("DBEngineVersions", told.map(version).collect())
}

pub(super) fn options(form: Form) -> Node {
    let version = |wanted: &str| VERSIONS.iter().any(|(version, _)| *version == wanted);
    let offered = form.get("EngineVersion").is_none_or(version);
    let fits = |class: &&&str| offered && form.get("DBInstanceClass").is_none_or(|wanted| wanted == **class);
    let option = |class: &&str| {
        let fields = [("Engine", form.text("Engine")), ("DBInstanceClass", class)];
        Node::of("OrderableDBInstanceOption", fields.map(|(name, text)| Node::leaf(name, text)).into())
    };
    Node::of("OrderableDBInstanceOptions", CLASSES.iter().filter(fits).map(option).collect())
}
