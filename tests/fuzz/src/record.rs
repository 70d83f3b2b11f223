//! Records of the journal, whose checksums have passed.

use nsq_journal::Record;

pub fn record(input: &[u8]) {
    let Some((&code, payload)) = input.split_first() else {
        return;
    };
    let Some(record) = Record::decode(code, payload, 1000) else {
        return;
    };
    assert_eq!(record.code(), code);
    let mut again = Vec::new();
    record.encode(&mut again);
    assert_eq!(again, payload, "{record:?}");
    if let Record::Publish { bodies, .. } = record {
        let mut count = 0;
        for (offset, body) in bodies.iter() {
            assert!((offset as usize - 1000) + body.len() <= payload.len());
            count += 1;
        }
        assert_eq!(count, bodies.count);
    }
}
