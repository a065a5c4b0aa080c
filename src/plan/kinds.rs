//! Which kind of server of RDS a system names, as the runbook says it: before anything was looked at.

use super::Plan;
use crate::runbook::model::{Means, Rds, Step, System};
use crate::systems::aws::rds::Kind;

impl Plan {
    /// That of an `rds` system. The green one of a deployment is of the kind of the blue one.
    #[must_use]
    pub fn kind_of_rds(&self, name: &str) -> Kind {
        let named = |name: &str| match self.systems.get(name) {
            Some(System::Rds(spec)) => Some(spec),
            _ => None,
        };
        let blue = |spec: &Rds| spec.blue_green.as_ref().and_then(|_| self.blue_of(name)).and_then(named);
        let is_cluster = |spec: &Rds| blue(spec).unwrap_or(spec).cluster.is_some();
        if named(name).is_some_and(is_cluster) { Kind::Cluster } else { Kind::Instance }
    }

    /// The `rds` system of the blue one: the step names it that makes the deployment, or has it switched over.
    fn blue_of(&self, green: &str) -> Option<&str> {
        let rds = |database: &str| self.systems.get(database)?.naming().map(|naming| naming.rds);
        self.steps.iter().find_map(|step| match &step.step {
            Step::CreateBlueGreen(step) if step.of == green => Some(step.from.as_str()),
            Step::Replicate(step) if step.through == Means::BlueGreen && rds(&step.to) == Some(green) => {
                rds(&step.from)
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Choices, assemble, permissions};
    use super::*;
    use crate::runbook::load_str;

    fn plan(text: &str) -> Plan {
        assemble(&load_str("runbook.yaml", text, None).unwrap(), "runbook.yaml", Choices::default())
    }

    #[test]
    fn the_green_one_is_of_the_kind_of_the_blue_one_and_so_is_what_is_asked_of_iam() {
        let texts = [
            include_str!("../../runbooks/rds-blue-green.yaml"),
            include_str!("../../runbooks/rds-blue-green-create.yaml"),
        ];
        for text in texts {
            for (blue, kind) in [("{ instance: orders }", Kind::Instance), ("{ cluster: orders }", Kind::Cluster)] {
                let plan =
                    plan(&text.replace("blue: { rds: { instance: orders } }", &format!("blue: {{ rds: {blue} }}")));
                assert_eq!((plan.kind_of_rds("blue"), plan.kind_of_rds("green")), (kind, kind));
                let asked = permissions(&plan).unwrap();
                let clusters = asked.iter().any(|one| one.action == "rds:DescribeDBClusters");
                assert_eq!(clusters, kind == Kind::Cluster, "{asked:?}");
                let deletes = asked.iter().any(|one| one.action == "rds:DeleteDBCluster");
                assert_eq!(deletes, kind == Kind::Cluster, "{asked:?}");
            }
        }
        assert_eq!(plan(texts[0]).kind_of_rds("nobody"), Kind::Instance);
    }
}
