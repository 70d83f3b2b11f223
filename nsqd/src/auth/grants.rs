//! The rules of authorizations: regular expressions for topics and channels, not anchored.

use nsq_http_api::Authorization;
use regex::{Regex, RegexBuilder};

/// Expressions of one answer.
const MAX_EXPRESSIONS: usize = 4096;
/// Bytes of one compiled expression.
const MAX_COMPILED: usize = 256 << 10;

/// What an auth server has granted.
#[derive(Debug, Default)]
pub(super) struct Grants(Vec<Grant>);

#[derive(Debug)]
struct Grant {
    topic: Regex,
    channels: Vec<Regex>,
    subscribe: bool,
    publish: bool,
}

impl Grants {
    /// # Errors
    /// In NSQ's words: an answer that is wrong in one place is wrong as a whole.
    pub(super) fn compile(authorizations: &[Authorization]) -> Result<Self, String> {
        let expressions = |a: &Authorization| 1 + a.channels.len();
        if authorizations.iter().map(expressions).sum::<usize>() > MAX_EXPRESSIONS {
            return Err(format!("more than {MAX_EXPRESSIONS} expressions"));
        }
        let grants = authorizations.iter().map(grant);
        grants.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// An empty `channel` stands for publishing: as in NSQ, one of the channel expressions must
    /// find something in it then too, as `.*` does and `^c.*$` does not.
    pub(super) fn allow(&self, topic: &str, channel: &str) -> bool {
        self.0.iter().any(|grant| {
            let permitted = match channel {
                "" => grant.publish,
                _ => grant.subscribe,
            };
            permitted
                && grant.topic.is_match(topic)
                && grant.channels.iter().any(|known| known.is_match(channel))
        })
    }
}

fn grant(authorization: &Authorization) -> Result<Grant, String> {
    let permissions = &authorization.permissions;
    let unknown = permissions
        .iter()
        .find(|name| !matches!(name.as_str(), "subscribe" | "publish"));
    if let Some(name) = unknown {
        return Err(format!("unknown permission {name}"));
    }
    let has = |name: &str| permissions.iter().any(|known| known == name);
    let channels = authorization.channels.iter();
    Ok(Grant {
        topic: expression("topic", &authorization.topic)?,
        channels: channels
            .map(|channel| expression("channel", channel))
            .collect::<Result<_, _>>()?,
        subscribe: has("subscribe"),
        publish: has("publish"),
    })
}

fn expression(what: &str, text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(MAX_COMPILED).build();
    built.map_err(|error| format!("unable to compile {what} {text:?} {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Grants, String> {
        Grants::compile(&serde_json::from_str::<Vec<Authorization>>(json).unwrap())
    }

    #[test]
    fn expressions_are_not_anchored_and_publishing_needs_a_channel_of_no_name() {
        let grants = compile(
            r#"[{"topic":"ord","channels":["^c.*$"],"permissions":["subscribe","publish"]},
                {"topic":"^logs$","channels":[".*"],"permissions":["publish"]},
                {"topic":"ro","channels":null,"permissions":["subscribe"]}]"#,
        )
        .unwrap();
        for (topic, channel, allowed) in [
            ("orders", "c1", true),
            ("my-ord", "c1", true),
            ("orders", "d", false),
            ("orders", "", false),
            ("logs", "", true),
            ("logs", "c", false),
            ("logs2", "", false),
            ("ro", "c", false),
        ] {
            assert_eq!(grants.allow(topic, channel), allowed, "{topic} {channel}");
        }
        assert_eq!(grants.len(), 3);
    }

    #[test]
    fn one_wrong_place_is_enough() {
        for (json, why) in [
            (r#"[{"permissions":["admin"]}]"#, "unknown permission admin"),
            (r#"[{"topic":"("}]"#, "unable to compile topic \"(\""),
            (r#"[{"channels":["*"]}]"#, "unable to compile channel \"*\""),
            (
                r#"[{"topic":"(a{1000}){1000}"}]"#,
                "unable to compile topic",
            ),
        ] {
            assert!(compile(json).unwrap_err().starts_with(why), "{json}");
        }
        let many = vec![Authorization::default(); MAX_EXPRESSIONS + 1];
        assert!(Grants::compile(&many).is_err());
        assert!(!compile("[]").unwrap().allow("t", "c"));
    }
}
