//! What a statsd daemon is sent: lines of NSQ's form, packed into datagrams that are spread over
//! the interval, so that neither side drops any.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

/// Host and port as they stand in a key: `node_example_4151`.
#[must_use]
pub fn host_key(address: &str, port: u16) -> String {
    let host = match address.contains(':') {
        true => format!("[{address}]:{port}"), // as Go joins an IPv6 address and a port
        false => format!("{address}:{port}"),
    };
    host.replace(['.', ':'], "_")
}

/// The option's `%s` filled in, with a `.` at its end if there is anything.
#[must_use]
pub fn prefix(option: &str, host_key: &str) -> String {
    let mut prefix = option.replace("%s", host_key);
    if !prefix.is_empty() && !prefix.ends_with('.') {
        prefix.push('.');
    }
    prefix
}

/// Lines, packed into datagrams. A line is never torn.
#[derive(Debug)]
pub struct Packets {
    prefix: String,
    packet_size: usize,
    packets: Vec<String>,
}

impl Packets {
    /// `packet_size` in bytes; a line that is longer is sent alone all the same.
    #[must_use]
    pub fn new(prefix: String, packet_size: usize) -> Self {
        Self {
            prefix,
            packet_size,
            packets: Vec::new(),
        }
    }

    /// What has come on top since the last push.
    pub fn counter(&mut self, name: &str, more: u64) {
        self.line(name, more, 'c');
    }

    /// What there is now.
    pub fn gauge(&mut self, name: &str, value: u64) {
        self.line(name, value, 'g');
    }

    fn line(&mut self, name: &str, value: u64, kind: char) {
        let line = format!("{}{name}:{value}|{kind}\n", self.prefix);
        let size = self.packet_size;
        match self.packets.last_mut() {
            Some(packet) if packet.len() + line.len() <= size => packet.push_str(&line),
            _ => {
                let mut packet = String::with_capacity(size.max(line.len()));
                // Writing to a String cannot fail.
                let _ = packet.write_str(&line);
                self.packets.push(packet);
            }
        }
    }

    /// The datagrams.
    #[must_use]
    pub fn packets(&self) -> &[String] {
        &self.packets
    }

    /// Sends the datagrams evenly over `time`.
    ///
    /// # Errors
    /// The address has no meaning, or the first datagram could not be sent; of later ones the
    /// failures are ignored, as UDP does anyway.
    pub async fn send(&self, address: &str, time: Duration) -> std::io::Result<()> {
        let mut addresses = tokio::net::lookup_host(address).await?;
        let to = addresses.next().ok_or(std::io::ErrorKind::NotFound)?;
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(from).await?;
        socket.connect(to).await?;
        let rest = time / u32::try_from(self.packets.len()).unwrap_or(u32::MAX).max(1);
        for (at, packet) in self.packets.iter().enumerate() {
            let sent = socket.send(packet.as_bytes()).await;
            if at == 0 {
                sent?;
            }
            if !rest.is_zero() && at + 1 < self.packets.len() {
                tokio::time::sleep(rest).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_nsqs() {
        assert_eq!(host_key("node.example", 9851), "node_example_9851");
        assert_eq!(host_key("fe80::1", 4151), "[fe80__1]_4151");
        assert_eq!(prefix("nsq.%s", "h_1"), "nsq.h_1.");
        assert_eq!(prefix("a.%s.b.", "h_1"), "a.h_1.b.");
        assert_eq!(prefix("", "h_1"), "");
    }

    #[test]
    fn lines_are_packed_and_never_torn() {
        let mut packets = Packets::new("p.".to_owned(), 20);
        for value in [1, 22, 333] {
            packets.gauge("abc", value); // 10, 11, 12 bytes
        }
        packets.counter(&"long".repeat(10), 1);
        assert_eq!(packets.packets()[0], "p.abc:1|g\n");
        assert_eq!(packets.packets()[1], "p.abc:22|g\n");
        let mut roomy = Packets::new("p.".to_owned(), 21);
        roomy.gauge("abc", 1);
        roomy.gauge("abc", 22);
        assert_eq!(roomy.packets(), ["p.abc:1|g\np.abc:22|g\n"]);
        assert_eq!(packets.packets().len(), 4);
    }
}
