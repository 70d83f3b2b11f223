//! The rules of the protocol, each of which can be dropped.

use crate::judge::Promise;

/// A rule that nodes keep, unless it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule(u8);

/// What is told of a rule.
pub struct About {
    pub rule: Rule,
    pub name: &'static str,
    pub says: &'static str,
    /// What breaks without it.
    pub promise: Promise,
    /// The worlds in which that shows, the smallest first.
    pub worlds: &'static [&'static str],
}

macro_rules! rules {
    ($($rule:ident $number:literal $promise:ident [$($world:literal)*] $says:literal;)*) => {
        $(pub const $rule: Rule = Rule($number);)*
        /// All of them. R1 to R18 are the protocol's; L, H, F and E came with lists, holes, final records and emptying.
        pub const RULES: &[About] = &[$(About {
            rule: $rule,
            name: stringify!($rule),
            says: $says,
            promise: Promise::$promise,
            worlds: &[$($world),*],
        }),*];
    };
}

rules! {
    R1 0 Kept ["disk" "cut-disk"] "a blank disk is a new incarnation";
    R2 1 Kept ["disk"] "a mirror of another incarnation is adopted before it is replaced";
    R3 2 Kept ["three-messages"] "the holder cuts its mirror where the origin's run ended";
    R4 3 Kept ["two-cuts"] "a run begins with a durable BOOT";
    R5 4 Kept ["cut" "cut-disk"] "OK only after the own sync";
    R6 5 Kept ["cut-disk"] "OK only after the mirror's sync";
    R7 6 Kept ["second-disk"] "acknowledgements are forgotten at each HELLO";
    R8 7 Kept ["cut" "cut-disk"] "adopted is only what is durable in the mirror";
    R9 8 Kept ["cut" "cut-disk"] "an unfinished import is resumed, not reported";
    R10 9 Kept ["disk-order"] "ADOPTED only after the last import";
    R11 10 Kept ["cut" "cut-disk"] "imports are durable before ADOPTED";
    R12 11 Kept ["disk-order"] "let go only of what the own mirror has again";
    R13 12 Kept ["orders"] "an import moves the base, also of a message that is here";
    R14 13 Kept ["cut-disk"] "waiting for the peer's answer is bounded";
    R15 14 Final ["break" "orders"] "finishes merge by id, both ways";
    R16 15 Final ["orders" "disk-order"] "an importer asks its own finishes";
    R17 16 Kept ["degrade"] "what is not mirrored becomes less by acknowledgement only";
    R18 17 Kept ["write"] "at level write, what the origin lost is adopted before it is cut";
    L1 18 Kept ["list-disk"] "an OK waits for the list that its message is in";
    L2 19 Final ["list" "lists"] "a list tells finishes again";
    L3 20 Kept ["list" "list-disk" "list-disks"] "a copy is whole only when it has the whole list";
    L4 25 Kept ["list"] "nothing is let go before the copy is whole";
    L5 26 Final ["list-cut"] "finishes are remembered while the own mirror is not whole";
    F1 21 Kept ["list-cut"] "what cannot be undone is sent only when durable";
    H1 22 Kept ["holes"] "an origin tells which records it lost";
    H2 23 Copied ["holes"] "a holder that lost a part of its mirror says so";
    E1 24 Kept ["empty"] "emptying a channel takes nothing that the peer owns";
}

impl Rule {
    /// The rule of this name.
    pub fn named(name: &str) -> Option<&'static About> {
        RULES.iter().find(|about| about.name == name)
    }

    pub fn bit(self) -> u32 {
        1 << self.0
    }
}
