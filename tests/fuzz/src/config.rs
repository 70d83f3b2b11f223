//! What people write.

use std::os::fd::AsRawFd;

use nsqd::options::Options;
use rustix::fs::{MemfdFlags, memfd_create};

/// The first line is a command line, the rest a config file.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (line, file) = text.split_once('\n').unwrap_or((text, ""));
    // A file without a disk: a million of them are written and removed.
    let Ok(memory) = memfd_create("nsqd.cfg", MemfdFlags::CLOEXEC) else {
        return;
    };
    if !matches!(rustix::io::write(&memory, file.as_bytes()), Ok(written) if written == file.len())
    {
        return;
    }
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    // No word may name another config file: it would be one of this machine.
    let words = line.split(' ').filter(|word| !word.contains("config"));
    let config = format!("--config={path}");
    let arguments = std::iter::once(config.as_str()).chain(words);
    let _ = Options::from_args("host", arguments);
}
