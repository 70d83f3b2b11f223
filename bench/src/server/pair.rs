//! Two nsqd that mirror each other, with the programs that carry their journals.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nsq_rig::{Carrier, Program, Server};

/// A pair that does not mirror after this never will.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
const NAMES: [&str; 2] = ["a", "b"];

/// See the module. The first node is the one that is measured.
pub struct Couple {
    carriers: [Carrier; 2], // ended before the nodes
    pub nodes: [Server; 2],
}

impl Couple {
    /// Starts both, and returns once each has all that the other has.
    ///
    /// # Errors
    /// When a program does not start, or they do not find each other.
    pub fn start(nsqd: &Path, nsq_to_nsq: &Path, flags: &[&str], data: &Path) -> Result<Self> {
        let node = |at: usize| -> Result<Server> {
            let path = data.join(NAMES[at]);
            std::fs::create_dir_all(&path)?;
            let mut flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
            flags.extend([
                format!("--node-id={}", at + 1),
                format!("--pair-name={}", NAMES[at]),
                format!("--pair-with={}", NAMES[1 - at]),
            ]);
            let program = Program {
                path: nsqd.to_owned(),
                flags,
            };
            let mut server = Server::start(&program, &path)?;
            server.wait_ready()?;
            Ok(server)
        };
        let nodes = [node(0)?, node(1)?];
        let carry = |from: usize, to: usize| {
            let (origin, holder) = (nodes[from].tcp_address()?, nodes[to].tcp_address()?);
            Carrier::mirror(nsq_to_nsq, origin, holder)
        };
        let mut couple = Self {
            carriers: [carry(0, 1)?, carry(1, 0)?],
            nodes,
        };
        couple.wait_mirrored()?;
        Ok(couple)
    }

    fn wait_mirrored(&mut self) -> Result<()> {
        let began = Instant::now();
        for node in &mut self.nodes {
            while node.metric("nsqd_pair_mirrored")? < 1.0 {
                if began.elapsed() > PATIENCE {
                    bail!(
                        "the pair does not mirror after {PATIENCE:?}\n{}",
                        node.log()
                    );
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// All its processes.
    pub fn pids(&self) -> Vec<u32> {
        let carriers = self.carriers.iter().map(Carrier::pid);
        self.nodes.iter().map(Server::pid).chain(carriers).collect()
    }
}
