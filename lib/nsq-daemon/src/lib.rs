//! nsq-daemon
