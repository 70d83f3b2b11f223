//! nsq-queue
