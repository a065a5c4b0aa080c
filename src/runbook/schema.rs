//! JSON Schema of the format, for editors: derived from the shapes, then adapted to how the file spells them.

use serde_json::{Map, Value, json};

use super::de::LISTS_OF_NAMES;
use super::model::Runbook;

/// The JSON Schema (draft 2020-12) of a runbook as it stands in a file.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Runbook).to_value();
    inline_rules(&mut schema);
    lone_kinds(&mut schema);
    allow_variables(&mut schema);
    allow_nothing(&mut schema);
    lone_names(&mut schema);
    schema
}

/// In the file the keys of `GateRules` stand beside a gate's own.
fn inline_rules(schema: &mut Value) {
    let rules = schema["$defs"]["GateRules"]["properties"].clone();
    let Some(shapes) = schema["$defs"].as_object_mut() else { return };
    for shape in shapes.values_mut() {
        let Some(properties) = shape.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        let inline = properties.get("rules").is_some_and(|rules| rules["$ref"] == json!("#/$defs/GateRules"));
        if inline && let Some(rules) = rules.as_object() {
            properties.remove("rules");
            properties.extend(rules.clone());
        }
    }
    shapes.remove("GateRules");
}

/// A kind of step or gate that needs no words may stand alone: `- drain`.
fn lone_kinds(schema: &mut Value) {
    for shape in ["Step", "Gate"] {
        let variants = schema["$defs"][shape]["oneOf"].as_array().cloned().unwrap_or_default();
        let alone: Vec<Value> = variants.iter().filter_map(|variant| stands_alone(variant, &schema["$defs"])).collect();
        if let Some(variants) = schema["$defs"][shape]["oneOf"].as_array_mut()
            && !alone.is_empty()
        {
            variants.push(json!({ "description": "A kind that needs no words.", "enum": alone }));
        }
    }
}

fn stands_alone(variant: &Value, shapes: &Value) -> Option<Value> {
    let (kind, content) = variant["properties"].as_object()?.iter().next()?;
    let shape = content["$ref"].as_str()?.strip_prefix("#/$defs/")?;
    let needs = shapes[shape]["required"].as_array().is_some_and(|required| !required.is_empty());
    // These are refused without a limit, though no single key of them is required.
    (!needs && !matches!(kind.as_str(), "replication-lag" | "cloudwatch")).then(|| json!(kind))
}

/// Wherever a text must have a pattern, a variable may stand in its place.
fn allow_variables(schema: &mut Value) {
    each_object(schema, &mut |object| {
        if let Some(Value::String(pattern)) = object.get_mut("pattern") {
            *pattern = format!(r"{pattern}|^\$\{{var:[^}}]+\}}$");
        }
    });
}

/// `- drain:` and `gates:` with nothing behind them are read as empty.
fn allow_nothing(schema: &mut Value) {
    each_object(schema, &mut |object| {
        let is_shape = object.get("type") == Some(&json!("object"));
        let is_kind = object.get("required").and_then(Value::as_array).is_some_and(|required| !required.is_empty());
        if is_shape && !is_kind {
            object.insert("type".into(), json!(["object", "null"]));
        }
    });
}

/// One name may stand alone where a list of names is wanted: `through: pool`.
fn lone_names(schema: &mut Value) {
    each_object(schema, &mut |object| {
        let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
        for (name, property) in properties {
            if LISTS_OF_NAMES.contains(&name.as_str()) && property["type"] == json!("array") {
                property["type"] = json!(["array", "string"]);
            }
        }
    });
}

fn each_object(value: &mut Value, act: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            act(object);
            object.values_mut().for_each(|value| each_object(value, act));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| each_object(value, act)),
        _ => {}
    }
}
