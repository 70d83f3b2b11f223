//! A nsqlookupd on ports of its own choice.

use std::time::Duration;

use nsqlookupd::Nsqlookupd;
use nsqlookupd::options::Options;

pub async fn nsqlookupd() -> Nsqlookupd {
    let any = "127.0.0.1:0".to_owned();
    let options = Options {
        tcp_address: any.clone(),
        http_address: any,
        broadcast_address: "127.0.0.1".to_owned(),
        inactive_producer_timeout: Duration::from_secs(300),
        tombstone_lifetime: Duration::from_secs(45),
        ..Options::default()
    };
    Nsqlookupd::start(&options).await.unwrap()
}
