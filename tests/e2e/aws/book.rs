//! Runbooks of these tests: traffic of a load balancer, and nothing else.

use super::support::Scene;

/// What is different in a runbook.
pub struct Book {
    /// More words of the load balancer's system, such as `, stickiness: off`.
    pub alb: &'static str,
    /// A call without an answer is given up after this long.
    pub timeout: &'static str,
    /// How long a share stays.
    pub bake: &'static str,
    /// The step's weights.
    pub weights: &'static str,
    /// More words of the step, such as `, on-fail: rollback`.
    pub shift: &'static str,
    /// Whether the rules of [`NewBalancer::more_paths`] move too.
    ///
    /// [`NewBalancer::more_paths`]: pointsman::sandbox::aws::NewBalancer
    pub more_rules: bool,
    /// Lines of gates.
    pub gates: &'static str,
    /// Lines behind the step.
    pub after: &'static str,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            alb: "",
            timeout: "2s",
            bake: "100ms",
            weights: "[25, 100]",
            shift: "",
            more_rules: false,
            gates: "",
            after: "",
        }
    }
}

impl Book {
    /// The listener's default and its rules move together; the share is seen by requests of the program's own.
    pub fn text(&self, scene: &Scene) -> String {
        let balancer = &scene.sandbox.balancer;
        let more = balancer.more_rules.iter().filter(|_| self.more_rules);
        let rules: Vec<String> = [&balancer.rule].into_iter().chain(more).map(|arn| format!("\"{arn}\"")).collect();
        let gates = if self.gates.is_empty() { String::new() } else { format!("gates:\n{}", self.gates) };
        format!(
            "version: 1\nname: weights\nstage: rehearsal\naws: {{ account: \"123456789012\", region: us-east-1, timeout: {} }}\n\
             systems:\n  web:\n    alb: {{ listeners: [\"{}\"], rules: [{}], from: \"{}\", to: \"{}\", settle: 500ms, \
             health: {{ within: 3s }}, observe: {{ http: {{ url: \"${{env:WEB_URL}}/whoami\", from: old, to: new, \
             rate: 100 }} }}{} }}\n{gates}steps:\n  - shift: {{ traffic: web, weights: {}, bake: {}, min-requests: 30, \
             tolerance: 10, timeout: 20s{} }}\n{}",
            self.timeout,
            balancer.listener,
            rules.join(", "),
            balancer.from,
            balancer.to,
            self.alb,
            self.weights,
            self.bake,
            self.shift,
            self.after,
        )
    }
}

impl Scene {
    /// Writes a runbook, in which all is as usual but for what is said here.
    pub fn book(&self, book: &Book) {
        self.write(&book.text(self));
    }
}
