//! `cargo xtask image [--out FILE] [--name NAME]`: the container image, made without an engine.
//!
//! One layer with every program, as an OCI image layout in one tar file, which containerd imports
//! (`ctr images import`) and `skopeo copy oci-archive:` takes anywhere. The same programs give the
//! same bytes: entries are sorted and carry no times.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::programs::{self, PROGRAMS};
use crate::workspace::target;

/// The name that examples/cluster.yaml uses.
pub const NAME: &str = "nsq:dev";
/// nobody in particular, as distroless images have it; also in the pods' security context.
pub const USER: u64 = 65532;
/// Certificates of the machine that builds, for daemons that call HTTPS; left out where there are none.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub fn run(arguments: &[String]) -> Result<()> {
    let mut out = default_path();
    let mut name = NAME.to_owned();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--out" => out = PathBuf::from(value()?),
            "--name" => value()?.clone_into(&mut name),
            _ => bail!("cargo xtask image [--out FILE] [--name NAME], not {word:?}"),
        }
    }
    let bytes = write(&out, &name, &programs::build()?)?;
    println!("{} {name} {bytes} bytes", out.display());
    Ok(())
}

/// Where the image is put unless told otherwise.
pub fn default_path() -> PathBuf {
    target().join("nsq-image.tar")
}

/// Writes the image with the programs of a directory; its size.
pub fn write(out: &Path, name: &str, binaries: &Path) -> Result<usize> {
    let mut layer = Layer::default();
    for directory in [
        "data",
        "etc",
        "etc/ssl",
        "etc/ssl/certs",
        "tmp",
        "usr",
        "usr/local",
        "usr/local/bin",
    ] {
        layer.directory(directory);
    }
    layer.file(
        "etc/passwd",
        0o644,
        b"nsq:x:65532:65532:nsq:/data:/sbin/nologin\n",
    );
    layer.file("etc/group", 0o644, b"nsq:x:65532:\n");
    if let Ok(certificates) = fs::read(CERTIFICATES) {
        layer.file("etc/ssl/certs/ca-certificates.crt", 0o644, &certificates);
    }
    for program in PROGRAMS {
        let path = binaries.join(program);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        layer.file(&format!("usr/local/bin/{program}"), 0o755, &bytes);
        // NSQ's own image has them at the root as well.
        layer.link(program, &format!("/usr/local/bin/{program}"));
    }
    let image = archive(&layer.tar()?, name, runtime_config())?;
    put(out, &image)?;
    Ok(image.len())
}

/// Writes an image of one program at the root, which is its entry point, and runs as `user`.
pub fn write_single(out: &Path, name: &str, program: &Path, user: u64) -> Result<()> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    let file = program.file_name().and_then(|file| file.to_str());
    let file = file.context("a program without a name")?;
    let mut layer = Layer::default();
    layer.directory("tmp");
    layer.file(file, 0o755, &bytes);
    let entrypoint = json!({"Entrypoint": [format!("/{file}")], "User": format!("{user}:{user}")});
    put(out, &archive(&layer.tar()?, name, entrypoint)?)
}

/// Whole or not at all: others may be reading the image that was there.
fn put(out: &Path, image: &[u8]) -> Result<()> {
    if let Some(directory) = out.parent() {
        fs::create_dir_all(directory)?;
    }
    let part = out.with_extension("part");
    fs::write(&part, image).with_context(|| part.display().to_string())?;
    fs::rename(&part, out).with_context(|| out.display().to_string())
}

/// The files of the one layer.
#[derive(Default)]
struct Layer {
    entries: Vec<Entry>,
}

struct Entry {
    path: String,
    kind: EntryType,
    mode: u32,
    bytes: Vec<u8>,
    target: Option<String>,
}

impl Layer {
    fn directory(&mut self, path: &str) {
        let mode = if path == "tmp" { 0o1777 } else { 0o755 };
        self.add(path, EntryType::Directory, mode, &[], None);
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.add(path, EntryType::Regular, mode, bytes, None);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.add(path, EntryType::Symlink, 0o777, &[], Some(target));
    }

