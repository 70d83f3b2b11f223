//! HTTP APIs that ask for a token: people and the operator have one, consumers and probes need none.

use anyhow::{Result, ensure};

use super::OPERATOR_NAMESPACE;
use super::install::{cluster_ready, helm_install, helm_install_with, leader};
use crate::kubectl::Kubectl;
use crate::measure::address;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 500;
const TOPIC: &str = "apiVersion: nsq.io/v1alpha1
kind: NsqTopic
metadata: {name: guarded}
spec: {cluster: demo, channels: [{name: c}]}
";

fn spec(kubectl: &Kubectl, tokens: &str) -> Result<()> {
    kubectl.change(&format!(r#"{{"httpTokens":{tokens}}}"#))
}

/// Status of a request to make a topic.
fn asked(kubectl: &Kubectl, token: Option<&str>) -> Result<String> {
    let ip = address(kubectl, "demo-nsqd-0-0")?.ip();
    let url = format!("http://{ip}:4151/topic/create?topic=by-hand");
    let mut command = std::process::Command::new("curl");
    command.args([
        "-s",
        "--max-time",
        "5",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-X",
        "POST",
        &url,
    ]);
    command.args(token.map(|token| format!("-HAuthorization: Bearer {token}")));
    Ok(String::from_utf8(command.output()?.stdout)?)
}

pub fn tokens(kubectl: &Kubectl) -> Result<Option<String>> {
    let own = [
        "create",
        "secret",
        "generic",
        "nsq-http-token",
        "--from-literal=token=of-the-operator",
    ];
    kubectl.run(&[&own[..], &["-n", OPERATOR_NAMESPACE]].concat())?;
    let all = "--from-literal=tokens=of-the-operator\nof-a-person\n";
    kubectl.run(&["create", "secret", "generic", "demo-tokens", all])?;
    helm_install_with("httpTokenSecret=nsq-http-token")?;
    kubectl.until("an operator leads", 60, leader)?;
    spec(kubectl, r#"{"secretName":"demo-tokens"}"#)?;
    kubectl.until("nodes ask for a token", 180, |kubectl| {
        let status = asked(kubectl, None)?;
        ensure!(status == "401", "it says {status}");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    let status = asked(kubectl, Some("of-a-person"))?;
    ensure!(status == "200", "a person's token: {status}");
    // The operator's, and lookups without any.
    kubectl.apply(TOPIC)?;
    kubectl.until("nsqtopic/guarded is Ready", 60, |kubectl| {
        kubectl.condition("nsqtopic/guarded", "Ready", "True")
    })?;
    publish(kubectl, "demo-publish:4150", "guarded", 0, MESSAGES, 0)?.finish(kubectl)?;
    consume(kubectl, "demo-lookup:4161", "guarded", "c", 0, MESSAGES)?.finish(kubectl)?;
    // One token less, without a restart.
    let fewer = r#"{"stringData":{"tokens":"of-the-operator"}}"#;
    kubectl.run(&[
        "patch",
        "secret",
        "demo-tokens",
        "--type=merge",
        "-p",
        fewer,
    ])?;
    kubectl.until("the person is kept out", 150, |kubectl| {
        let status = asked(kubectl, Some("of-a-person"))?;
        ensure!(status == "401", "it says {status}");
        Ok(())
    })?;
    spec(kubectl, "null")?;
    cluster_ready(kubectl)?;
    helm_install()?;
    cluster_ready(kubectl)?;
    Ok(None)
}
