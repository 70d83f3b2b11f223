//! The flags of NSQ's `nsq_to_nsq`.

use std::ffi::OsString;

use nsq_client::Config;
use nsq_daemon::Stop;
use nsq_daemon::log::LogLevel;
use nsq_daemon::options::{Command, Opt};
use nsq_protocol::is_valid_name;

use super::pool::Mode;

/// What `nsq_to_nsq` can be told when it forwards messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub log_level: LogLevel,
    pub log_prefix: String,
    pub topics: Vec<String>,
    pub channel: String,
    pub destination_topic: String,
    pub nsqds: Vec<String>,
    pub lookupds: Vec<String>,
    pub destinations: Vec<String>,
    pub max_in_flight: i64,
    pub status_every: i64,
    pub mode: String,
    pub whitelist: Vec<String>,
    pub require_field: String,
    pub require_value: String,
    consumer_options: Vec<String>,
    producer_options: Vec<String>,
}

/// The options, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    pub options: Options,
    pub mode: Mode,
    pub consumer: Config,
    pub producer: Config,
}

impl Options {
    #[rustfmt::skip] // a table: one option, two lines
    fn command() -> Command<Self> {
        type O = Options;
        let text = str::to_owned;
        Command::new("nsq_to_nsq", vec![
            Opt::value("topic", |o: &mut O| &mut o.topics, vec![],
                "nsq topic (may be given multiple times)"),
            Opt::value("channel", |o: &mut O| &mut o.channel, text("nsq_to_nsq"),
                "nsq channel"),
            Opt::value("destination-topic", |o: &mut O| &mut o.destination_topic, text(""),
                "use this destination topic for all consumed topics (default is consumed topic name)"),
            Opt::value("nsqd-tcp-address", |o: &mut O| &mut o.nsqds, vec![],
                "nsqd TCP address (may be given multiple times)"),
            Opt::value("lookupd-http-address", |o: &mut O| &mut o.lookupds, vec![],
                "lookupd HTTP address (may be given multiple times)"),
            Opt::value("destination-nsqd-tcp-address", |o: &mut O| &mut o.destinations, vec![],
                "destination nsqd TCP address (may be given multiple times)"),
            Opt::value("max-in-flight", |o: &mut O| &mut o.max_in_flight, 200,
                "max number of messages to allow in flight"),
            Opt::value("status-every", |o: &mut O| &mut o.status_every, 250,
                "the # of requests between logging status (per destination), 0 disables"),
            Opt::value("mode", |o: &mut O| &mut o.mode, text("hostpool"),
                "the upstream request mode options: round-robin, hostpool (default), epsilon-greedy"),
            Opt::value("whitelist-json-field", |o: &mut O| &mut o.whitelist, vec![],
                "for JSON messages: pass this field (may be given multiple times)"),
            Opt::value("require-json-field", |o: &mut O| &mut o.require_field, text(""),
                "for JSON messages: only pass messages that contain this field"),
            Opt::value("require-json-value", |o: &mut O| &mut o.require_value, text(""),
                "for JSON messages: only pass messages in which the required field has this value"),
            Opt::value("consumer-opt", |o: &mut O| &mut o.consumer_options, vec![],
                "option of the consumers, as name,value (may be given multiple times)"),
            Opt::value("producer-opt", |o: &mut O| &mut o.producer_options, vec![],
                "option of the producers, as name,value (may be given multiple times)"),
            Opt::value("log-level", |o: &mut O| &mut o.log_level, LogLevel::Info,
                "how much to log: debug, info, warn, error or fatal"),
            Opt::value("log-prefix", |o: &mut O| &mut o.log_prefix, text("[nsq_to_nsq] "),
                "what every log line starts with"),
            Opt::config_file(),
            Opt::version(),
        ])
    }

    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// A reason to end instead of starting.
    pub fn from_args(args: Vec<OsString>) -> Result<Plan, Stop> {
        Self::command()
            .parse(args)?
            .options
            .plan()
            .map_err(Stop::Fatal)
    }

