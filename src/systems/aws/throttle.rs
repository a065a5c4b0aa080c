//! Pace: how many calls a second each service gets from us, a part of it kept for going back, and how long to wait
//! before a call is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::calls::Service;
use crate::clock;

/// Tries of one call.
pub const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Calls to one service within one account and region.
#[derive(Clone, Copy, Debug)]
struct Pace {
    burst: f64,
    a_second: f64,
    /// Calls of the burst that only going back may use.
    reserve: f64,
}

impl Pace {
    /// Well below what AWS grants, since consoles and other programs drink from the same bucket: ELB's Describe calls
    /// have 40 and 10 a second, Route 53 has 5 a second for everything.
    const fn of(service: Service, write: bool) -> Self {
        match (service, write) {
            (Service::Elbv2, false) => Self { burst: 24.0, a_second: 5.0, reserve: 8.0 },
            (Service::Route53, _) => Self { burst: 4.0, a_second: 2.0, reserve: 2.0 },
            (_, false) => Self { burst: 20.0, a_second: 5.0, reserve: 6.0 },
            (_, true) => Self { burst: 10.0, a_second: 2.0, reserve: 5.0 },
        }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// What is left of each service's pace.
#[derive(Clone, Debug, Default)]
pub struct Budgets(Arc<Mutex<HashMap<(Service, bool), Bucket>>>);

impl Budgets {
    /// Waits until a call may be sent. `urgent` calls, those of a rollback, may use the reserve.
    pub async fn wait(&self, service: Service, write: bool, urgent: bool) {
        while let Some(wait) = self.take(service, write, urgent, clock::monotonic()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a call from the budget; or says how long to wait.
    fn take(&self, service: Service, write: bool, urgent: bool, now: Instant) -> Option<Duration> {
        let pace = Pace::of(service, write);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((service, write)).or_insert(Bucket { tokens: pace.burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * pace.a_second).min(pace.burst);
        bucket.at = now;
        let floor = if urgent { 0.0 } else { pace.reserve };
        let missing = 1.0 + floor - bucket.tokens;
        if missing <= 0.0 {
            bucket.tokens -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64(missing / pace.a_second).max(Duration::from_millis(10)))
    }
}

/// How long to wait before attempt `attempt + 1`: doubled each time, anywhere between nothing and all of it, so that
/// programs that were refused together do not come back together.
#[must_use]
pub fn backoff(attempt: u32) -> Duration {
    longest_backoff(attempt).mul_f64(rand::random::<f64>())
}

fn longest_backoff(attempt: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempt.min(10)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_for_going_back() {
        let (budgets, now) = (Budgets::default(), clock::monotonic());
        let mut sent = 0;
        while budgets.take(Service::Elbv2, false, false, now).is_none() {
            sent += 1;
        }
        assert_eq!(sent, 16, "24 less the reserve of 8");
        for _ in 0..8 {
            assert_eq!(budgets.take(Service::Elbv2, false, true, now), None);
        }
        assert!(budgets.take(Service::Elbv2, false, true, now).is_some(), "the reserve has an end too");
        assert_eq!(budgets.take(Service::Elbv2, true, false, now), None, "writes have their own");
    }

    #[test]
    fn the_budget_fills_again() {
        let (budgets, now) = (Budgets::default(), clock::monotonic());
        while budgets.take(Service::Route53, true, true, now).is_none() {}
        let later = now + Duration::from_millis(600);
        assert_eq!(budgets.take(Service::Route53, true, true, later), None);
        let wait = budgets.take(Service::Route53, true, true, later).unwrap();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
    }

    #[test]
    fn waits_grow_to_their_end_and_differ() {
        assert_eq!(longest_backoff(0), Duration::from_millis(200));
        assert_eq!(longest_backoff(2), Duration::from_millis(800));
        assert_eq!(longest_backoff(30), Duration::from_secs(5));
        assert!((0..50).all(|attempt| backoff(attempt) <= longest_backoff(attempt)));
        assert!((0..20).map(|_| backoff(5)).collect::<std::collections::HashSet<_>>().len() > 1);
    }
}
