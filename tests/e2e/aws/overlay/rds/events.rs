//! Events (user guide, "Amazon RDS event categories and event messages"), which the emulator has of creation only.

use jiff::Timestamp;

use super::{Answer, Form, Node, State};

pub(super) struct Event {
    of: String,
    kind: &'static str,
    category: &'static str,
    message: String,
    at: Timestamp,
}

impl State {
    pub(super) fn tell(&mut self, of: &str, category: &'static str, message: &str) {
        self.tell_of("db-instance", of, category, message);
    }

    /// Source types: API reference, DescribeEvents.
    pub(super) fn tell_of(&mut self, kind: &'static str, of: &str, category: &'static str, message: &str) {
        let (of, message, at) = (of.to_owned(), message.to_owned(), pointsman::clock::now());
        self.events.push(Event { of, kind, category, message, at });
    }

    pub(super) fn describe_events(&mut self, form: Form) -> Answer {
        let (of, kind) = (form.get("SourceIdentifier"), form.get("SourceType"));
        if of.is_some() && kind.is_none() {
            let message = "If SourceIdentifier is supplied, SourceType must also be provided.";
            return Err((400, "InvalidParameterCombination", message.into()));
        }
        let since = form.get("StartTime").map(|at| at.parse::<Timestamp>().expect("a time"));
        let wanted = |event: &&Event| {
            of.is_none_or(|of| of == event.of)
                && kind.is_none_or(|kind| kind == event.kind)
                && since.is_none_or(|since| event.at >= since)
        };
        let shown = self.events.iter().filter(wanted).map(|event| {
            let category = Node::leaf("EventCategory", event.category);
            Node::of(
                "Event",
                vec![
                    Node::leaf("SourceIdentifier", &event.of),
                    Node::leaf("SourceType", event.kind),
                    Node::leaf("Message", &event.message),
                    Node::of("EventCategories", vec![category]),
                    Node::leaf("Date", event.at.to_string()),
                ],
            )
        });
        Ok(vec![Node::of("Events", shown.collect())])
    }
}
