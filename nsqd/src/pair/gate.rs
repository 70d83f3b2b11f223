//! Which answers may leave: those whose messages the peer has, unless it is gone for too long.

use nsq_journal::Lsn;

use crate::options::OnPeerLoss;

/// How the peer is doing, as publishers see it. Times are nanoseconds.
#[derive(Debug)]
pub struct Gate {
    policy: OnPeerLoss,
    /// How long answers wait for a peer that does not acknowledge.
    patience: i64,
    /// The peer has everything before this.
    acked: Lsn,
    /// The first position somebody waits for, and since when.
    waits: Option<(Lsn, i64)>,
    /// The last position somebody waited for. What lies behind it may be nothing for the peer.
    furthest: Lsn,
    /// The peer is gone for too long.
    lost: bool,
}

/// The peer is gone and `--on-peer-loss=block` says not to go on alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerLost;

impl std::fmt::Display for PeerLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the peer does not mirror this node and --on-peer-loss=block: try the peer")
    }
}

/// What an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Everything before this may go.
    Through(Lsn),
    /// `block`: nothing that the peer does not have will be acknowledged.
    Refused(Lsn),
}

impl Gate {
    /// Before a link is up for the first time answers wait as long as after it broke.
    pub fn new(policy: OnPeerLoss, patience: i64) -> Self {
        Self {
            policy,
            patience,
            acked: 0,
            waits: None,
            furthest: 0,
            lost: false,
        }
    }

    /// Which answers may leave.
    pub fn passage(&self) -> Passage {
        match (self.lost, self.policy) {
            (false, _) => Passage::Through(self.acked),
            (true, OnPeerLoss::Degrade) => Passage::Through(Lsn::MAX),
            (true, OnPeerLoss::Block) => Passage::Refused(self.acked),
        }
    }

    /// Messages are not mirrored at present: `degrade` goes on without, `block` refuses them.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// An answer waits for `at`.
    pub fn waits_for(&mut self, at: Lsn, now: i64) {
        self.furthest = self.furthest.max(at);
        if at > self.acked && self.waits.is_none_or(|first| first.0 <= self.acked) {
            self.waits = Some((at, now));
        }
    }

    /// The peer has everything before `acked`, of a journal that ends at `tail`. True: answers may leave.
    pub fn acknowledged(&mut self, acked: Lsn, tail: Lsn, now: i64) -> bool {
        let more = acked > self.acked;
        self.acked = acked;
        if more && self.waits.is_some() {
            // It moves: whoever waits longest begins to wait anew.
            self.waits = (self.furthest > acked).then_some((self.furthest, now));
        }
        self.is_back(acked + NEAR >= tail);
        more
    }

    /// The copy lacks nothing before `reached`, of a journal that ends at `tail`: this node can tell by itself where the
    /// journal went on with what is nothing for the peer. So a copy that is only near is not enough: a peer that has
    /// fallen silent stays as near as it was. True: the peer was lost until now.
    pub fn lacks_nothing(&mut self, reached: Lsn, tail: Lsn) -> bool {
        self.is_back(reached >= tail)
    }

    fn is_back(&mut self, has_caught_up: bool) -> bool {
        let back = self.lost && has_caught_up;
        if back {
            self.lost = false;
            self.waits = None;
        }
        back
    }

    /// The link broke before a list was complete: what waits for it, up to `at`, waits for a peer that is gone.
    pub fn broke_off(&mut self, at: Lsn, now: i64) {
        self.acked = 0;
        self.furthest = self.furthest.max(at);
        self.waits.get_or_insert((at, now));
    }

    /// R7: the peer says anew what it has.
    pub fn welcomed(&mut self, acked: Lsn, tail: Lsn, now: i64) -> bool {
        self.acked = 0;
        self.acknowledged(acked, tail, now)
    }

    /// When to look again, if answers wait.
    pub fn deadline(&self) -> Option<i64> {
        let (at, since) = self.waits.filter(|_| !self.lost)?;
        (at > self.acked).then_some(since + self.patience)
    }

    /// Time passed. True: the peer has just become lost, and answers are to look again.
    pub fn tick(&mut self, now: i64) -> bool {
        let over = self.deadline().is_some_and(|deadline| deadline <= now);
        self.lost |= over;
        over
    }
}

/// A copy that is behind by no more than this counts as keeping up.
const NEAR: Lsn = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: i64 = 100;

    #[test]
    fn r6_answers_wait_for_the_peer() {
        let mut gate = Gate::new(OnPeerLoss::Degrade, PATIENCE);
        gate.waits_for(50, 0);
        assert_eq!(gate.passage(), Passage::Through(0));
        assert!(gate.acknowledged(40, 60, 10));
        assert_eq!(gate.passage(), Passage::Through(40));
        assert!(!gate.acknowledged(40, 60, 20));
        assert_eq!(gate.deadline(), Some(110), "it has moved at 10");
    }

    #[test]
    fn without_the_peer_degrade_goes_on_and_block_refuses() {
        for (policy, passage) in [
            (OnPeerLoss::Degrade, Passage::Through(Lsn::MAX)),
            (OnPeerLoss::Block, Passage::Refused(0)),
        ] {
            let mut gate = Gate::new(policy, PATIENCE);
            assert!(!gate.tick(1000), "nobody waits");
            gate.waits_for(50, 1000);
            assert!(!gate.tick(1099));
            assert!(gate.tick(1100));
            assert_eq!(gate.passage(), passage);
            // A link alone changes nothing: the peer has to have caught up.
            let far = 50 + 2 * NEAR;
            gate.welcomed(0, far, 2000);
            assert!(gate.is_lost());
            gate.acknowledged(far - 10, far, 2000);
            assert!(!gate.is_lost());
            assert_eq!(gate.passage(), Passage::Through(far - 10));
        }
    }

    #[test]
    fn a_peer_that_lacks_nothing_is_not_waited_for() {
        let mut gate = Gate::new(OnPeerLoss::Block, PATIENCE);
        gate.waits_for(50, 0);
        gate.waits_for(70, 0);
        // The journal goes on to 90 with what is nothing for the peer.
        gate.acknowledged(60, 90, 10);
        assert_eq!(gate.deadline(), Some(110));
        gate.acknowledged(70, 90, 20);
        assert_eq!(gate.deadline(), None);
        assert!(!gate.tick(1000));
        let far = 70 + 2 * NEAR;
        gate.waits_for(far, 1000);
        assert!(gate.tick(1100));
        assert!(
            !gate.lacks_nothing(far - 1, far),
            "it may have fallen silent"
        );
        assert!(gate.lacks_nothing(far, far) && !gate.is_lost());
    }

    #[test]
    fn what_waits_for_a_list_does_not_wait_for_ever() {
        let mut gate = Gate::new(OnPeerLoss::Block, PATIENCE);
        gate.waits_for(50, 0);
        gate.acknowledged(80, 80, 10);
        assert_eq!(gate.deadline(), None);
        gate.broke_off(60, 20);
        assert!(!gate.tick(119) && gate.tick(120));
        assert_eq!(gate.passage(), Passage::Refused(0));
    }

    #[test]
    fn r7_what_an_older_connection_acknowledged_is_void() {
        let mut gate = Gate::new(OnPeerLoss::Block, PATIENCE);
        gate.acknowledged(500, 600, 0);
        gate.welcomed(20, 600, 0);
        assert_eq!(gate.passage(), Passage::Through(20));
    }
}
