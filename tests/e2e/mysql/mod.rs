//! MySQL and MariaDB: the sandbox, and the scenarios of whole cutovers that PostgreSQL goes through.

mod by_position;
mod check;
mod compare;
mod copy;
mod crashes;
mod failures;
mod on_rds;
mod pairs;
mod parallel;
mod preflight;
mod replica;
mod sandbox;
mod sequences;
mod support;
mod tls;

/// Transactions a second: as many as a target can follow on a machine that is busy with other tests.
const RATE: f64 = 150.0;

mod of_mysql {
    use pointsman::sandbox::mysql::Mysql;

    use super::RATE;
    use crate::cutover::support::scenarios;

    mod forward {
        use super::{Mysql, RATE, scenarios};
        scenarios!(forward, Mysql, RATE;
            there_and_back_and_there_for_good,
            back_from_every_step_before_the_switch,
            back_from_a_window_that_did_not_open_or_was_left,
        );
    }

    mod guard {
        use super::{Mysql, RATE, scenarios};
        scenarios!(guard, Mysql, RATE;
            an_executor_that_is_killed_before_the_commit_point_leaves_writes_at_the_source,
            an_executor_that_is_killed_behind_the_commit_point_has_the_cutover_finished,
            an_executor_that_hung_and_wakes_up_changes_nothing,
            when_both_are_dead_resume_repairs,
        );
    }

    mod executors {
        use super::{Mysql, RATE, scenarios};
        scenarios!(executors, Mysql, RATE; of_two_that_resume_one_wins);
    }

    mod killing {
        use super::{Mysql, RATE};
        use crate::cutover::killing::{kill_a_rollback, kill_a_run};

        #[tokio::test(flavor = "multi_thread")]
        async fn every_second_entry_of_a_run() {
            kill_a_run::<Mysql>(RATE, 2, 2).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn every_second_entry_of_a_run_from_the_first() {
            kill_a_run::<Mysql>(RATE, 1, 2).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn every_third_entry_of_a_rollback() {
            kill_a_rollback::<Mysql>(RATE, 2, 3).await;
        }
    }
}

mod of_mariadb {
    use pointsman::sandbox::mysql::Mariadb;

    use super::RATE;
    use crate::cutover::support::scenarios;

    mod forward {
        use super::{Mariadb, RATE, scenarios};
        scenarios!(forward, Mariadb, RATE;
            there_and_back_and_there_for_good,
            back_from_a_window_that_did_not_open_or_was_left,
        );
    }

    mod guard {
        use super::{Mariadb, RATE, scenarios};
        scenarios!(guard, Mariadb, RATE;
            an_executor_that_is_killed_before_the_commit_point_leaves_writes_at_the_source,
            an_executor_that_is_killed_behind_the_commit_point_has_the_cutover_finished,
        );
    }

    mod killing {
        use super::{Mariadb, RATE};
        use crate::cutover::killing::kill_a_run;

        #[tokio::test(flavor = "multi_thread")]
        async fn every_third_entry_of_a_run() {
            kill_a_run::<Mariadb>(RATE, 1, 3).await;
        }
    }
}
