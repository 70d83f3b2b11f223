//! Everything one `dev` runs: clusters, topics, and what is told about them.

use kube::ResourceExt;
use nsq_http_api::{Client, ClientOptions};
use std::time::Duration;
use tokio::sync::mpsc;

use super::local::{LocalCluster, Places};
use super::manifest::Manifest;
use super::ports::PortBook;
use super::process::Exited;
use super::report::Reporter;
use super::topics::Topics;
use super::view::View;

/// Loopback answers at once or not at all.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Session {
    manifest: Manifest,
    clusters: Vec<LocalCluster>,
    /// Clusters that the manifest no longer has; their processes are ending.
    leaving: Vec<LocalCluster>,
    topics: Topics,
    ports: PortBook,
    client: Client,
    places: Places,
    exits: mpsc::Sender<Exited>,
    reporter: Reporter,
}

impl Session {
    pub fn new(
        manifest: Manifest,
        places: Places,
        exits: mpsc::Sender<Exited>,
        reporter: Reporter,
    ) -> Self {
        let mut session = Self {
            manifest: Manifest::default(),
            clusters: Vec::new(),
            leaving: Vec::new(),
            topics: Topics::default(),
            ports: PortBook::default(),
            client: Client::new(ClientOptions {
                connect_timeout: REQUEST_TIMEOUT,
                request_timeout: REQUEST_TIMEOUT,
                ..ClientOptions::default()
            }),
            places,
            exits,
            reporter,
        };
        session.take(manifest);
        session
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file has been edited, well or badly.
    pub fn edit(&mut self, edit: Result<Manifest, String>) {
        match edit {
            Ok(manifest) if manifest == self.manifest => {}
            Ok(manifest) => {
                self.reporter.note("the manifest has changed");
                self.take(manifest);
            }
            Err(problems) => {
                self.reporter.note(&problems);
                self.reporter
                    .note("everything goes on as before; put the manifest right and save it again");
            }
        }
    }

    fn take(&mut self, manifest: Manifest) {
        let mut before = std::mem::take(&mut self.clusters);
        for wanted in &manifest.clusters {
            let name = wanted.name_any();
            match before
                .iter()
                .position(|local| local.cluster.name_any() == name)
            {
                Some(at) => {
                    let mut local = before.swap_remove(at);
                    local.edit(wanted.clone());
                    self.clusters.push(local);
                }
                None => {
                    let mut cluster = wanted.clone();
                    cluster.metadata.generation = Some(1);
                    let (places, exits) = (self.places.clone(), self.exits.clone());
                    self.clusters
                        .push(LocalCluster::new(cluster, places, exits));
                }
            }
        }
        for mut gone in before {
            gone.stop_all();
            self.leaving.push(gone);
        }
        self.topics.take(&manifest.topics);
        self.manifest = manifest;
    }

    /// One pass over everything.
    pub async fn pass(&mut self) {
        for cluster in &mut self.clusters {
            for note in cluster.pass(&self.client, &mut self.ports).await {
                self.reporter.note(&note);
            }
        }
        for gone in &self.leaving {
            if gone.is_stopped() {
                gone.pods.keys().for_each(|pod| self.ports.take_back(pod));
            }
        }
        self.leaving.retain(|gone| !gone.is_stopped());
        let failures = self.topics.pass(&self.client, &self.clusters).await;
        failures
            .iter()
            .for_each(|failure| self.reporter.note(failure));
        self.show();
    }

    pub fn on_exit(&mut self, exited: &Exited) {
        for cluster in self.clusters.iter_mut().chain(&mut self.leaving) {
            cluster.on_exit(exited);
        }
        self.show();
    }

    /// Asks every process to end.
    pub fn stop(&mut self) {
        self.reporter.note("stopping; once more to stop at once");
        for cluster in &mut self.clusters {
            cluster.stop_all();
        }
        self.show();
    }

    pub fn is_stopped(&self) -> bool {
        let mut clusters = self.clusters.iter().chain(&self.leaving);
        clusters.all(LocalCluster::is_stopped)
    }

    /// The last word.
    pub fn end(&mut self) {
        let word = if self.is_stopped() {
            "stopped"
        } else {
            "stopped at once; what was still running is killed"
        };
        self.reporter.note(word);
    }

    fn show(&mut self) {
        let clusters = self.clusters.iter().chain(&self.leaving);
        self.reporter.show(View::of(clusters, &self.topics));
    }
}
