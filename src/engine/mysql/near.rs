//! Whether the side that follows is near enough for a window: a token that was written now has come through. Pure; how
//! often it is looked for is decided here too, because each look costs a server that is busy following.

use std::time::Duration;

/// How long a token may take through a stream that works.
pub(super) const PROOF: Duration = Duration::from_secs(10);
/// The state of the stream, which costs more than the token, is looked at this often.
pub(super) const STATE: Duration = Duration::from_millis(200);

const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(100);

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It is there.
    Take,
    /// Look again after this.
    Wait(Duration),
    /// It has not come in time: the side that follows is too far behind, or nothing comes at all.
    TooFar,
}

/// `age`: how long ago the token was written. A stream that is near has it within milliseconds; the longer it takes, the
/// less a few milliseconds matter.
pub(super) fn judge(seen: bool, age: Duration) -> Moment {
    let left = PROOF.saturating_sub(age);
    if seen {
        return Moment::Take;
    }
    if left.is_zero() { Moment::TooFar } else { Moment::Wait((age / 8).clamp(SHORTEST, LONGEST).min(left)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_there_is_taken_however_late() {
        assert_eq!(judge(true, ms(0)), Moment::Take);
        assert_eq!(judge(true, ms(10_500)), Moment::Take);
    }

    #[test]
    fn what_does_not_come_is_given_up_at_the_limit_and_not_before() {
        assert_eq!(judge(false, ms(9_999)), Moment::Wait(ms(1)));
        assert_eq!(judge(false, PROOF), Moment::TooFar);
        assert_eq!(judge(false, ms(60_000)), Moment::TooFar);
    }

    #[test]
    fn a_long_wait_takes_few_looks() {
        assert_eq!(judge(false, ms(1)), Moment::Wait(SHORTEST));
        assert_eq!(judge(false, ms(400)), Moment::Wait(ms(50)));
        let (mut age, mut looks) = (Duration::ZERO, 0);
        while let Moment::Wait(rest) = judge(false, age) {
            age += rest;
            looks += 1;
        }
        assert!((100..200).contains(&looks), "{looks} looks within {PROOF:?}");
    }
}
