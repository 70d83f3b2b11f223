//! Directories as text: the bytes that are not zero.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

const ROW: usize = 32;

/// All files below `dir` as text.
pub fn pack(dir: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let name = path.strip_prefix(dir).unwrap().display();
            writeln!(text, "file {name} {}", bytes.len()).unwrap();
            for (at, row) in bytes.chunks(ROW).enumerate() {
                if row.iter().any(|byte| *byte != 0) {
                    write!(text, "{:x} ", at * ROW).unwrap();
                    row.iter()
                        .for_each(|byte| write!(text, "{byte:02x}").unwrap());
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// The directory that [`pack`] was given.
pub fn unpack(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut file: Option<fs::File> = None;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("file ") {
            let (name, len) = head.rsplit_once(' ').unwrap();
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let made = fs::File::create(path).unwrap();
            made.set_len(len.parse().unwrap()).unwrap();
            file = Some(made);
            continue;
        }
        let (at, hex) = line.split_once(' ').unwrap();
        let digits = hex
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap());
        let row: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect();
        let at = u64::from_str_radix(at, 16).unwrap();
        file.as_ref().unwrap().write_all_at(&row, at).unwrap();
    }
    dir
}
