use proptest::prelude::*;

use super::*;

const AFTER: i64 = 30 * SECOND;

fn alone(heard: i64) -> Own {
    Own {
        linked: false,
        heard,
        incarnation: Some(1),
        run: 1,
        left: Left::Messages,
        stopping: false,
    }
}

fn testimony(answer: Result<Presence, String>) -> Testimony {
    Testimony {
        connected_for: Some(Duration::from_secs(3600)),
        answer,
    }
}

fn silent(seconds: i64) -> Result<Presence, String> {
    Ok(Presence::Silent(Duration::from_secs(seconds as u64)))
}

/// What nsqlookupds said, at 0 when the peer was there and at `now`.
fn said(now: i64, answers: Vec<Result<Presence, String>>) -> Witnesses {
    let mut witnesses = Witnesses::default();
    let named = |answer: Vec<Result<Presence, String>>| {
        let named = answer.into_iter().enumerate();
        let named = named.map(|(at, answer)| (format!("w{at}"), testimony(answer)));
        named.collect::<BTreeMap<_, _>>()
    };
    witnesses.take(true, named(vec![silent(0); answers.len()]), (0, 0));
    witnesses.take(false, named(answers), (now, now));
    witnesses
}

fn verdict(answers: Vec<Result<Presence, String>>) -> Verdict {
    let now = 40 * SECOND;
    judge(AFTER, &alone(0), &said(now, answers), now)
}

fn unanswered() -> Result<Presence, String> {
    Err("refused".to_owned())
}

const ABSENT: Result<Presence, String> = Ok(Presence::Absent);

#[test]
fn more_than_half_have_to_say_so() {
    assert_eq!(verdict(vec![ABSENT]), Verdict::Adopt);
    assert_eq!(verdict(vec![ABSENT, ABSENT]), Verdict::Adopt);
    assert_eq!(verdict(vec![ABSENT, ABSENT, unanswered()]), Verdict::Adopt);
    let few = |silent, of| Verdict::Wait(Reason::TooFew(silent, of));
    assert_eq!(verdict(vec![unanswered()]), few(0, 1));
    assert_eq!(verdict(vec![ABSENT, unanswered()]), few(1, 2));
    let half = vec![ABSENT, ABSENT, unanswered(), unanswered()];
    assert_eq!(verdict(half), few(2, 4));
    assert_eq!(verdict(vec![]), Verdict::Wait(Reason::NoWitness));
}

#[test]
fn one_that_has_heard_of_it_is_enough_to_wait() {
    let heard = Verdict::Wait(Reason::Heard("w2".to_owned()));
    assert_eq!(verdict(vec![ABSENT, ABSENT, silent(14)]), heard);
    assert_eq!(verdict(vec![ABSENT, ABSENT, Ok(Presence::Listed)]), heard);
}

#[test]
fn one_that_is_connected_has_to_miss_two_pings() {
    let heard = Verdict::Wait(Reason::Heard("w0".to_owned()));
    assert_eq!(verdict(vec![silent(34)]), heard);
    assert_eq!(verdict(vec![silent(35)]), Verdict::Adopt);
}

#[test]
fn what_was_heard_counts_when_the_witness_is_gone() {
    let mut witnesses = said(0, vec![silent(0); 3]);
    let (asked, now) = (AFTER, AFTER + SECOND);
    let mut round: BTreeMap<_, _> = [("w0", ABSENT), ("w1", ABSENT), ("w2", silent(5))]
        .map(|(address, answer)| (address.to_owned(), testimony(answer)))
        .into();
    witnesses.take(false, round.clone(), (asked, now));
    let w2 = Verdict::Wait(Reason::Heard("w2".to_owned()));
    assert_eq!(judge(AFTER, &alone(0), &witnesses, now), w2);
    round.insert("w2".to_owned(), testimony(unanswered()));
    witnesses.take(false, round.clone(), (now, now));
    assert_eq!(judge(AFTER, &alone(0), &witnesses, now), w2);
    // The two that are left are more than half, once that is as long ago.
    let later = now - 5 * SECOND + AFTER;
    witnesses.take(false, round, (later, later));
    assert_eq!(judge(AFTER, &alone(0), &witnesses, later), Verdict::Adopt);
}

#[test]
fn answers_from_before_the_time_was_over_are_asked_for_again() {
    let own = alone(0);
    let witnesses = said(AFTER - 1, vec![ABSENT]);
    let lately = Verdict::Wait(Reason::Lately);
    assert_eq!(judge(AFTER, &own, &witnesses, AFTER - 1), lately);
    assert_eq!(judge(AFTER, &own, &witnesses, AFTER), Verdict::Ask);
    let witnesses = said(AFTER, vec![ABSENT]);
    assert_eq!(judge(AFTER, &own, &witnesses, AFTER), Verdict::Adopt);
    let late = AFTER + pace(AFTER);
    assert_eq!(judge(AFTER, &own, &witnesses, late), Verdict::Ask);
}

#[test]
fn what_this_node_is_like_comes_first() {
    let now = 40 * SECOND;
    let witnesses = said(now, vec![ABSENT]);
    let own = alone(0);
    for (own, reason) in [
        (
            Own {
                stopping: true,
                ..own
            },
            Reason::Stopping,
        ),
        (
            Own {
                linked: true,
                ..own
            },
            Reason::Linked,
        ),
        (alone(now - AFTER + 1), Reason::Lately),
        (
            Own {
                left: Left::Nothing,
                ..own
            },
            Reason::NothingLeft,
        ),
        (
            Own {
                left: Left::Importing,
                ..own
            },
            Reason::Importing,
        ),
        (
            Own {
                left: Left::Adopted,
                ..own
            },
            Reason::Adopted,
        ),
    ] {
        assert_eq!(judge(AFTER, &own, &witnesses, now), Verdict::Wait(reason));
    }
}

