//! Nodes of a pair, and links to them.

use std::time::Duration;

use nsq_http_api::PairStatus;
use nsq_protocol::PairRole;
use nsq_tools::mirror;
use tokio::net::TcpStream;

use super::{Node, http};

pub async fn status(node: &Node) -> PairStatus {
    serde_json::from_str(&http::ask(node, "GET /pair", b"").await.body).unwrap()
}

/// Asks until it is so.
pub async fn until(node: &Node, is_so: impl Fn(&PairStatus) -> bool) -> PairStatus {
    loop {
        let status = status(node).await;
        if is_so(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A link to the node, as `nsq_to_nsq --mirror` makes it.
pub async fn link(node: &Node, role: PairRole) -> TcpStream {
    let stream = TcpStream::connect(&node.tcp).await.unwrap();
    let stream = mirror::introduce(stream).await.unwrap();
    mirror::link(stream, role, "").await.unwrap()
}
