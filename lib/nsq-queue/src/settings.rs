//! What may be set for a topic or a channel beyond NSQ: each `None` means what it means in NSQ. A
//! channel's own value stands before its topic's.

use serde::{Deserialize, Serialize};

/// Settings of a topic (for all its channels) or of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A message that was delivered so often is not delivered again; 0: any number of times.
    pub max_attempts: Option<u16>,
    /// Where it goes then; without one it is finished.
    pub dead_letter_topic: Option<String>,
    /// A message older than this is not delivered, milliseconds; 0: any age.
    pub message_ttl_ms: Option<u64>,
    /// Messages that may wait in a channel (and in the topic before any channel has them); 0: any
    /// number.
    pub max_depth: Option<u64>,
    /// Bytes of all messages of the topic; 0: any number. Only of a topic.
    pub max_bytes: Option<u64>,
    /// What happens to the message that would be too much.
    pub overflow: Option<Overflow>,
    /// What a consumer holds when its connection ends waits again at once, not after its timeout.
    pub requeue_on_disconnect: Option<bool>,
    /// When a publisher gets its OK: `memory`, `write`, `fsync`. Only of a topic.
    pub durability: Option<String>,
}

/// What a full topic or channel does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The publisher is refused.
    #[default]
    Reject,
    /// The oldest make room.
    DropOldest,
}

/// The settings in force for a channel, or for the topic itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub max_attempts: u16,
    /// Nanoseconds.
    pub ttl: i64,
    pub max_depth: u64,
    pub max_bytes: u64,
    pub overflow: Overflow,
    pub requeue_on_disconnect: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self::of(&[])
    }
}

/// What becomes of a message whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    /// It is too old.
    Expire,
    /// It was delivered often enough.
    Bury,
}

impl Rules {
    /// The first of `settings` that says something counts.
    pub(crate) fn of(settings: &[&Settings]) -> Self {
        fn first<T>(settings: &[&Settings], get: impl Fn(&Settings) -> Option<T>) -> Option<T> {
            settings.iter().find_map(|settings| get(settings))
        }
        let or_any = |number: Option<u64>| number.filter(|&n| n > 0).unwrap_or(u64::MAX);
        let attempts = first(settings, |s| s.max_attempts).filter(|&n| n > 0);
        let ttl = or_any(first(settings, |s| s.message_ttl_ms)).saturating_mul(1_000_000);
        Self {
            max_attempts: attempts.unwrap_or(u16::MAX),
            ttl: i64::try_from(ttl).unwrap_or(i64::MAX),
            max_depth: or_any(first(settings, |s| s.max_depth)),
            max_bytes: or_any(first(settings, |s| s.max_bytes)),
            overflow: first(settings, |s| s.overflow).unwrap_or_default(),
            requeue_on_disconnect: first(settings, |s| s.requeue_on_disconnect).unwrap_or(false),
        }
    }

    /// `attempts`: deliveries so far.
    #[inline]
    pub(crate) fn fate(&self, attempts: u16, published: i64, now: i64) -> Fate {
        if now.saturating_sub(published) > self.ttl {
            return Fate::Expire;
        }
        // 65,535 is where counting ends: such a message may have been delivered more often.
        match attempts >= self.max_attempts && self.max_attempts < u16::MAX {
            true => Fate::Bury,
            false => Fate::Deliver,
        }
    }

    pub(crate) fn expires(&self) -> bool {
        self.ttl < i64::MAX
    }

    pub(crate) fn drops(&self) -> bool {
        self.overflow == Overflow::DropOldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channels_own_value_stands_before_its_topics() {
        let topic = Settings {
            max_attempts: Some(5),
            max_depth: Some(10),
            ..Settings::default()
        };
        let channel = Settings {
            max_attempts: Some(0),
            message_ttl_ms: Some(2),
            ..Settings::default()
        };
        let rules = Rules::of(&[&channel, &topic]);
        assert_eq!((rules.max_attempts, rules.max_depth), (u16::MAX, 10));
        assert_eq!(rules.ttl, 2_000_000);
        assert_eq!(rules.fate(u16::MAX, 100, 2_000_100), Fate::Deliver);
        assert_eq!(rules.fate(0, 100, 2_000_101), Fate::Expire);
        let rules = Rules::of(&[&topic]);
        assert_eq!(rules.fate(4, 0, i64::MAX), Fate::Deliver);
        assert_eq!(rules.fate(5, 0, i64::MAX), Fate::Bury);
        assert_eq!(
            Rules::default().fate(u16::MAX, i64::MIN, i64::MAX),
            Fate::Deliver
        );
    }
}
