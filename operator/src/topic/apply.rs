//! Making the planned calls.

use nsq_http_api::{Client, Error};

use super::plan::{Call, Step};
use crate::cluster::names::Component;

/// Makes every call in order. One that fails does not keep the others from being made.
///
/// # Errors
/// All failures, as one sentence.
pub async fn make_calls(client: &Client, topic: &str, steps: &[Step]) -> Result<(), String> {
    let mut failures = Vec::new();
    for step in steps {
        if let Err(err) = make_call(client, topic, step).await
            && !err.is_not_found()
        {
            failures.push(format!("{}: {err}", step.node));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; "))
    }
}

async fn make_call(client: &Client, topic: &str, step: &Step) -> Result<(), Error> {
    match step.component {
        Component::Nsqd => {
            let nsqd = client.nsqd(&step.address);
            match &step.call {
                Call::CreateTopic => nsqd.create_topic(topic).await,
                Call::DeleteTopic => nsqd.delete_topic(topic).await,
                Call::PauseTopic(true) => nsqd.pause_topic(topic).await,
                Call::PauseTopic(false) => nsqd.unpause_topic(topic).await,
                Call::CreateChannel(channel) => nsqd.create_channel(topic, channel).await,
                Call::DeleteChannel(channel) => nsqd.delete_channel(topic, channel).await,
                Call::PauseChannel(channel, true) => nsqd.pause_channel(topic, channel).await,
                Call::PauseChannel(channel, false) => nsqd.unpause_channel(topic, channel).await,
                Call::SetTopic(settings) => nsqd.set_topic_settings(topic, settings).await,
                Call::SetChannel(channel, settings) => {
                    nsqd.set_channel_settings(topic, channel, settings).await
                }
            }
        }
        Component::Nsqlookupd => {
            let lookupd = client.nsqlookupd(&step.address);
            match &step.call {
                Call::CreateTopic => lookupd.create_topic(topic).await,
                Call::DeleteTopic => lookupd.delete_topic(topic).await,
                Call::CreateChannel(channel) => lookupd.create_channel(topic, channel).await,
                Call::DeleteChannel(channel) => lookupd.delete_channel(topic, channel).await,
                // Only nsqd knows pauses and settings; none is ever planned for a lookup.
                Call::PauseTopic(_)
                | Call::PauseChannel(..)
                | Call::SetTopic(_)
                | Call::SetChannel(..) => Ok(()),
            }
        }
    }
}
