use super::*;

fn auditor() -> Auditor {
    let channels = BTreeMap::from([("t".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
    let rules = Rules {
        finish_may_be_forgotten: 50,
        finish_may_be_late: false,
        paired: false,
    };
    let mut auditor = Auditor::new(rules, channels);
    auditor.sent("t", 7);
    auditor.acknowledged(7);
    auditor
}

#[test]
fn a_message_that_one_channel_never_got_is_lost() {
    let mut auditor = auditor();
    let body = encode(7, 20);
    assert_eq!(auditor.delivered("t", "a", &body, 1), Some(7));
    let verdict = auditor.verdict();
    assert_eq!(verdict.lost, [(7, "t".to_owned(), "b".to_owned())]);
    auditor.delivered("t", "b", &body, 1);
    assert!(auditor.verdict().is_good());
    assert_eq!(auditor.verdict().unfinished, 2);
    auditor.finished("t", "b", 7, 1);
    assert_eq!(auditor.verdict().unfinished, 1);
}

#[test]
fn a_channel_that_was_emptied_need_not_get_what_was_sent_before() {
    let mut auditor = auditor();
    auditor.sent("t", 8);
    auditor.sent("t", 6);
    auditor.acknowledged(6);
    let spared = |number| number == 6;
    let emptied = auditor.emptied("t", "b", &spared);
    assert_eq!(emptied, [7], "8 is on its way");
    auditor.sent("t", 9);
    auditor.acknowledged(9);
    for number in [6, 7, 9] {
        auditor.delivered("t", "a", &encode(number, 20), 1);
    }
    let lost = [6, 9].map(|number| (number, "t".to_owned(), "b".to_owned()));
    assert_eq!(auditor.verdict().lost, lost);
}

#[test]
fn what_was_delivered_must_have_been_kept() {
    let mut auditor = auditor();
    auditor.sent("t", 8);
    auditor.delivered("t", "a", &encode(8, 20), 1);
    assert_eq!(auditor.verdict().vanished, 1);
    auditor.finished("t", "a", 8, 1);
    assert_eq!(auditor.verdict().vanished, 0);
}

#[test]
fn what_was_never_sent_or_was_altered_is_noticed() {
    let body = encode(7, 20);
    let mut altered = body.clone();
    altered[18] ^= 1;
    for (topic, body) in [("t", altered), ("t", encode(8, 20)), ("u", body)] {
        let mut auditor = auditor();
        auditor.delivered(topic, "a", &body, 1);
        assert_eq!(auditor.verdict().complaints.len(), 1);
    }
}

#[test]
fn in_a_pair_a_finish_is_final_once_both_know_of_it() {
    for (settled, good) in [(None, true), (Some(100), true), (Some(101), false)] {
        let mut auditor = auditor();
        auditor.rules.paired = true;
        let body = encode(7, 20);
        auditor.delivered("t", "a", &body, 1);
        auditor.finished("t", "a", 7, 100);
        settled
            .into_iter()
            .for_each(|before| auditor.settled(before));
        auditor.delivered("t", "a", &body, 1);
        assert_eq!(auditor.verdict().complaints.is_empty(), good, "{settled:?}");
    }
}

#[test]
fn a_message_is_not_finished_more_often_than_there_are_reasons() {
    for (most, good) in [(2, true), (1, false)] {
        let mut auditor = auditor();
        auditor.rules.paired = true;
        for at in [100, 200] {
            auditor.delivered("t", "a", &encode(7, 20), 1);
            auditor.finished("t", "a", 7, at);
        }
        auditor.finished_at_most(most);
        assert_eq!(auditor.verdict().complaints.is_empty(), good, "{most}");
    }
}

#[test]
fn a_finish_may_be_forgotten_only_by_a_crash_soon_after() {
    for (crash, good) in [
        (None, false),
        (Some(99), false),
        (Some(149), true),
        (Some(150), false),
    ] {
        let mut auditor = auditor();
        let body = encode(7, 20);
        auditor.delivered("t", "a", &body, 1);
        auditor.finished("t", "a", 7, 100);
        crash.into_iter().for_each(|at| auditor.crashed(at));
        auditor.delivered("t", "a", &body, 1);
        assert_eq!(auditor.verdict().complaints.is_empty(), good, "{crash:?}");
    }
}
