//! nsq-http-api
