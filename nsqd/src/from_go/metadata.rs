//! `nsqd.dat`: the topics and channels of a Go nsqd.

use std::collections::BTreeMap;

use nsq_protocol::{NSQ_VERSION, is_ephemeral, is_valid_name};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Metadata {
    // Go writes null for an empty list.
    topics: Option<Vec<TopicMetadata>>,
    #[serde(default)]
    version: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct TopicMetadata {
    name: String,
    #[serde(default)]
    paused: bool,
    channels: Option<Vec<ChannelMetadata>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ChannelMetadata {
    name: String,
    #[serde(default)]
    paused: bool,
}

/// A topic, as it was.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub paused: bool,
    /// Name to paused.
    pub channels: BTreeMap<String, bool>,
}

/// Reads the file; names that no topic or channel can have are passed over, as Go does.
///
/// # Errors
/// It is no such file.
pub(crate) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Known>, serde_json::Error> {
    let metadata: Metadata = serde_json::from_slice(bytes)?;
    let kept = |name: &str| is_valid_name(name) && !is_ephemeral(name);
    let mut topics = BTreeMap::new();
    for topic in metadata.topics.unwrap_or_default() {
        if !kept(&topic.name) {
            tracing::warn!("nsqd.dat: no topic can be named {:?}", topic.name);
            continue;
        }
        let channels = topic.channels.unwrap_or_default().into_iter();
        let channels = channels.filter(|channel| kept(&channel.name));
        let known = Known {
            paused: topic.paused,
            channels: channels
                .map(|channel| (channel.name, channel.paused))
                .collect(),
        };
        topics.insert(topic.name, known);
    }
    Ok(topics)
}

/// The file, as Go writes it.
pub(crate) fn to_json(topics: &BTreeMap<String, Known>) -> String {
    let channel = |(name, paused): (&String, &bool)| ChannelMetadata {
        name: name.clone(),
        paused: *paused,
    };
    let topic = |(name, known): (&String, &Known)| TopicMetadata {
        name: name.clone(),
        paused: known.paused,
        channels: Some(known.channels.iter().map(channel).collect()),
    };
    let metadata = Metadata {
        topics: Some(topics.iter().map(topic).collect()),
        version: NSQ_VERSION.to_owned(),
    };
    // Strings and booleans are always JSON.
    serde_json::to_string(&metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read_and_written() {
        let text = br#"{"topics":[{"name":"a","paused":true,"channels":[{"name":"c","paused":true},{"name":"e#ephemeral","paused":false}]},
            {"name":"b","paused":false,"channels":null},{"name":"no way","channels":[]}],"version":"1.3.0"}"#;
        let topics = parse(text).unwrap();
        assert_eq!(topics.len(), 2);
        assert_eq!(
            topics["a"].channels,
            BTreeMap::from([("c".to_owned(), true)])
        );
        assert!(topics["a"].paused && topics["b"].channels.is_empty());
        assert_eq!(parse(to_json(&topics).as_bytes()).unwrap(), topics);
        assert!(
            parse(br#"{"topics":null,"version":"1.3.0"}"#)
                .unwrap()
                .is_empty()
        );
        assert!(parse(b"").is_err());
        assert!(parse(&text[..40]).is_err());
    }
}
