//! A certificate that cert-manager is asked for. The issuer is played: what matters here is what the operator asks for, when it
//! goes on, and that nothing is lost when the certificate is renewed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::NODES;
use super::access::{authority, certificate, scratch, secret, serves};
use super::install::cluster_ready;
use crate::kubectl::Kubectl;
use crate::measure::{Load, address, mirrored, unix_ms};

const KIND: &str = "certificates.cert-manager.io";
const DEFINITION: &str = include_str!("../../manifests/certificates.yaml");

pub fn issued(kubectl: &Kubectl) -> Result<Option<String>> {
    scratch(|directory| played(kubectl, directory))
}

fn played(kubectl: &Kubectl, directory: &Path) -> Result<()> {
    kubectl.run(&["delete", "crd", KIND, "--ignore-not-found"])?;
    let load = Load::lasting(kubectl, "certificate", 60)?;
    let moment = unix_ms();
    let before = kubectl.uids(NODES)?;
    let about = |kubectl: &Kubectl, status: &str, sentence: &str| -> Result<()> {
        let what = format!("the condition speaks of {sentence:?}");
        kubectl.until(&what, 60, |kubectl| {
            let said = kubectl.condition("nsqcluster/demo", "CertificateReady", status)?;
            ensure!(said.contains(sentence), "it says {said:?}");
            Ok(())
        })
    };
    kubectl.change(r#"{"tls":{"issuerRef":{"name":"authority"}}}"#)?;
    about(kubectl, "False", "knows no Certificate")?;
    kubectl.apply(DEFINITION)?;
    about(kubectl, "False", "cert-manager has said nothing yet")?;
    let after = kubectl.uids(NODES)?;
    ensure!(after == before, "nodes were restarted for nothing");

    let asked: Value = kubectl.json(&["get", KIND, "demo-nsq"])?;
    let names = asked["spec"]["dnsNames"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(
        names.contains(&"*.demo-nsqd.nsq-test.svc".into()),
        "asked for {names:?}"
    );
    ensure!(
        asked["spec"]["issuerRef"]["kind"] == "Issuer",
        "asked {asked}"
    );
    let names: Vec<String> = names
        .iter()
        .filter_map(|name| Some(format!("DNS:{}", name.as_str()?)))
        .collect();
    authority(directory)?;
    let issue = |serial: &str| -> Result<()> {
        let made = certificate(directory, serial, &names.join(","))?;
        secret(kubectl, directory, &made)
    };
    issue("3003")?;
    let status = r#"{"status":{"notAfter":"2099-01-01T00:00:00Z","conditions":[{"type":"Ready","status":"True","reason":"Ready","message":"issued","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
    let patch = [
        "patch",
        KIND,
        "demo-nsq",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ];
    kubectl.run(&patch)?;
    about(kubectl, "True", "2099")?;
    kubectl.until("nodes serve the certificate", 240, |kubectl| {
        serves(kubectl, "3003")
    })?;
    mirrored(kubectl, 120)?;
    cluster_ready(kubectl)?;

    let before = kubectl.uids(NODES)?;
    let links = links(kubectl)?;
    let mut connection = Https::open(kubectl, "demo-nsqd-0-0")?;
    connection.ping()?;
    issue("4004")?;
    kubectl.until("nodes serve the renewed certificate", 180, |kubectl| {
        serves(kubectl, "4004")
    })?;
    connection
        .ping()
        .context("a connection from before the renewal")?;
    connection.close();
    let after = kubectl.uids(NODES)?;
    ensure!(after == before, "a node was restarted for that");
    let (_, _, duplicates) = load.end(kubectl, moment)?;
    ensure!(
        self::links(kubectl)? == links,
        "a link between the nodes was lost"
    );
    println!("   duplicates {duplicates}");
    mirrored(kubectl, 60)?;
    kubectl.run(&["delete", "crd", KIND])?;
    kubectl.change(r#"{"tls":{"secretName":"demo-tls","issuerRef":null}}"#)?;
    cluster_ready(kubectl)
}

/// Times that each node has given its peer up.
fn links(kubectl: &Kubectl) -> Result<Vec<String>> {
    let pods = ["demo-nsqd-0-0", "demo-nsqd-0-1"];
    let losses = pods.map(|pod| -> Result<String> {
        let path = crate::measure::proxied(kubectl, pod, "metrics");
        let text = kubectl.run(&["get", "--raw", &path])?;
        let line = text
            .lines()
            .find(|line| line.starts_with("nsqd_pair_losses_total"));
        Ok(line.context("no nsqd_pair_losses_total")?.to_owned())
    });
    losses.into_iter().collect()
}

/// A connection over TLS that stays.
struct Https {
    client: Child,
}

impl Https {
    fn open(kubectl: &Kubectl, pod: &str) -> Result<Self> {
        let ip = address(kubectl, pod)?.ip();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &format!("{ip}:4152")]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let client = command.stderr(Stdio::null()).spawn()?;
        Ok(Self { client })
    }

    fn ping(&mut self) -> Result<()> {
        let input = self.client.stdin.as_mut().context("no input")?;
        input.write_all(b"GET /ping HTTP/1.1\r\nHost: nsqd\r\n\r\n")?;
        input.flush()?;
        let output = self.client.stdout.as_mut().context("no output")?;
        let mut said = Vec::new();
        let mut bytes = [0; 1024];
        while !said.ends_with(b"OK") {
            let count = output.read(&mut bytes)?;
            ensure!(
                count > 0,
                "it has ended after {:?}",
                String::from_utf8_lossy(&said)
            );
            said.extend(&bytes[..count]);
        }
        ensure!(
            said.starts_with(b"HTTP/1.1 200"),
            "it says {:?}",
            String::from_utf8_lossy(&said)
        );
        Ok(())
    }

    fn close(mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
