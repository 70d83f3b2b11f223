//! The mutations: each breaks a promise in a few letters, as a hasty change might.

use super::{Check, Mutation};
use Check::{Chaos, Tests};

const JOURNAL: Check = Tests(&["-p", "nsq-journal"]);
const QUEUE: Check = Tests(&["-p", "nsq-queue"]);
const RESTART: Check = Tests(&["-p", "nsqd", "--test", "restart", "--test", "checkpoints"]);
const IMPORT: Check = Tests(&["-p", "nsqd", "--test", "from_go"]);
const SIMULATION: Check = Tests(&["-p", "nsq-simulation"]);

const ADOPT_AFTER: Check = Tests(&["-p", "nsqd", "--lib", "adopt_after"]);

const POWER: Check = Chaos(&["power", "--cycles=6"]);

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "skip the sync",
        file: "lib/nsq-journal/src/writer.rs",
        old: "if let Err(error) = file.sync_data() {",
        new: "if let (Err(error), _) = (Ok::<(), std::io::Error>(()), file) {",
        checks: &[JOURNAL, SIMULATION],
    },
    Mutation {
        name: "try a failed sync again",
        file: "lib/nsq-journal/src/writer.rs",
        old: "if let Err(error) = file.sync_data() {",
        new: "if let Err(error) = file.sync_data().or_else(|_| file.sync_data()) {",
        checks: &[JOURNAL, SIMULATION],
    },
    Mutation {
        name: "reply before the sync",
        file: "nsqd/src/connection/outbox.rs",
        old: "Durability::Fsync => nsqd.journal.durable() >= answer.kept.at,",
        new: "Durability::Fsync => true,",
        checks: &[SIMULATION, POWER],
    },
    Mutation {
        name: "reply before the write",
        file: "nsqd/src/connection/outbox.rs",
        old: "Durability::Write => nsqd.journal.written() >= answer.kept.at,",
        new: "Durability::Write => nsqd.journal.tail() >= answer.kept.at,",
        checks: &[Chaos(&["slow-writes", "--cycles=3"])],
    },
    Mutation {
        name: "deliver before it is durable",
        file: "nsqd/src/live_topic.rs",
        old: "Durability::Fsync => nsqd.journal.durable(),",
        new: "Durability::Fsync => nsqd.journal.tail(),",
        checks: &[POWER],
    },
    Mutation {
        name: "forget a range of finishes",
        file: "nsqd/src/replay.rs",
        old: "for range in ranges.iter() {\n                queue.replay_finish(",
        new: "for range in ranges.iter().skip(1) {\n                queue.replay_finish(",
        checks: &[RESTART, SIMULATION],
    },
    Mutation {
        name: "forget requeues",
        file: "nsqd/src/recovery.rs",
        old: "for item in items.iter() {",
        new: "for item in items.iter().take(0) {",
        checks: &[RESTART, SIMULATION],
    },
    Mutation {
        name: "forget when a message is due",
        file: "lib/nsq-queue/src/restore.rs",
        old: "channel.put_back(pos, attempts, due, now);",
        new: "channel.put_back(pos, attempts, due.min(0), now);",
        checks: &[QUEUE, RESTART],
    },
    Mutation {
        name: "a checkpoint without what is in flight",
        file: "lib/nsq-queue/src/image.rs",
        old: "let held = channel.in_flight.iter();",
        new: "let held = channel.in_flight.iter().take(0);",
        checks: &[QUEUE, RESTART, SIMULATION],
    },
    Mutation {
        name: "accept a bad checksum",
        file: "lib/nsq-journal/src/record/frame.rs",
        old: "payload.len() == self.len as usize && crc32c::crc32c(payload) == self.payload_crc",
        new: "payload.len() == self.len as usize",
        checks: &[JOURNAL],
    },
    Mutation {
        name: "a checksum that does not know the place",
        file: "lib/nsq-journal/src/record/frame.rs",
        old: "crc32c::crc32c_append(crc32c::crc32c_append(self.0, &lsn.to_le_bytes()), head)",
        new: "crc32c::crc32c_append(crc32c::crc32c_append(self.0, &lsn.min(0).to_le_bytes()), head)",
        checks: &[JOURNAL],
    },
    Mutation {
        name: "recycle a segment that is needed",
        file: "lib/nsq-journal/src/segment.rs",
        old: ".is_some_and(|next| next.first <= keep_from)",
        new: ".is_some_and(|next| next.first <= keep_from.saturating_add(1 << 16))",
        checks: &[JOURNAL, SIMULATION],
    },
    Mutation {
        name: "drop everything behind damage",
        file: "lib/nsq-journal/src/recovery/replay.rs",
        old: "Some(resume) => resume,",
        new: "Some(_) => self.span.limit,",
        checks: &[JOURNAL],
    },
    Mutation {
        name: "leave a torn tail",
        file: "lib/nsq-journal/src/recovery/replay.rs",
        old: ".set_len(bytes)",
        new: ".set_len(bytes.max(segment.bytes))",
        checks: &[JOURNAL],
    },
    Mutation {
        name: "accept on a full disk",
        file: "lib/nsq-journal/src/space.rs",
        old: "if self.full.load(Ordering::Relaxed) {",
        new: "if self.full.load(Ordering::Relaxed) && bytes == 0 {",
        checks: &[JOURNAL],
    },
    Mutation {
        name: "ids go back with the clock",
        file: "nsqd/src/recovery.rs",
        old: "next_sequence: self.next_sequence.max(micros),",
        new: "next_sequence: self.next_sequence.min(micros),",
        checks: &[RESTART],
    },
    Mutation {
        name: "take a short write for a whole one",
        file: "lib/nsq-journal/src/disk/real.rs",
        old: "self.file.write_all_at(data, offset)",
        new: "self.file.write_at(data, offset).map(|_| ())",
        checks: &[JOURNAL, Chaos(&["write-error", "--cycles=6"])],
    },
    Mutation {
        name: "a topic's name stands once",
        file: "nsqd/src/nsqd.rs",
        old: "Ok(self.journal.append(record).unwrap_or(once))",
        new: "Ok(once)",
        checks: &[Chaos(&["bit-flips", "--cycles=800"])],
    },
    Mutation {
        name: "adopt a peer that nsqlookupds hear of",
        file: "nsqd/src/pair/adopt_after.rs",
        old: "Says::Heard => return Verdict::Wait(Reason::Heard(address.to_owned())),",
        new: "Says::Heard => silent += usize::from(!address.is_empty()),",
        checks: &[Chaos(&["adopt-after", "--cycles=1"])],
    },
    Mutation {
        name: "adopt with nobody to ask",
        file: "nsqd/src/pair/adopt_after.rs",
        old: "match silent * 2 > all {",
        new: "match silent * 2 >= silent {",
        checks: &[Chaos(&["adopt-after", "--cycles=1"])],
    },
    Mutation {
        name: "adopt with half of the nsqlookupds",
        file: "nsqd/src/pair/adopt_after.rs",
        old: "match silent * 2 > all {",
        new: "match silent * 2 >= all {",
        checks: &[ADOPT_AFTER],
    },
    Mutation {
        name: "believe an nsqlookupd that was just started",
        file: "nsqd/src/pair/adopt_after.rs",
        old: "Ok(_) if stands < after.max(SETTLED) => Says::Young,",
        new: "Ok(_) if stands < after.min(SETTLED) => Says::Young,",
        checks: &[ADOPT_AFTER],
    },
    Mutation {
        name: "adopt on what was said before the time was over",
        file: "nsqd/src/pair/adopt_after.rs",
        old: "None => asked >= due && now - answered < pace(after),",
        new: "None => asked <= now && now - answered < pace(after),",
        checks: &[ADOPT_AFTER],
    },
    Mutation {
        name: "adopt when a PING is late",
        file: "nsqd/src/pair/adopt_after.rs",
        old: "Ok(Presence::Silent(_)) => after.max(PINGS_MISSED),",
        new: "Ok(Presence::Silent(_)) => after.min(PINGS_MISSED),",
        checks: &[ADOPT_AFTER],
    },
    Mutation {
        name: "a peer that died right behind its HELLO has come back",
        file: "nsqd/src/pair/witnesses.rs",
        old: "run: Some(own.run),",
        new: "run: Some(own.run.saturating_sub(1)),",
        checks: &[Tests(&["-p", "nsqd", "--test", "adopt_after"])],
    },
    Mutation {
        name: "let go of what a list has not told of",
        file: "nsqd/src/pair/origin.rs",
        old: "copy.whole && incarnation == adopted.holder",
        new: "incarnation == adopted.holder",
        checks: &[Tests(&["-p", "nsqd", "--lib", "pair::origin"])],
    },
    Mutation {
        name: "forget finishes that a list has led past",
        file: "nsqd/src/pair/finishes.rs",
        old: "if !whole {\n            return;",
        new: "if !whole && peer_lsn == 0 {\n            return;",
        checks: &[Tests(&["-p", "nsqd", "--lib", "pair::finishes"])],
    },
    Mutation {
        name: "lose the bodies of what was cut and told again",
        file: "lib/nsq-queue/src/restore.rs",
        old: "if known.is_some_and(|known| known.chunk != MISSING) {",
        new: "if known.is_some() {",
        checks: &[QUEUE],
    },
    Mutation {
        name: "a range of bases goes over the end of an adoption",
        file: "lib/nsq-queue/src/bases.rs",
        old: "&& range.last_base > self.begun",
        new: "&& range.last_base >= self.begun",
        checks: &[QUEUE],
    },
    Mutation {
        name: "an import finishes what waits here and not in the copy",
        file: "nsqd/src/pair/adoption.rs",
        old: "_ => match queue.pending(channel, message.id) {",
        new: "_ => match queue.pending(channel, message.id).filter(|_| false) {",
        checks: &[Tests(&["-p", "nsqd", "--lib", "pair::adoption"])],
    },
    Mutation {
        name: "call an import kept that is not",
        file: "nsqd/src/from_go/mod.rs",
        old: "nsqd.journal.sync()?;\n    let aside",
        new: "let aside",
        checks: &[IMPORT],
    },
    Mutation {
        name: "take an interrupted import for whole up to its last message",
        file: "nsqd/src/from_go/intake.rs",
        old: "live.read(|queue| queue.base_floor(id).is_none())",
        new: "false",
        checks: &[IMPORT],
    },
];
