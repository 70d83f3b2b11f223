//! What people write.

use nsqd::options::Options;

/// The first line is a command line, the rest a config file.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (line, file) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(dir) = tempfile::tempdir() else {
        return;
    };
    let path = dir.path().join("nsqd.cfg");
    if std::fs::write(&path, file).is_err() {
        return;
    }
    // No word may name another config file: it would be one of this machine.
    let words = line.split(' ').filter(|word| !word.contains("config"));
    let config = format!("--config={}", path.display());
    let arguments = std::iter::once(config.as_str()).chain(words);
    let _ = Options::from_args("host", arguments);
}
