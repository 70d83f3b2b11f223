//! Certificates: taken up, and renewed without a restart.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::NODES;
use super::install::cluster_ready;
use crate::kubectl::Kubectl;
use crate::measure::{Load, address, mirrored, unix_ms};

const SECRET: &str = "demo-tls";
/// A node that is there answers within this time.
const ANSWER_SECONDS: &str = "5";
/// Every node under its own name, and the Services.
const NAMES: &str = "DNS:*.demo-nsqd.nsq-test.svc,DNS:*.demo-nsqlookupd.nsq-test.svc,DNS:demo-publish,DNS:demo-lookup";

pub fn tls(kubectl: &Kubectl) -> Result<Option<String>> {
    scratch(|directory| under_load(kubectl, directory))
}

/// Work that needs openssl and a directory for a while.
pub(super) fn scratch(work: impl FnOnce(&Path) -> Result<()>) -> Result<Option<String>> {
    if Command::new("openssl").arg("version").output().is_err() {
        return Ok(Some(
            "openssl, which makes the certificates, is not there".to_owned(),
        ));
    }
    let directory = std::env::temp_dir().join(format!("nsq-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let done = work(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    done.map(|()| None)
}

/// The authority of a directory.
pub(super) fn authority(directory: &Path) -> Result<()> {
    let name = ["-subj", "/CN=authority", "-keyout"];
    let (key, authority) = (directory.join("ca.key"), directory.join("ca.crt"));
    openssl(
        &[&name[..], &[path(&key), "-out", path(&authority)]].concat(),
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ],
    )
}

fn under_load(kubectl: &Kubectl, directory: &Path) -> Result<()> {
    authority(directory)?;
    let first = certificate(directory, "1001", NAMES)?;
    secret(kubectl, directory, &first)?;
    let load = Load::lasting(kubectl, "tls", 60)?;
    let moment = unix_ms();
    kubectl.change(&format!(r#"{{"tls":{{"secretName":"{SECRET}"}}}}"#))?;
    kubectl.until("nodes serve the certificate", 240, |kubectl| {
        serves(kubectl, "1001")
    })?;
    mirrored(kubectl, 120)?;
    cluster_ready(kubectl)?;
    let before = kubectl.uids(NODES)?;
    let second = certificate(directory, "2002", NAMES)?;
    secret(kubectl, directory, &second)?;
    kubectl.until("nodes serve the renewed certificate", 180, |kubectl| {
        serves(kubectl, "2002")
    })?;
    let after = kubectl.uids(NODES)?;
    ensure!(after == before, "a node was restarted for that");
    let (_, _, duplicates) = load.end(kubectl, moment)?;
    println!("   duplicates {duplicates}");
    mirrored(kubectl, 60)?;
    another_authority(kubectl, directory)
}

/// Whatever links nodes anew takes that up too: no sidecar is restarted for it.
fn another_authority(kubectl: &Kubectl, directory: &Path) -> Result<()> {
    authority(directory)?;
    let third = certificate(directory, "3003", NAMES)?;
    secret(kubectl, directory, &third)?;
    kubectl.until(
        "nodes serve a certificate of another authority",
        180,
        |kubectl| serves(kubectl, "3003"),
    )?;
    kubectl.run(&["delete", "pod", "demo-nsqd-0-0"])?;
    cluster_ready(kubectl)?;
    mirrored(kubectl, 60)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// A certificate of this serial number, signed by the authority of the directory.
pub(super) fn certificate(
    directory: &Path,
    serial: &str,
    for_whom: &str,
) -> Result<(PathBuf, PathBuf)> {
    let file = |suffix: &str| directory.join(format!("{serial}.{suffix}"));
    let (key, request, signed, names) = (file("key"), file("csr"), file("crt"), file("ext"));
    std::fs::write(&names, format!("subjectAltName={for_whom}"))?;
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let out = [
        "-subj",
        "/CN=nsq",
        "-keyout",
        path(&key),
        "-out",
        path(&request),
    ];
    openssl(&[&curve[..], &out].concat(), &["req"])?;
    let (authority, authority_key) = (directory.join("ca.crt"), directory.join("ca.key"));
    let by = ["-CA", path(&authority), "-CAkey", path(&authority_key)];
    let serial = format!("0x{serial}");
    let what = [
        "-in",
        path(&request),
        "-out",
        path(&signed),
        "-extfile",
        path(&names),
    ];
    let how = ["-set_serial", &serial, "-days", "30"];
    openssl(&[&by[..], &what, &how].concat(), &["x509", "-req"])?;
    Ok((signed, key))
}

fn openssl(arguments: &[&str], verb: &[&str]) -> Result<()> {
    let mut command = Command::new("openssl");
    let output = command.args(verb).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {verb:?}: {said}");
    Ok(())
}

pub(super) fn secret(kubectl: &Kubectl, directory: &Path, made: &(PathBuf, PathBuf)) -> Result<()> {
    let authority = directory.join("ca.crt");
    let files = [
        ("tls.crt", &made.0),
        ("tls.key", &made.1),
        ("ca.crt", &authority),
    ];
    let files = files.map(|(name, file)| format!("--from-file={name}={}", file.display()));
    let mut words = vec![
        "create",
        "secret",
        "generic",
        SECRET,
        // As cert-manager makes them.
        "--type=kubernetes.io/tls",
        "--dry-run=client",
        "-o",
        "yaml",
    ];
    words.extend(files.iter().map(String::as_str));
    let manifest = kubectl.run(&words)?;
    kubectl.apply(&manifest)?;
    Ok(())
}

/// Whether every nsqd shows the certificate of this serial number.
pub(super) fn serves(kubectl: &Kubectl, serial: &str) -> Result<()> {
    for pod in ["demo-nsqd-0-0", "demo-nsqd-0-1"] {
        let ip = address(kubectl, pod)?.ip();
        // A pod that is just being replaced leaves an address where nobody says no.
        let mut command = Command::new("timeout");
        command.args([ANSWER_SECONDS, "openssl", "s_client", "-showcerts"]);
        command.args(["-connect", &format!("{ip}:4152")]);
        let shown = command.stdin(Stdio::null()).output()?;
        let mut reading = Command::new("openssl");
        reading.args(["x509", "-noout", "-serial"]);
        let mut child = reading
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        std::io::Write::write_all(&mut stdin, &shown.stdout)?;
        drop(stdin);
        let said = String::from_utf8(child.wait_with_output()?.stdout)?;
        ensure!(
            said.trim() == format!("serial={serial}"),
            "{pod} shows {said:?}"
        );
    }
    Ok(())
}