    fn add(&mut self, path: &str, kind: EntryType, mode: u32, bytes: &[u8], target: Option<&str>) {
        self.entries.push(Entry {
            path: path.to_owned(),
            kind,
            mode,
            bytes: bytes.to_vec(),
            target: target.map(str::to_owned),
        });
    }

    fn tar(mut self) -> Result<Vec<u8>> {
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut builder = Builder::new(Vec::new());
        for entry in &self.entries {
            let owner = if entry.path == "data" { USER } else { 0 };
            let mut header = header(entry.kind, entry.mode, owner, entry.bytes.len())?;
            match &entry.target {
                Some(target) => builder.append_link(&mut header, &entry.path, target)?,
                None => builder.append_data(&mut header, &entry.path, entry.bytes.as_slice())?,
            }
        }
        Ok(builder.into_inner()?)
    }
}

fn header(kind: EntryType, mode: u32, owner: u64, size: usize) -> Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(u64::try_from(size)?);
    header.set_mtime(0);
    Ok(header)
}

/// The OCI layout around a layer: configuration, manifest, index.
fn archive(layer: &[u8], name: &str, runtime: Value) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::fast());
    gzip.write_all(layer)?;
    let packed = gzip.finish()?;
    let config = serde_json::to_vec(&config(&digest(layer), &runtime))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", &config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
    }))?;
    let mut entry = blob("application/vnd.oci.image.manifest.v1+json", &manifest);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    entry["annotations"] = json!({
        "io.containerd.image.name": full_name(name),
        "org.opencontainers.image.ref.name": tag,
    });
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]}))?;

    let mut files = vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index),
    ];
    for bytes in [config, manifest, packed] {
        let digest = digest(&bytes);
        let hex = digest.trim_start_matches("sha256:");
        files.push((format!("blobs/sha256/{hex}"), bytes));
    }
    files.sort();
    let mut builder = Builder::new(Vec::new());
    for (path, bytes) in &files {
        let mut header = header(EntryType::Regular, 0o644, 0, bytes.len())?;
        builder.append_data(&mut header, path, bytes.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

fn config(layer: &str, runtime: &Value) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created_by": "cargo xtask image"}],
    })
}

/// How our own image is run unless somebody says otherwise.
fn runtime_config() -> Value {
    json!({
        "User": format!("{USER}:{USER}"),
        "Env": ["PATH=/usr/local/bin"],
        "Cmd": ["/usr/local/bin/nsqd"],
        "WorkingDir": "/data",
        "ExposedPorts": {"4150/tcp": {}, "4151/tcp": {}, "4160/tcp": {}, "4161/tcp": {}},
    })
}

/// As Go, and so OCI, names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Kubernetes reads a short name as one of Docker Hub; containerd must know the image by that.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let binaries = tempfile::tempdir().unwrap();
        for program in PROGRAMS {
            fs::write(binaries.path().join(program), program).unwrap();
        }
        let out = binaries.path().join("image.tar");
        write(&out, NAME, binaries.path()).unwrap();
        fs::read(out).unwrap()
    }

    #[test]
    fn the_same_programs_give_the_same_bytes() {
        assert_eq!(digest(&image()), digest(&image()));
    }

    #[test]
    fn every_blob_is_what_its_digest_says() {
        let image = image();
        let mut archive = tar::Archive::new(image.as_slice());
        let mut blobs = 0;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            if let Some(hex) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest(&bytes), format!("sha256:{hex}"));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }

    #[test]
    fn short_names_are_those_of_docker_hub() {
        assert_eq!(full_name("nsq:dev"), "docker.io/library/nsq:dev");
        assert_eq!(full_name("me/nsq:1"), "docker.io/me/nsq:1");
        assert_eq!(full_name("localhost:5000/nsq:1"), "localhost:5000/nsq:1");
    }
}
