//! Where a plan works, as far as its systems say: account and region of a cloud.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::plan::Plan;

/// Account and region, from the names of resources (`arn:aws:…`) and from `region` keys.
#[must_use]
pub fn place(plan: &Plan) -> Option<String> {
    let mut found = Found::default();
    found.look(&serde_json::to_value(&plan.systems).unwrap_or_default());
    let join = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
    let accounts = Some(join(found.accounts)).filter(|text| !text.is_empty()).map(|text| format!("account {text}"));
    let regions = Some(join(found.regions)).filter(|text| !text.is_empty());
    let parts: Vec<String> = accounts.into_iter().chain(regions).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[derive(Default)]
struct Found {
    accounts: BTreeSet<String>,
    regions: BTreeSet<String>,
}

impl Found {
    fn look(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("region", Value::String(region)) => drop(self.regions.insert(region.clone())),
                _ => self.look(value),
            }),
            Value::Array(values) => values.iter().for_each(|value| self.look(value)),
            Value::String(text) if text.starts_with("arn:") => self.name(text),
            _ => {}
        }
    }

    /// `arn:PARTITION:SERVICE:REGION:ACCOUNT:…`
    fn name(&mut self, arn: &str) {
        let mut parts = arn.split(':').skip(3);
        let mut keep = |set: fn(&mut Self) -> &mut BTreeSet<String>, part: Option<&str>| {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                set(self).insert(part.to_owned());
            }
        };
        keep(|found| &mut found.regions, parts.next());
        keep(|found| &mut found.accounts, parts.next());
    }
}
