//! nsq-journal
