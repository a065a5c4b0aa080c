//! From a share of the traffic to HAProxy's weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::runbook::model::Name;

/// The largest weight that HAProxy knows.
pub const WEIGHT_MAX: u32 = 256;

/// Weights of servers, by name: what is journaled before a change, and put back by an undo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weights(pub BTreeMap<Name, u32>);

impl Weights {
    /// Weights that give `share` per cent to the servers of `to`, as closely as weights can. Each side's servers weigh
    /// the same. Both sides get some unless the share is 0 or 100, and never do all weigh nothing.
    #[must_use]
    pub fn for_share(share: f64, from: &[Name], to: &[Name]) -> Self {
        let (leaving, arriving) = pair(share, from.len(), to.len());
        let from = from.iter().map(|name| (name.clone(), leaving));
        Self(from.chain(to.iter().map(|name| (name.clone(), arriving))).collect())
    }

    /// The share in per cent that these weights give to the servers of `to`; nothing when all weigh nothing.
    #[must_use]
    pub fn share(&self, to: &[Name]) -> Option<f64> {
        let total: u32 = self.0.values().sum();
        let arriving: u32 = self.0.iter().filter(|(name, _)| to.contains(name)).map(|(_, weight)| weight).sum();
        (total > 0).then(|| f64::from(arriving) * 100.0 / f64::from(total))
    }
}

/// The weight of one server of each side.
fn pair(share: f64, from: usize, to: usize) -> (u32, u32) {
    // An empty side can't get any; the other must then have all.
    if share <= 0.0 || to == 0 {
        return (100, 0);
    }
    if share >= 100.0 || from == 0 {
        return (0, 100);
    }
    let all = (1..=WEIGHT_MAX).flat_map(|leaving| (1..=WEIGHT_MAX).map(move |arriving| (leaving, arriving)));
    let better = |a: &(u32, u32), b: &(u32, u32)| {
        let off = |pair| (share_of(pair, from, to) - share).abs();
        // Among equals the pair whose sum is nearest to 100: it reads as per cent.
        let plain = |(leaving, arriving): (u32, u32)| (leaving + arriving).abs_diff(100);
        let (first, second) = (off(*a), off(*b));
        if (first - second).abs() < 1e-9 { plain(*a).cmp(&plain(*b)) } else { first.total_cmp(&second) }
    };
    all.min_by(better).unwrap_or((100, 0))
}

#[expect(clippy::cast_precision_loss, reason = "a backend has few servers")]
fn share_of((leaving, arriving): (u32, u32), from: usize, to: usize) -> f64 {
    let arriving = f64::from(arriving) * to as f64;
    arriving * 100.0 / (arriving + f64::from(leaving) * from as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(side: &str, count: usize) -> Vec<Name> {
        (0..count).map(|at| format!("{side}{at}")).collect()
    }

    #[test]
    fn read_as_per_cent_with_one_server_each() {
        for (share, wanted) in [(0.0, (100, 0)), (1.0, (99, 1)), (5.0, (95, 5)), (25.0, (75, 25)), (50.0, (50, 50))] {
            assert_eq!(pair(share, 1, 1), wanted, "{share}");
        }
        assert_eq!(pair(100.0, 1, 1), (0, 100));
        assert_eq!(pair(0.5, 1, 1), (199, 1));
        assert_eq!(pair(0.01, 1, 1), (256, 1), "the least there is");
        assert_eq!(pair(50.0, 1, 3), (75, 25));
    }

    #[test]
    fn gives_back_its_share() {
        let (from, to) = (names("blue", 2), names("green", 3));
        let weights = Weights::for_share(10.0, &from, &to);
        assert_eq!(weights.0.len(), 5);
        assert!((weights.share(&to).unwrap() - 10.0).abs() < 0.01);
        assert_eq!(Weights::default().share(&to), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn always_some_traffic_and_near_the_share(share in 0.0..=100.0_f64, from in 1..5_usize, to in 1..5_usize) {
            let (from, to) = (names("blue", from), names("green", to));
            let weights = Weights::for_share(share, &from, &to);
            prop_assert!(weights.0.values().all(|weight| *weight <= WEIGHT_MAX));
            let given = weights.share(&to);
            prop_assert!(given.is_some());
            if (2.0..=98.0).contains(&share) {
                prop_assert!((given.unwrap() - share).abs() < 0.5, "{weights:?}");
            }
        }
    }
}
