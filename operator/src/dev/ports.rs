//! Which ports each process gets: NSQ's own for the first, the next ones at a fixed distance.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

use crate::cluster::names::Component;

/// Distance between one node's ports and the next one's: 4150, 4250, 4350 ...
const STEP: u16 = 100;
/// How many places are tried for one node.
const TRIES: u16 = 100;

/// Where one process listens, on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub tcp: u16,
    pub http: u16,
}

/// Ports handed out so far, by pod.
#[derive(Debug, Default)]
pub struct PortBook {
    given: BTreeMap<String, Ports>,
}

/// What a pod was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    pub ports: Ports,
    /// The ports it would have had, were they not in use.
    pub instead_of: Option<Ports>,
}

impl PortBook {
    /// The ports of a pod that has some.
    #[must_use]
    pub fn of(&self, pod: &str) -> Option<Ports> {
        self.given.get(pod).copied()
    }

    /// Gives ports to the `nth` node of its kind, or `None` if none are free. `is_free` asks the machine.
    pub fn give(
        &mut self,
        pod: &str,
        component: Component,
        nth: u32,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<Given> {
        self.given.remove(pod);
        let nth = u16::try_from(nth).ok()?;
        let candidates: Vec<Ports> = (nth..nth.saturating_add(TRIES))
            .filter_map(|place| at(component, place))
            .collect();
        let free = |ports: &&Ports| {
            !self.given.values().any(|taken| taken == *ports)
                && is_free(ports.tcp)
                && is_free(ports.http)
        };
        let ports = *candidates.iter().find(free)?;
        self.given.insert(pod.to_owned(), ports);
        let first = *candidates.first()?;
        Some(Given {
            ports,
            instead_of: (first != ports).then_some(first),
        })
    }

    /// Takes back the ports of a pod that is gone.
    pub fn take_back(&mut self, pod: &str) {
        self.given.remove(pod);
    }
}

fn at(component: Component, place: u16) -> Option<Ports> {
    let offset = place.checked_mul(STEP)?;
    Some(Ports {
        tcp: component.tcp_port().checked_add(offset)?,
        http: component.http_port().checked_add(offset)?,
    })
}

/// Whether a process could listen there now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_has_nsqs_own_ports_and_the_next_ones_follow() {
        let mut book = PortBook::default();
        let mut give = |pod: &str, nth| book.give(pod, Component::Nsqd, nth, |_| true).unwrap();
        let first = give("a", 0);
        assert_eq!(
            (first.ports.tcp, first.ports.http, first.instead_of),
            (4150, 4151, None)
        );
        assert_eq!(give("b", 1).ports.tcp, 4250);
        // Another cluster's first node finds the first place taken.
        let other = give("c", 0);
        assert_eq!(
            (other.ports.tcp, other.instead_of),
            (4350, Some(first.ports))
        );
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let mut book = PortBook::default();
        let given = book
            .give("a", Component::Nsqlookupd, 0, |port| port != 4161)
            .unwrap();
        assert_eq!((given.ports.tcp, given.ports.http), (4260, 4261));
        assert_eq!(book.of("a"), Some(given.ports));
        let none = book.give("a", Component::Nsqlookupd, 0, |_| false);
        assert_eq!((none, book.of("a")), (None, None));
    }
}
