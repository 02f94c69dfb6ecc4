//! How many requests one client may make: the setting as text, and the arithmetic. Pure: time comes in.
//!
//! The arithmetic is that of GCRA, the *generic cell rate algorithm*: of a client only one time is kept, that
//! at which it will have its whole burst again. Each request moves it on by the share of one request.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;

/// Most requests of a rate, and of a burst.
const MOST: u32 = 1_000_000;

const SECOND: u64 = 1_000_000_000;

/// So many requests per second, minute or hour, and at first or after a pause so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    requests: u32,
    per: Per,
    burst: u32,
}

/// A time, as in the text of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

impl Per {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    fn unit(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }

    fn nanos(self) -> u64 {
        match self {
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3600 * SECOND,
        }
    }
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It has another form.
    #[error("must be requests per second, minute or hour, maybe with a burst, or off")]
    Form,
    /// A number of requests is out of bounds.
    #[error("must have 1 to {MOST} requests, and as many at once")]
    Number,
}

impl FromStr for RateLimit {
    type Err = RateError;

    /// `100/s`, `100/s burst 200`. Without a burst, as many requests as in the whole time may come at once.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (requests, unit) = words.next().and_then(|rate| rate.split_once('/')).ok_or(RateError::Form)?;
        let per = Per::ALL.into_iter().find(|per| per.unit() == unit).ok_or(RateError::Form)?;
        let requests = number(requests)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => requests,
            (Some("burst"), Some(burst), None) => number(burst)?,
            _ => return Err(RateError::Form),
        };
        Ok(Self { requests, per, burst })
    }
}

fn number(text: &str) -> Result<u32, RateError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RateError::Form);
    }
    text.parse().ok().filter(|number| (1..=MOST).contains(number)).ok_or(RateError::Number)
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.per.unit())?;
        if self.burst == self.requests { Ok(()) } else { write!(f, " burst {}", self.burst) }
    }
}

impl RateLimit {
    /// Whether a client whose burst is whole again at `due` may make a request at `now`; both in nanoseconds.
    /// If so, when its burst is whole again then.
    ///
    /// # Errors
    /// It may not, for as long as this.
    pub(crate) fn admit(&self, due: u64, now: u64) -> Result<u64, Duration> {
        let share = self.per.nanos() / u64::from(self.requests);
        let latest = now.saturating_add(share.saturating_mul(self.burst.into()));
        // Later than that only after a slower limit held, whose time is not for this one.
        let due = if due > latest { now } else { due.max(now) };
        let next = due.saturating_add(share);
        if next <= latest { Ok(next) } else { Err(Duration::from_nanos(next - latest)) }
    }
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum RateKey {
    /// Those of one address; of IPv6 those of one network of 64 bits.
    #[default]
    ClientIp,
    /// Those with one value of this field. Those without it are counted by their address.
    Header(HeaderName),
}

/// A text that is no such key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be client-ip or header:NAME")]
pub struct RateKeyError;

impl FromStr for RateKey {
    type Err = RateKeyError;

    fn from_str(text: &str) -> Result<Self, RateKeyError> {
        match text.split_once(':') {
            None if text == "client-ip" => Ok(Self::ClientIp),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| RateKeyError),
            _ => Err(RateKeyError),
        }
    }
}

impl fmt::Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client-ip"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_read_and_shown() {
        for (text, shown) in [
            ("100/s", "100/s"),
            ("100/s burst 200", "100/s burst 200"),
            (" 5/m  burst 5 ", "5/m"),
            ("1000000/h burst 1", "1000000/h burst 1"),
        ] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), shown);
        }
        for text in ["", "100", "100/", "/s", "100/d", "+1/s", "1.5/s", "100 /s", "1/s burst", "1/s 2"] {
            assert_eq!(text.parse::<RateLimit>(), Err(RateError::Form), "{text}");
        }
        assert_eq!("1/s burst 2 3".parse::<RateLimit>(), Err(RateError::Form));
        for text in ["0/s", "1000001/s", "99999999999999/s", "1/s burst 0"] {
            assert_eq!(text.parse::<RateLimit>(), Err(RateError::Number), "{text}");
        }
    }

    #[test]
    fn keys_are_read_and_shown() {
        for text in ["client-ip", "header:x-api-key"] {
            assert_eq!(text.parse::<RateKey>().unwrap().to_string(), text);
        }
        for text in ["", "header:", "header:a b", "cookie:x", "client-ip:"] {
            assert!(text.parse::<RateKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_burst_and_then_one_share_after_the_other() {
        let limit: RateLimit = "10/s burst 3".parse().unwrap();
        let mut due = 0;
        for _ in 0..3 {
            due = limit.admit(due, SECOND).unwrap();
        }
        assert_eq!(limit.admit(due, SECOND), Err(Duration::from_millis(100)));
        assert_eq!(limit.admit(due, SECOND + SECOND / 20), Err(Duration::from_millis(50)));
        due = limit.admit(due, SECOND + SECOND / 10).unwrap();
        assert!(limit.admit(due, SECOND + SECOND / 10).is_err());
        // Whoever waits has the whole burst again, and no more.
        let admitted = (0..10).filter(|_| limit.admit(due, 9 * SECOND).map(|next| due = next).is_ok());
        assert_eq!(admitted.count(), 3);
    }

    #[test]
    fn what_a_slower_limit_left_is_forgotten() {
        let (slow, fast): (RateLimit, RateLimit) = ("1/h".parse().unwrap(), "10/s".parse().unwrap());
        let due = slow.admit(0, SECOND).unwrap();
        assert_eq!(fast.admit(due, SECOND), Ok(SECOND + SECOND / 10));
    }

    proptest! {
        #[test]
        fn no_client_gets_more_than_burst_and_rate(
            requests in 1..=1000_u32, per in prop::sample::select(vec!["s", "m", "h"]), burst in 1..=50_u32,
            pauses in prop::collection::vec(0..10 * SECOND, 1..200),
        ) {
            let limit: RateLimit = format!("{requests}/{per} burst {burst}").parse().unwrap();
            let share = limit.per.nanos() / u64::from(requests);
            let (mut due, mut now, mut admitted) = (0, 0, 0);
            for pause in pauses {
                now += pause;
                match limit.admit(due, now) {
                    Ok(next) => {
                        due = next;
                        admitted += 1;
                    }
                    Err(wait) => {
                        // Who waits as long as it is told is admitted, and not before.
                        let wait = wait.as_nanos() as u64;
                        prop_assert!(limit.admit(due, now + wait).is_ok());
                        prop_assert!(limit.admit(due, now + wait - 1).is_err());
                    }
                }
            }
            prop_assert!(admitted <= u64::from(burst) + now / share);
        }
    }
}