    fn plan(self) -> Result<Plan, String> {
        let user_agent = format!("nsq_to_nsq/{}", env!("CARGO_PKG_VERSION"));
        let (mut consumer, mut producer) = (Config::default(), Config::default());
        let all = [
            ("consumer", &mut consumer, &self.consumer_options),
            ("producer", &mut producer, &self.producer_options),
        ];
        for (whose, config, given) in all {
            config.user_agent.clone_from(&user_agent);
            for option in given {
                let set = config.set_pair(option);
                set.map_err(|error| format!("--{whose}-opt={option}: {error}"))?;
            }
            let checked = config.check();
            checked.map_err(|error| format!("--{whose}-opt: {error}"))?;
        }
        consumer.max_in_flight = u32::try_from(self.max_in_flight)
            .map_err(|_| "--max-in-flight is no such number".to_owned())?;
        if let Some(why) = self.wrong() {
            return Err(why.to_owned());
        }
        let mode = Mode::of(&self.mode);
        let mode = mode.ok_or("--mode is none of round-robin, hostpool and epsilon-greedy")?;
        Ok(Plan {
            mode,
            consumer,
            producer,
            options: self,
        })
    }

    fn wrong(&self) -> Option<&'static str> {
        let is_name = |name: &String| is_valid_name(name);
        let to = &self.destination_topic;
        match () {
            () if self.topics.is_empty() || self.channel.is_empty() => {
                Some("--topic and --channel are required")
            }
            () if !self.topics.iter().all(is_name) => Some("--topic is invalid"),
            () if !to.is_empty() && !is_name(to) => Some("--destination-topic is invalid"),
            () if !is_name(&self.channel) => Some("--channel is invalid"),
            () if self.nsqds.is_empty() && self.lookupds.is_empty() => {
                Some("--nsqd-tcp-address or --lookupd-http-address required")
            }
            () if !self.nsqds.is_empty() && !self.lookupds.is_empty() => {
                Some("use --nsqd-tcp-address or --lookupd-http-address not both")
            }
            () if self.destinations.is_empty() => Some("--destination-nsqd-tcp-address required"),
            () if self.status_every < 0 => Some("--status-every is below 0"),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(words: &[&str]) -> Result<Plan, String> {
        let args = words.iter().map(OsString::from).collect();
        Options::from_args(args).map_err(|stop| format!("{stop:?}"))
    }

    const LEAST: [&str; 3] = [
        "--topic=t",
        "--nsqd-tcp-address=a:1",
        "--destination-nsqd-tcp-address=b:1",
    ];

    #[test]
    fn options_of_the_client_are_passed_on() {
        let more = ["--consumer-opt=max_attempts,9", "--producer-opt=snappy"];
        let plan = planned(&[&LEAST[..], &more].concat()).unwrap();
        assert_eq!(plan.consumer.max_attempts, 9);
        assert!(plan.producer.snappy && !plan.consumer.snappy);
        assert_eq!(plan.consumer.max_in_flight, 200);
        assert_eq!(
            (plan.mode, plan.options.channel.as_str()),
            (Mode::Pool, "nsq_to_nsq")
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (drop, more, why) in [
            (0, "", "--topic and --channel are required"),
            (
                1,
                "",
                "--nsqd-tcp-address or --lookupd-http-address required",
            ),
            (2, "", "--destination-nsqd-tcp-address required"),
            (9, "--lookupd-http-address=c:1", "not both"),
            (9, "--topic=a b", "--topic is invalid"),
            (9, "--mode=both", "--mode is none of"),
            (9, "--consumer-opt=x,1", "there is no option"),
        ] {
            let mut words: Vec<&str> = LEAST.to_vec();
            if drop < words.len() {
                words.remove(drop);
            }
            words.extend((!more.is_empty()).then_some(more));
            let told = planned(&words).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
