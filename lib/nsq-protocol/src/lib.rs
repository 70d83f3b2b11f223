//! nsq-protocol
