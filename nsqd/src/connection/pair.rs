//! What a connection has to do with other nodes: it may become a link to one, and its publishes may have to wait for the peer.

use nsq_daemon::stream::Socket;
use nsq_protocol::{PairRole, ProtocolError};

use super::Connection;
use super::commands::publish_code;
use crate::pair::PeerLost;

impl<S: Socket> Connection<S> {
    /// The connection becomes a link, once everything before was sent.
    pub(super) fn begin_link(&mut self, verb: &'static str, role: &[u8], input: &[u8]) {
        self.hand_over(input);
        if let Err(error) = self.may_begin(verb, role) {
            self.fail(error);
        }
    }

    fn may_begin(&mut self, verb: &'static str, role: &[u8]) -> Result<(), ProtocolError> {
        if verb == "PAIR" && !self.may_link {
            return Err(ProtocolError::invalid("invalid command PAIR"));
        }
        // A link is about all topics.
        self.authorize(verb, "*", "")?;
        self.authorize(verb, "*", "*")?;
        let role = PairRole::parse(role).filter(|role| role.verb() == verb);
        let roles = match verb {
            "PAIR" => "origin or holder",
            _ => "source or target",
        };
        let role = role.ok_or_else(|| ProtocolError::invalid(format!("{verb} takes {roles}")))?;
        self.link = Some(role);
        Ok(())
    }

    /// `--on-peer-loss=block`: what the peer cannot have is not taken.
    pub(super) fn refused_for_the_peer(&mut self, verb: &'static str) -> bool {
        let refused = self.nsqd.pair.is_awaited() && self.nsqd.pair.refuses();
        if refused {
            self.peer_lost(verb);
        }
        refused
    }

    pub(super) fn peer_lost(&mut self, verb: &'static str) {
        let code = publish_code(verb);
        let text = format!("{verb} failed {PeerLost}");
        self.fail(ProtocolError::fatal(code, text));
    }
}
