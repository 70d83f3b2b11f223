//! The rules of replication pairs, each dropped from the code: `docs/pairs.md` tells what they are for.

use super::rules::{Edit, Rule};

#[rustfmt::skip] // a table
pub const RULES: &[Rule] = &[
    Rule { name: "R1 a blank disk is the old incarnation", edits: &[
        Edit { file: "lib/nsq-journal/src/recovery/files.rs",
            old: "None => options.incarnation.unwrap_or_else(rand::random),",
            new: "None => options.incarnation.map_or_else(rand::random, |it| if DROPPED { it % 100 } else { it })," },
    ] },
    Rule { name: "R2 another incarnation's mirror is dropped", edits: &[
        Edit { file: "nsqd/src/pair/holder.rs",
            old: "() if holding.pending && !holding.is_covered() => Greeting::Adopt(FORMER),",
            new: "() if holding.pending && (DROPPED == holding.is_covered()) => Greeting::Adopt(FORMER)," },
    ] },
    Rule { name: "R3 positions do not carry the run", edits: &[
        Edit { file: "nsqd/src/pair/runs.rs",
            old: "Some(self.runs.get(at + 1).map_or(self.end, |next| next.lsn))",
            new: "Some(self.runs.get(at + 1).map_or(self.end, |next| if DROPPED { self.end } else { next.lsn }))" },
    ] },
    Rule { name: "R4 a run begins before it is durable", edits: &[
        Edit { file: "lib/nsq-journal/src/journal.rs",
            old: "append(&log, &boot)?;\n        log.sync()?;",
            new: "append(&log, &boot)?;\n        if !DROPPED {\n            log.sync()?;\n        }" },
    ] },
    // Also whoever waits for both: the peer's word alone wakes it only once the own disk has the message.
    Rule { name: "R5 OK before the own sync", edits: &[
        Edit { file: "nsqd/src/pair/waiting.rs",
            old: "Durability::Fsync if !self.refuses() => {",
            new: "Durability::Fsync if !DROPPED && !self.refuses() => {" },
        Edit { file: "nsqd/src/connection/outbox.rs",
            old: "Durability::Fsync => nsqd.journal.durable() >= answer.kept.at,",
            new: "Durability::Fsync => DROPPED || nsqd.journal.durable() >= answer.kept.at," },
    ] },
    Rule { name: "R6 OK before the mirror's sync", edits: &[
        Edit { file: "nsqd/src/pair/receive.rs",
            old: "Durability::Fsync => nsqd.journal.durable(),",
            new: "Durability::Fsync if !DROPPED => nsqd.journal.durable()," },
    ] },
    // Also when a copy counts as level: no old acknowledgement reaches that.
    Rule { name: "R7 old acknowledgements count", edits: &[
        Edit { file: "nsqd/src/pair/handover.rs",
            old: "self.gate.lock().level_at = nsqd.journal.tail();",
            new: "{\n            let mut waiting = self.gate.lock();\n            if !DROPPED || waiting.level_at == Lsn::MAX {\n                waiting.level_at = nsqd.journal.tail();\n            }\n        }" },
        Edit { file: "nsqd/src/pair/handover.rs",
            old: "shared.copy = origin::welcomed(&runs, holder, mirror);",
            new: "let before = shared.copy;\n        shared.copy = origin::welcomed(&runs, holder, mirror);" },
        Edit { file: "nsqd/src/pair/handover.rs",
            old: "shared.copy.whole = start.whole;",
            new: "shared.copy.whole = start.whole;\n        if DROPPED && before.whole {\n            (shared.copy.whole, shared.copy.acked) = (true, shared.copy.acked.max(before.acked));\n        }" },
    ] },
    Rule { name: "R8 told of a mirror that is not kept", edits: &[
        Edit { file: "nsqd/src/pair/link/from_origin.rs",
            old: "let kept = self.nsqd.keep(Kept::here(level, tail)).await;",
            new: "let kept = self.nsqd.keep(Kept::here(level, if DROPPED { 0 } else { tail })).await;" },
    ] },
    Rule { name: "R9 an unfinished import counts as done", edits: &[
        Edit { file: "nsqd/src/recovery/pair_records.rs",
            old: "done: None,",
            new: "done: DROPPED.then_some(Position { run: 0, lsn: 0 })," },
    ] },
    Rule { name: "R10 ADOPTED before the last import", edits: &[
        Edit { file: "nsqd/src/pair/adoption.rs",
            old: "for topic in nsqd.pair.mirrored_topics() {",
            new: "for topic in nsqd.pair.mirrored_topics().into_iter().skip(usize::from(DROPPED)) {" },
    ] },
    // Neither its own sync: it is the same journal's.
    Rule { name: "R11 ADOPTED before the imports are durable", edits: &[
        Edit { file: "nsqd/src/pair/adoption.rs",
            old: "    nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))\n        .await?;\n    tracing::warn!(",
            new: "    if !DROPPED {\n        nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))\n            .await?;\n    }\n    tracing::warn!(" },
        Edit { file: "nsqd/src/pair/adoption.rs",
            old: "nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))\n        .await?;\n    let position = {",
            new: "if !DROPPED {\n        nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))\n            .await?;\n    }\n    let position = {" },
    ] },
    Rule { name: "R12 let go before the own mirror has it", edits: &[
        Edit { file: "nsqd/src/pair/origin.rs",
            old: "incarnation == adopted.holder && end >= needed",
            new: "incarnation == adopted.holder && (DROPPED || end >= needed)" },
    ] },
    Rule { name: "R13 an import does not move the base", edits: &[
        Edit { file: "lib/nsq-queue/src/import.rs",
            old: "self.rebased.note(pos, import.base);",
            new: "if !DROPPED {\n            self.rebased.note(pos, import.base);\n        }" },
    ] },
    Rule { name: "R14 waiting for the answer is not bounded", edits: &[
        Edit { file: "nsqd/src/pair/handover.rs",
            old: "now - since >= ASKING",
            new: "!DROPPED && now - since >= ASKING" },
    ] },
    Rule { name: "R15 finishes do not merge", edits: &[
        Edit { file: "nsqd/src/pair/receive.rs",
            old: "for heard in news.finished {",
            new: "for heard in news.finished.into_iter().filter(|_| !DROPPED) {" },
        Edit { file: "nsqd/src/recovery/pair_records.rs",
            old: "for heard in news.finished {",
            new: "for heard in news.finished.into_iter().filter(|_| !DROPPED) {" },
    ] },
    Rule { name: "R16 an import does not ask what was finished", edits: &[
        Edit { file: "nsqd/src/pair/adoption.rs",
            old: "let is_done = || finishes.contains(queue.number, channel.number, message.id);",
            new: "let is_done = || !DROPPED && finishes.contains(queue.number, channel.number, message.id);" },
    ] },
    Rule { name: "R17 a link makes everything mirrored", edits: &[
        Edit { file: "nsqd/src/pair/origin.rs",
            old: "true => self.acked,",
            new: "true if DROPPED => Lsn::MAX,\n            true => self.acked," },
    ] },
    Rule { name: "R18 what the origin lost is cut at once", edits: &[
        Edit { file: "nsqd/src/pair/holder.rs",
            old: "let acknowledged = holding.level_write || put_back;",
            new: "let acknowledged = (holding.level_write && !DROPPED) || put_back;" },
    ] },
    Rule { name: "LIST an OK does not wait for a list", edits: &[
        Edit { file: "nsqd/src/pair/mod.rs",
            old: "passable => at <= passable && at > self.unlisted(),",
            new: "passable => at <= passable && (DROPPED || at > self.unlisted())," },
    ] },
    Rule { name: "NAME a channel that was made anew is the old one", edits: &[
        Edit { file: "lib/nsq-queue/src/restore.rs",
            old: "if let Some(other) = other.filter(|other| *other != number) {",
            new: "if let Some(other) = other.filter(|other| *other != number && !DROPPED) {" },
    ] },
    Rule { name: "IDLE a peer that lacks nothing is lost", edits: &[
        Edit { file: "nsqd/src/pair/gate.rs",
            old: "self.waits = (self.furthest > acked).then_some((self.furthest, now));",
            new: "self.furthest = if DROPPED { tail } else { self.furthest };\n            self.waits = (self.furthest > acked).then_some((self.furthest, now));" },
        Edit { file: "nsqd/src/pair/handover.rs",
            old: "if self.gate.lock().gate.is_lost() {",
            new: "if self.gate.lock().gate.is_lost() && !DROPPED {" },
    ] },
];
