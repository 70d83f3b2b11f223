//! Publishers: a blocking thread for each connection, up to a point.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::contest::{MESSAGE_BYTES, Pattern};
use crate::server::Running;
use crate::speaker::{Commands, Speaker};

/// Threads of the load: more connections than these share them, so that the load does not use up what is measured.
const THREADS: usize = 8;
const SILENCE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// Publishing ends when either is reached.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    pub time: Duration,
    pub messages: u64,
}

/// Messages that went one way, and the sum of their numbers: equal sums on both ways mean equal
/// messages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub messages: u64,
    pub numbers: u64,
    /// From the start to the last answer or message.
    pub elapsed: Duration,
}

impl Moved {
    /// Of several connections at once.
    pub fn together(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::default(), |sum, part| Self {
            messages: sum.messages + part.messages,
            numbers: sum.numbers.wrapping_add(part.numbers),
            elapsed: sum.elapsed.max(part.elapsed),
        })
    }

    pub fn is_same(&self, other: &Self) -> bool {
        (self.messages, self.numbers) == (other.messages, other.numbers)
    }
}

pub struct Publishers {
    speakers: Vec<Speaker>,
}

impl Publishers {
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(server: &Running, count: usize) -> Result<Self> {
        let speakers = (0..count as u64).map(|number| server.speaker(number));
        let speakers = speakers.collect::<Result<_>>();
        Ok(Self {
            speakers: speakers.context("connecting publishers")?,
        })
    }

    /// Publishes to `topic` until every connection has reached its share of the limits and has
    /// its last OK.
    ///
    /// # Errors
    /// The socket's, or an answer that is not OK.
    pub fn run(self, topic: &str, pattern: Pattern, until: Until) -> Result<Moved> {
        let connections = self.speakers.len();
        let share = Until {
            time: until.time,
            messages: until.messages.div_ceil(connections as u64),
        };
        let mut hands: Vec<Vec<Hand>> = Vec::new();
        hands.resize_with(connections.min(THREADS), Vec::new);
        for (at, speaker) in self.speakers.into_iter().enumerate() {
            let number = at as u64;
            let (commands, pattern) = speaker.commands(topic, pattern, number, number << 40);
            let thread = at % hands.len();
            hands[thread].push(Hand {
                speaker,
                commands,
                window: pattern.window,
                outstanding: 0,
            });
        }
        let start = Barrier::new(hands.len());
        std::thread::scope(|scope| {
            let start = &start;
            let threads: Vec<_> = hands
                .into_iter()
                .map(|hands| scope.spawn(move || publish(hands, share, start)))
                .collect();
            let parts = threads.into_iter().map(|thread| match thread.join() {
                Ok(moved) => moved,
                Err(_) => bail!("a publisher panicked"),
            });
            Ok(Moved::together(parts.collect::<Result<Vec<_>>>()?))
        })
    }
}

/// A connection at work.
struct Hand {
    speaker: Speaker,
    commands: Commands,
    window: usize,
    outstanding: usize,
}

impl Hand {
    /// Sends what may be sent.
    fn send(&mut self, until: Until, started: Instant) -> Result<()> {
        let left = until.messages.saturating_sub(self.commands.taken);
        let left = left.div_ceil(self.commands.batch());
        let room = (self.window - self.outstanding).min(left as usize);
        if room > 0 && started.elapsed() < until.time {
            self.speaker.send(self.commands.take(room))?;
            self.outstanding += room;
        }
        Ok(())
    }
}

/// Publishes on a few connections until all have reached the limits and have their last OK.
fn publish(mut hands: Vec<Hand>, until: Until, start: &Barrier) -> Result<Moved> {
    start.wait();
    let started = Instant::now();
    for hand in &mut hands {
        hand.send(until, started)?;
    }
    while hands.iter().any(|hand| hand.outstanding > 0) {
        for at in answered(&hands)? {
            let hand = &mut hands[at];
            hand.outstanding -= hand.speaker.acknowledged()?;
            hand.send(until, started)?;
        }
    }
    let elapsed = started.elapsed();
    Ok(Moved::together(hands.iter().map(|hand| Moved {
        messages: hand.commands.taken,
        numbers: hand.commands.sum,
        elapsed,
    })))
}

/// Those that can be read from, waited for if there is a choice; one alone waits when it is read from.
fn answered(hands: &[Hand]) -> Result<Vec<usize>> {
    if hands.len() == 1 {
        return Ok(vec![0]);
    }
    let waiting: Vec<usize> = (0..hands.len())
        .filter(|&at| hands[at].outstanding > 0)
        .collect();
    let mut polled: Vec<PollFd<'_>> = waiting
        .iter()
        .map(|&at| PollFd::new(hands[at].speaker.stream(), PollFlags::IN))
        .collect();
    if rustix::event::poll(&mut polled, Some(&SILENCE))? == 0 {
        bail!("no answer for a minute");
    }
    let ready = waiting.iter().zip(&polled);
    let ready = ready.filter(|(_, polled)| !polled.revents().is_empty());
    Ok(ready.map(|(&at, _)| at).collect())
}

/// The number in a body.
pub fn number(body: &[u8]) -> Option<u64> {
    (body.len() == MESSAGE_BYTES).then_some(())?;
    Some(u64::from_le_bytes(*body.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_the_last_one_ends_it() {
        let part = |messages, seconds| Moved {
            messages,
            numbers: u64::MAX,
            elapsed: Duration::from_secs(seconds),
        };
        let whole = Moved::together([part(1, 3), part(2, 1)]);
        assert_eq!((whole.messages, whole.elapsed.as_secs()), (3, 3));
        assert_eq!(whole.numbers, u64::MAX - 1);
        assert!(!whole.is_same(&part(3, 3)));
    }
}
