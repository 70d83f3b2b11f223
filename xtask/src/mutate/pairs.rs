//! The rules of replication pairs, each dropped from the code: `docs/pairs.md` tells what they are for.

use super::{Check, Mutation};

const WORLDS: Check = Check::Pairs(&["--first", "--seeds", "100"]);

pub const RULES: &[Mutation] = &[
    Mutation {
        name: "R1 a blank disk is the old incarnation",
        file: "lib/nsq-journal/src/recovery/files.rs",
        old: "None => options.incarnation.unwrap_or_else(rand::random),",
        new: "None => options.incarnation.map_or_else(rand::random, |it| it % 100),",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R2 another incarnation's mirror is dropped",
        file: "nsqd/src/pair/holder.rs",
        old: "() if holding.pending && !holding.is_covered() => Greeting::Adopt(FORMER),",
        new: "() if holding.pending && holding.is_covered() => Greeting::Adopt(FORMER),",
        checks: &[WORLDS],
    },
    Mutation {
        // Not only the holder's cut: the origin compares runs too, and sends a list where they differ.
        name: "R3 positions do not carry the run",
        file: "nsqd/src/pair/runs.rs",
        old: "Some(self.runs.get(at + 1).map_or(self.end, |next| next.lsn))",
        new: "Some(self.runs.get(at + 1).map_or(self.end, |_| self.end))",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R4 a run begins before it is durable",
        file: "lib/nsq-journal/src/journal.rs",
        old: "append(&log, &boot)?;\n        log.sync()?;",
        new: "append(&log, &boot)?;",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R5 OK before the own sync",
        file: "nsqd/src/connection/outbox.rs",
        old: "Durability::Fsync => nsqd.journal.durable() >= answer.kept.at,",
        new: "Durability::Fsync => true,",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R6 OK before the mirror's sync",
        file: "nsqd/src/pair/receive.rs",
        old: "Durability::Fsync => nsqd.journal.durable(),",
        new: "Durability::Fsync => nsqd.journal.written(),",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R7 old acknowledgements count",
        file: "nsqd/src/pair/handover.rs",
        old: "shared.copy = origin::welcomed(&runs, holder, mirror);",
        new: "let before = shared.copy.acked;\n        shared.copy = origin::welcomed(&runs, holder, mirror);\n        shared.copy.acked = shared.copy.acked.max(before);",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R8 told of a mirror that is not kept",
        file: "nsqd/src/pair/link/from_origin.rs",
        old: "let kept = self.nsqd.keep(Kept::here(level, tail)).await;",
        new: "let kept = self.nsqd.keep(Kept::here(level, tail.min(0))).await;",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R9 an unfinished import counts as done",
        file: "nsqd/src/recovery/pair_records.rs",
        old: "done: None,",
        new: "done: Some(Position { run: 0, lsn: 0 }),",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R10 ADOPTED before the last import",
        file: "nsqd/src/pair/adoption.rs",
        old: "for topic in nsqd.pair.mirrored_topics() {",
        new: "for topic in nsqd.pair.mirrored_topics().into_iter().skip(1) {",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R11 ADOPTED before the imports are durable",
        file: "nsqd/src/pair/adoption.rs",
        old: "nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))\n        .await?;\n    let position = {",
        new: "let position = {",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R12 let go before the own mirror has it",
        file: "nsqd/src/pair/origin.rs",
        old: "incarnation == adopted.holder && end >= needed",
        new: "incarnation == adopted.holder || end >= needed",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R13 an import does not move the base",
        file: "lib/nsq-queue/src/import.rs",
        old: "self.rebased.note(pos, import.base);",
        new: "",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R14 waiting for the answer is not bounded",
        file: "nsqd/src/pair/handover.rs",
        old: "now - since >= ASKING",
        new: "now - since >= ASKING << 20",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R15 finishes do not merge",
        file: "nsqd/src/pair/receive.rs",
        old: "for heard in news.finished {",
        new: "for heard in news.finished.into_iter().take(0) {",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R16 an import does not ask what was finished",
        file: "nsqd/src/pair/adoption.rs",
        old: "let is_done = || finishes.contains(queue.number, channel.number, message.id);",
        new: "let is_done = || finishes.contains(queue.number, channel.number, 0);",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R17 a link makes everything mirrored",
        file: "nsqd/src/pair/origin.rs",
        old: "true => self.acked,",
        new: "true => Lsn::MAX,",
        checks: &[WORLDS],
    },
    Mutation {
        name: "R18 what the origin lost is cut at once",
        file: "nsqd/src/pair/holder.rs",
        old: "let acknowledged = holding.level_write || put_back;",
        new: "let acknowledged = put_back;",
        checks: &[WORLDS],
    },
];
