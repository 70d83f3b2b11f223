/// NSQ's rule for topic and channel names: 1 to 64 characters of `[.a-zA-Z0-9_-]`, where a
/// `#ephemeral` suffix is allowed and counts.
pub fn is_valid_name(name: &str) -> bool {
    if name.is_empty() || name.len() > 64 {
        return false;
    }
    let stem = name.strip_suffix(EPHEMERAL).unwrap_or(name);
    !stem.is_empty()
        && stem
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// An ephemeral channel goes with its last client, an ephemeral topic with its last channel;
/// neither is kept on disk.
pub fn is_ephemeral(name: &str) -> bool {
    name.ends_with(EPHEMERAL)
}

const EPHEMERAL: &str = "#ephemeral";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "A.b_c-9", "t#ephemeral", &"x".repeat(64)] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in [
            "",
            "bad!",
            "#ephemeral",
            "a b",
            "t#other",
            "é",
            &"x".repeat(65),
        ] {
            assert!(!is_valid_name(bad), "{bad}");
        }
        let long = format!("{}#ephemeral", "x".repeat(55));
        assert!(!is_valid_name(&long), "the suffix counts");
        assert!(is_ephemeral("a#ephemeral") && !is_ephemeral("a"));
    }
}
