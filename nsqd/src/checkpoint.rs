//! The state of all topics, written down, so that the journal before it can be let go: from it
//! and the journal since, [`crate::recovery`] makes the node anew.

mod first;

use std::sync::Arc;

use nsq_journal::{JournalError, Lsn};
use nsq_queue::TopicImage;
use serde::{Deserialize, Serialize};

use crate::host::Page;
use crate::journal_log::log_queue;
use crate::nsqd::Nsqd;
use crate::options::Durability;
use crate::pair::PairImage;

pub(crate) use first::FirstState;

/// The format of [`State`]; a later one gets the next number.
pub(crate) const VERSION: u8 = 2;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub next_sequence: u64,
    pub next_topic_number: u32,
    /// Each topic, and the position in the journal through which its records are in the image.
    pub topics: Vec<(Lsn, TopicImage<Page>)>,
    /// The mirror of the peer, if there is one.
    pub pair: Option<PairImage>,
}

/// What stands behind [`State`], in checkpoints that have it: older readers pass over it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Extras {
    /// Numbers of topic and channel (0: the topic itself), and what is set, as JSON.
    pub settings: Vec<(u32, u32, String)>,
}

/// Takes a checkpoint. `last`: the node stops, so what is only in memory goes along on pages.
///
/// # Errors
/// The journal's: the previous checkpoint stays.
pub fn take(nsqd: &Arc<Nsqd>, last: bool) -> Result<(), JournalError> {
    // Everything from here on is replayed, whatever the images already hold of it.
    // The mirror first: what it learns is applied to topics after its record, under its lock.
    let (mut keep_from, pair) = nsqd.pair.image(nsqd)?;
    let next_topic_number = nsqd.next_topic_number();
    let (mut topics, mut extras) = (Vec::new(), Extras::default());
    for topic in nsqd.topics() {
        let memory = topic.level() == Durability::Memory;
        if last && memory {
            nsqd.page_out_all(&topic)?;
        }
        let imaged = topic.change_now(nsqd, |queue, _| {
            if queue.ephemeral {
                return Ok(None);
            }
            log_queue(nsqd, queue)?;
            for (channel, settings) in queue.all_settings() {
                // Settings are made of what JSON can express.
                if let Ok(json) = serde_json::to_string(&settings) {
                    extras.settings.push((queue.number, channel, json));
                }
            }
            let mut image = match memory && !last {
                true => queue.image().without_messages(),
                false => queue.image(),
            };
            image.each_due(|due| *due = nsqd.clock.to_wall(*due));
            let oldest = queue.unpaged_chunks().map(|chunk| chunk.0.base()).min();
            Ok(Some((
                nsqd.journal.tail(),
                image,
                oldest.filter(|_| !memory),
            )))
        })?;
        if let Some((at, image, oldest)) = imaged {
            keep_from = oldest.into_iter().fold(keep_from, Lsn::min);
            topics.push((at, image));
        }
    }
    for (_, image) in &topics {
        let mut blocks = image.lanes.iter().flat_map(|lane| &lane.1);
        if blocks.any(|block| block.page.is_some()) {
            nsqd.spill.sync(image.number)?;
        }
    }
    if let Some(pair) = &pair {
        for topic in pair.spilled() {
            nsqd.spill.sync(topic)?;
        }
    }
    // The peer goes on reading where it is, unless it is too far behind.
    keep_from = keep_from.min(nsqd.pair.wanted_from(nsqd));
    let state = State {
        next_sequence: nsqd.sequence(),
        next_topic_number,
        topics,
        pair,
    };
    let bytes = encode(nsqd, &state, &extras)
        .map_err(|_| JournalError::Invalid("a checkpoint could not be encoded"))?;
    nsqd.journal.checkpoint(&bytes, keep_from)?;
    nsqd.spill.sweep()
}

/// [`State`], and what stands behind it.
fn encode(nsqd: &Nsqd, state: &State, extras: &Extras) -> Result<Vec<u8>, postcard::Error> {
    let mut bytes = vec![VERSION];
    bytes.extend(postcard::to_stdvec(state)?);
    bytes.extend(postcard::to_stdvec(extras)?);
    let (draining, remembered) = (nsqd.drain.image(), nsqd.pair.remembered());
    if draining != 0 || !remembered.is_empty() {
        bytes.extend(postcard::to_stdvec(&draining)?);
    }
    if !remembered.is_empty() {
        bytes.extend(postcard::to_stdvec(&remembered)?);
    }
    Ok(bytes)
}