#[test]
fn a_witness_that_was_just_started_says_nothing() {
    let mut witnesses = said(0, vec![silent(0)]);
    let now = 100 * SECOND;
    let young = Testimony {
        connected_for: Some(Duration::from_secs(29)),
        answer: ABSENT,
    };
    witnesses.take(false, [("w0".to_owned(), young)].into(), (now, now));
    let few = Verdict::Wait(Reason::TooFew(0, 1));
    assert_eq!(judge(AFTER, &alone(0), &witnesses, now), few);
    let says = witnesses.iter().next().unwrap().1.says(AFTER, now);
    assert_eq!(says, Says::Young);
}

#[test]
fn a_witness_that_never_knew_the_peer_says_nothing() {
    let mut witnesses = Witnesses::default();
    let round = || [("w0".to_owned(), testimony(ABSENT))].into();
    for now in [0, IDLE] {
        witnesses.take(true, round(), (now, now));
    }
    let now = 5 * IDLE;
    witnesses.take(false, round(), (now, now));
    let few = Verdict::Wait(Reason::TooFew(0, 1));
    assert_eq!(judge(AFTER, &alone(0), &witnesses, now), few);
}

/// An nsqlookupd, and who is connected to it when. Nanoseconds.
#[derive(Debug, Clone)]
struct Lookupd {
    /// It is away in this time, and has forgotten everything when it comes back.
    away: (i64, i64),
    /// How long after that the peer is connected again, and this node.
    peer_after: i64,
    we_after: i64,
    /// How long it holds the connection of a peer that is dead.
    holds: i64,
}

impl Lookupd {
    /// What it says of a peer that dies at some time.
    fn testimony(&self, dies: i64, now: i64) -> Testimony {
        let back = self.away.1 + self.we_after;
        if (self.away.0..back).contains(&now) {
            return Testimony {
                connected_for: None,
                answer: unanswered(),
            };
        }
        let since = if now < back { -3600 * SECOND } else { back };
        let came = match now < self.away.0 {
            true => -3600 * SECOND,
            false => self.away.1 + self.peer_after,
        };
        let is_there = came <= now && came < dies && now < dies.saturating_add(self.holds);
        let spoke = came + (now.min(dies) - came) / (15 * SECOND) * 15 * SECOND;
        Testimony {
            connected_for: Some(Duration::from_nanos((now - since) as u64)),
            answer: match is_there {
                true => Ok(Presence::Silent(Duration::from_nanos((now - spoke) as u64))),
                false => ABSENT,
            },
        }
    }
}

/// When the node adopts a peer whose links end at `parted` and that dies at `dies`, if it does within ten minutes.
fn adopts(after: i64, lookupds: &[Lookupd], parted: i64, dies: i64) -> Option<i64> {
    let mut witnesses = Witnesses::default();
    let mut now = 0;
    while now < parted.min(dies) + 600 * SECOND {
        let linked = now < parted.min(dies);
        let own = Own {
            linked,
            ..alone(now.min(parted.min(dies)))
        };
        match judge(after, &own, &witnesses, now) {
            Verdict::Adopt => return Some(now),
            Verdict::Wait(_) => now += pace(after) / 4,
            Verdict::Ask => {
                let named = lookupds.iter().enumerate();
                let said = named.map(|(at, it)| (format!("w{at}"), it.testimony(dies, now)));
                let answered = now + SECOND / 10;
                witnesses.take(linked, said.collect(), (now, answered));
                now = answered;
            }
        }
    }
    None
}

fn lookupd() -> impl Strategy<Value = Lookupd> {
    let seconds = |range: std::ops::Range<i64>| range.prop_map(|at| at * SECOND / 10);
    let holds = prop_oneof![Just(0), seconds(0..3000)];
    (
        seconds(0..6000),
        seconds(0..1000),
        0..200i64,
        0..200i64,
        holds,
    )
        .prop_map(|(from, away, peer_after, we_after, holds)| Lookupd {
            away: (from, from + away),
            peer_after: peer_after * SECOND / 10,
            we_after: we_after * SECOND / 10,
            holds,
        })
}

proptest! {
    /// However the nsqlookupds come and go.
    #[test]
    fn a_peer_that_lives_is_not_adopted(
        after in 1..120i64, lookupds in prop::collection::vec(lookupd(), 0..5), parted in 0..3000i64,
    ) {
        let parted = parted * SECOND / 10;
        prop_assert_eq!(adopts(after * SECOND, &lookupds, parted, i64::MAX / 2), None);
    }

    /// As long as more than half of the nsqlookupds have been there all the time.
    #[test]
    fn a_peer_that_is_dead_is_adopted_in_time(
        after in 1..120i64, mut lookupds in prop::collection::vec(lookupd(), 1..5), dies in 0..6000i64,
    ) {
        let (after, dies) = (after * SECOND, dies * SECOND / 10);
        let steady = lookupds.len() / 2 + 1;
        for lookupd in &mut lookupds[..steady] {
            lookupd.away = (i64::MAX / 2, i64::MAX / 2);
        }
        let adopted = adopts(after, &lookupds, i64::MAX / 2, dies);
        prop_assert!(adopted >= Some(dies + after), "{:?}", adopted);
        let latest = dies + after.max(PINGS_MISSED) + 2 * pace(after) + SECOND;
        prop_assert!(adopted <= Some(latest), "{:?} > {}", adopted, latest);
    }
}
