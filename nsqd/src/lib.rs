//! nsqd: queues and delivers messages.

pub mod options;
