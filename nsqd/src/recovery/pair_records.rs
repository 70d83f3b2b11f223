//! What the own journal has of the pair, replayed: the mirror's records, adoptions, what was let go of.

use std::sync::Arc;

use nsq_journal::{Chunk, Lsn, Position, Record};

use super::Restorer;
use crate::pair::{self, Adoption, Mirror, News};

impl Restorer<'_> {
    /// The peer's records that the own journal has.
    pub(super) fn mirror(&mut self, lsn: Lsn, record: &Record<'_>, chunk: &Arc<Chunk>) {
        let Record::Mirror {
            run,
            from,
            to,
            slice,
            at,
        } = *record
        else {
            return;
        };
        let Some(mirror) = &mut self.pair.mirror else {
            return;
        };
        if lsn < self.pair_from {
            return mirror.refill((run, from, to), slice, at, chunk);
        }
        if from != mirror.end.lsn {
            // What lies between was in a part of the own journal that cannot be read: the peer has to send a list.
            mirror.skip_to(Position { run, lsn: from });
        }
        let options = self.options;
        let topic_options = |name: &str| pair::topic_options(options, name);
        let mut news = News::default();
        mirror.apply(
            Position { run, lsn: to },
            slice,
            at,
            chunk,
            &topic_options,
            &mut news,
        );
        // R15, once more: what was learned may not have been journalled since. Ids are never used twice.
        for heard in news.finished {
            let own = self.topics.values_mut();
            let own = own.map(|own| &mut own.queue);
            if let Some(queue) = own.into_iter().find(|queue| queue.name == heard.topic) {
                for (first_id, count) in heard.ranges {
                    queue.finish_known(&heard.channel, first_id, count, &mut Default::default());
                }
            }
        }
    }

    /// What changes the mirror or the adoption as a whole.
    pub(super) fn pair(&mut self, lsn: Lsn, end: Lsn, record: &Record<'_>) {
        if lsn < self.pair_from {
            if let Record::MirrorCut { position } = *record {
                let topics = self.pair.mirror.iter().flat_map(Mirror::topics);
                topics.for_each(|topic| topic.live.restore(|queue| queue.refill_cut(position.lsn)));
            }
            return;
        }
        let level = self.options.durability;
        match *record {
            Record::MirrorFrom {
                incarnation,
                position,
                whole,
                node,
            } => self
                .pair
                .mirror_from(incarnation, node, (position, whole), level),
            Record::MirrorCut { position } => {
                if let Some(mirror) = &mut self.pair.mirror {
                    let adoption = self.pair.adoption.as_mut();
                    mirror.cut(position, adoption, &mut News::default());
                }
            }
            Record::Adopt {
                incarnation,
                from,
                through,
            } => {
                self.pair.mirror.iter().for_each(Mirror::part_bases);
                self.pair.adoption = Some(Adoption {
                    incarnation,
                    from,
                    through,
                    began: end,
                    done: None,
                });
            }
            Record::Adopted { position, .. } => {
                if let Some(adoption) = &mut self.pair.adoption {
                    adoption.done = Some(position);
                }
            }
            _ => {}
        }
    }

    /// Messages that the peer owns now. In images from after this they are gone already, and nothing else is below.
    pub(super) fn release(&mut self, through: Lsn) {
        self.pair.released = self.pair.released.max(through);
        for topic in self.topics.values_mut() {
            topic
                .queue
                .release_through(through, &mut Default::default());
        }
    }
}
