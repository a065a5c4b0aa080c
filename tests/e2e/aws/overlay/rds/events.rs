//! Events (user guide, "Amazon RDS event categories and event messages"), which the emulator has of creation only.

use super::{Answer, Form, Node, State};

pub(super) struct Event {
    of: String,
    category: &'static str,
    message: String,
    at: String,
}

impl State {
    pub(super) fn tell(&mut self, of: &str, category: &'static str, message: &str) {
        let at = pointsman::clock::now().to_string();
        self.events.push(Event { of: of.to_owned(), category, message: message.to_owned(), at });
    }

    pub(super) fn describe_events(&mut self, form: Form) -> Answer {
        let of = form.get("SourceIdentifier");
        if of.is_some() && form.get("SourceType").is_none() {
            let message = "If SourceIdentifier is supplied, SourceType must also be provided.";
            return Err((400, "InvalidParameterCombination", message.into()));
        }
        let since = form.text("StartTime");
        let wanted = |event: &&Event| of.is_none_or(|of| of == event.of) && event.at.as_str() >= since;
        let shown = self.events.iter().filter(wanted).map(|event| {
            let category = Node::leaf("EventCategory", event.category);
            Node::of(
                "Event",
                vec![
                    Node::leaf("SourceIdentifier", &event.of),
                    Node::leaf("SourceType", "db-instance"),
                    Node::leaf("Message", &event.message),
                    Node::of("EventCategories", vec![category]),
                    Node::leaf("Date", &event.at),
                ],
            )
        });
        Ok(vec![Node::of("Events", shown.collect())])
    }
}
