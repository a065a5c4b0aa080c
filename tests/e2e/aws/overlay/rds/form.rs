//! The form of a request in the query protocol.

use serde_json::Value;

#[derive(Clone, Copy)]
pub(super) struct Form<'a>(pub &'a Value);

impl<'a> Form<'a> {
    /// A field, if it is there.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A field, or an empty text.
    pub fn text(self, name: &str) -> &'a str {
        self.get(name).unwrap_or_default()
    }

    pub fn is(self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// The numbered fields of a list, such as `Parameters.Parameter.1.ParameterName`.
    pub fn list(self, prefix: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
        (1..).map_while(move |number| self.get(&format!("{prefix}.{number}{name}")))
    }

    /// The values of a filter, if it was given.
    pub fn filter(self, name: &str) -> Option<Vec<&'a str>> {
        let number = self.list("Filters.Filter", ".Name").position(|found| found == name)? + 1;
        let value = |at: usize| self.get(&format!("Filters.Filter.{number}.Values.Value.{at}"));
        Some((1..).map_while(value).collect())
    }
}
