//! What was asked of RDS, and what it shows of it: a pure judgement. It is asked for again only when nothing came of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::systems::aws::rds::Source;
use crate::systems::aws::rds::blue_green::{Deployment, Standing};

/// RDS takes a while to show what it was asked for.
const SETTLES: Duration = Duration::from_secs(30);

/// What was asked for, and what was seen of it.
#[derive(Default)]
pub(super) struct Asking {
    /// When.
    pub at: Option<Timestamp>,
    /// What RDS said before.
    pub before: Option<String>,
    /// Whether it was seen under way.
    pub seen: bool,
    /// What RDS's events are about.
    pub sources: Vec<Source>,
}

/// What a look says.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// The green one takes writes.
    Arrived,
    /// Nothing is under way: it may be asked for. With the words of RDS.
    Free(String),
    /// RDS did not do it.
    Refused(String),
    /// It is on its way, or can't be looked at now.
    Busy(String),
}

impl Asking {
    /// What a look at the deployment says.
    pub fn judge(&mut self, found: &Deployment) -> Look {
        let words = found.words.clone();
        let at_rest = matches!(found.standing, Standing::Available | Standing::Failed);
        self.seen |= found.standing == Standing::Switching;
        match self.at {
            _ if found.standing == Standing::Switching => Look::Busy(words),
            _ if !at_rest => Look::Refused(words),
            None => Look::Free(words),
            Some(at) => {
                let long_ago = Duration::try_from(clock::now().duration_since(at)).unwrap_or_default() > SETTLES;
                let changed = self.before.as_ref().is_some_and(|before| *before != words);
                match (self.seen || changed || found.standing == Standing::Failed && self.before.is_none(), long_ago) {
                    (true, _) => Look::Refused(words),
                    (false, true) => Look::Free(words),
                    (false, false) => Look::Busy(format!("asked for, and nothing is seen of it yet ({words})")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn shows(standing: Standing, words: &str) -> Deployment {
        let (id, name, blue) = (String::new(), String::new(), String::new());
        let (tasks, tags) = (Vec::new(), std::collections::BTreeMap::new());
        Deployment { id, name, blue, green: None, standing, words: words.into(), tasks, tags }
    }

    fn asked(secs: i64, before: Option<&str>) -> Asking {
        let at = clock::now() - SignedDuration::from_secs(secs);
        Asking { at: Some(at), before: before.map(str::to_owned), ..Asking::default() }
    }

    #[test]
    fn it_is_asked_for_again_only_when_nothing_came_of_it() {
        let available = shows(Standing::Available, "AVAILABLE");
        let mut nobody = Asking::default();
        assert_eq!(nobody.judge(&available), Look::Free("AVAILABLE".into()));
        assert!(matches!(asked(1, Some("AVAILABLE")).judge(&available), Look::Busy(_)), "RDS shows it later");
        assert!(matches!(asked(1, None).judge(&available), Look::Busy(_)), "another executor may have asked");
        assert!(matches!(asked(60, None).judge(&available), Look::Free(_)), "it never got there");
    }

    #[test]
    fn what_rds_took_back_is_told_to_a_person() {
        let (available, failed) = (shows(Standing::Available, "AVAILABLE"), shows(Standing::Failed, "FAILED: lag"));
        let mut asking = asked(1, Some("AVAILABLE"));
        assert!(matches!(asking.judge(&shows(Standing::Switching, "IN_PROGRESS")), Look::Busy(_)));
        assert!(matches!(asking.judge(&available), Look::Refused(_)), "it was under way");
        assert_eq!(asked(1, Some("AVAILABLE")).judge(&failed), Look::Refused("FAILED: lag".into()));
        assert!(matches!(asked(1, Some("FAILED: lag")).judge(&failed), Look::Busy(_)), "that is the time before");
        let gone = shows(Standing::Other("INVALID_CONFIGURATION".into()), "INVALID_CONFIGURATION");
        assert!(matches!(asked(1, None).judge(&gone), Look::Refused(_)));
    }
}
