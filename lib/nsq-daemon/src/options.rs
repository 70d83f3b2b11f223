//! One table per program defines each of its options: flag, config key, type, default, help.
//!
//! ```
//! use nsq_daemon::options::{Command, Opt};
//!
//! #[derive(Clone, Default)]
//! struct Options {
//!     tcp_address: String,
//!     lookupds: Vec<String>,
//! }
//!
//! let command = Command::new("demod", vec![
//!     Opt::value("tcp-address", |o: &mut Options| &mut o.tcp_address, "0.0.0.0:1".into(), "where to listen"),
//!     Opt::value("lookupd-tcp-address", |o: &mut Options| &mut o.lookupds, vec![], "whom to tell")
//!         .key("nsqlookupd_tcp_addresses"),
//!     Opt::config_file(),
//!     Opt::version(),
//! ]);
//! let parsed = command.parse(["--lookupd-tcp-address=a:1", "-lookupd-tcp-address", "b:1"]).unwrap();
//! assert_eq!(parsed.options.tcp_address, "0.0.0.0:1");
//! assert_eq!(parsed.options.lookupds, ["a:1", "b:1"]);
//! ```
//!
//! Precedence is NSQ's: command line, then config file, then default.

use std::collections::BTreeSet;
use std::ffi::OsString;

use serde_json::Value as Json;

use crate::stop::Stop;
use crate::value::FlagValue;
use crate::version::version_text;
use crate::{command_line, config_file, markdown, usage};

/// One option of a program whose options are a `O`.
pub struct Opt<O> {
    pub(crate) flag: &'static str,
    pub(crate) key: String,
    pub(crate) help: &'static str,
    pub(crate) field: Field<O>,
    /// Why nothing needs to act on it any more.
    pub(crate) superseded: Option<&'static str>,
    pub(crate) group: &'static str,
}

pub(crate) enum Field<O> {
    /// Goes into the options.
    Value(Box<dyn Slot<O>>),
    /// `-config`.
    ConfigFile,
    /// `-version`.
    Version,
    /// A switch of old NSQ versions.
    Deprecated,
}

impl<O> Field<O> {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Value(slot) => slot.type_name(),
            Self::ConfigFile => String::TYPE_NAME,
            Self::Version | Self::Deprecated => bool::TYPE_NAME,
        }
    }

    pub(crate) fn is_switch(&self) -> bool {
        match self {
            Self::Value(slot) => slot.is_switch(),
            Self::ConfigFile => false,
            Self::Version | Self::Deprecated => true,
        }
    }
}

impl<O: 'static> Opt<O> {
    /// An option that is the field `access` of the options. Its config key is the flag with `_` for
    /// `-`, unless [`key`](Opt::key) says otherwise.
    #[must_use]
    pub fn value<T: FlagValue>(
        flag: &'static str,
        access: fn(&mut O) -> &mut T,
        default: T,
        help: &'static str,
    ) -> Self {
        Self::new(
            flag,
            help,
            Field::Value(Box::new(Typed { access, default })),
        )
    }

    /// `-config <file>`.
    #[must_use]
    pub fn config_file() -> Self {
        Self::new(
            "config",
            "TOML file to read options from",
            Field::ConfigFile,
        )
    }

    /// `-version`.
    #[must_use]
    pub fn version() -> Self {
        Self::new("version", "print the version and exit", Field::Version)
    }

    /// A switch that is still accepted and has done nothing for years in NSQ either.
    #[must_use]
    pub fn deprecated(flag: &'static str, help: &'static str) -> Self {
        Self::new(flag, help, Field::Deprecated)
    }

    /// The key in the config file, where NSQ's is not the flag's name.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// Accepted, and nothing acts on it because something better does: `why`.
    /// [`Parsed::superseded`] names it if it was given.
    #[must_use]
    pub fn superseded(mut self, why: &'static str) -> Self {
        self.superseded = Some(why);
        self
    }

    /// The heading under which the documentation has it.
    #[must_use]
    pub fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    fn new(flag: &'static str, help: &'static str, field: Field<O>) -> Self {
        Self {
            flag,
            key: flag.replace('-', "_"),
            help,
            field,
            superseded: None,
            group: "",
        }
    }
}

/// A typed field of the options, seen without its type.
pub(crate) trait Slot<O>: Send + Sync {
    fn type_name(&self) -> &'static str;
    fn is_switch(&self) -> bool;
    fn shown_default(&self) -> Option<String>;
    fn set_default(&self, options: &mut O);
    fn set_flag(&self, options: &mut O, text: &str, repeated: bool) -> Result<(), String>;
    fn set_config(&self, options: &mut O, value: &toml::Value) -> Result<(), String>;
    fn json(&self, options: &mut O) -> Json;
}

struct Typed<O, T> {
    access: fn(&mut O) -> &mut T,
    default: T,
}

impl<O, T: FlagValue> Slot<O> for Typed<O, T> {
    fn type_name(&self) -> &'static str {
        T::TYPE_NAME
    }

    fn is_switch(&self) -> bool {
        T::IS_SWITCH
    }

    fn shown_default(&self) -> Option<String> {
        self.default.shown()
    }

    fn set_default(&self, options: &mut O) {
        *(self.access)(options) = self.default.clone();
    }

    fn set_flag(&self, options: &mut O, text: &str, repeated: bool) -> Result<(), String> {
        let field = (self.access)(options);
        if repeated {
            field.repeat(text)
        } else {
            *field = T::parse(text)?;
            Ok(())
        }
    }

    fn set_config(&self, options: &mut O, value: &toml::Value) -> Result<(), String> {
        *(self.access)(options) = T::from_config(value)?;
        Ok(())
    }

    fn json(&self, options: &mut O) -> Json {
        (self.access)(options).json()
    }
}

/// A program and its table of options.
pub struct Command<O> {
    pub(crate) program: &'static str,
    pub(crate) options: Vec<Opt<O>>,
}

/// The options of a process, and what else its command line means.
#[derive(Debug, Clone)]
pub struct Parsed<O> {
    pub options: O,
    /// Flags that something better stands for and yet were given, on the command line or in the
    /// config file, and what that is.
    pub superseded: Vec<(&'static str, &'static str)>,
}

impl<O> Parsed<O> {
    /// What to log at start about options that were given for nothing.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let remark = |(flag, why): &(&str, &str)| format!("--{flag} is not needed: {why}");
        self.superseded.iter().map(remark).collect()
    }
}

impl<O: Default + Clone + 'static> Command<O> {
    /// A program with this table.
    #[must_use]
    pub fn new(program: &'static str, options: Vec<Opt<O>>) -> Self {
        Self { program, options }
    }

    /// Reads the command line (without the program's name), and the config file that it names.
    ///
    /// # Errors
    /// A reason to end instead of starting: help or version was asked for, or something is wrong.
    pub fn parse<A>(&self, args: impl IntoIterator<Item = A>) -> Result<Parsed<O>, Stop>
    where
        A: Into<OsString>,
    {
        let args = args.into_iter().map(Into::into).collect();
        let line = command_line::parse(self, args)?;
        if line.version {
            return Err(Stop::Version(version_text(self.program)));
        }
        let mut options = self.defaults();
        let mut given = BTreeSet::new();
        if let Some(path) = line.config.as_deref().filter(|path| !path.is_empty()) {
            config_file::apply(self, path, &mut options, &mut given).map_err(|reason| {
                Stop::Fatal(format!("failed to load config file {path} - {reason}"))
            })?;
        }
        for (position, text) in &line.values {
            let opt = &self.options[*position];
            if let Field::Value(slot) = &opt.field {
                let repeated = !given.insert((true, opt.flag));
                slot.set_flag(&mut options, text, repeated)
                    .map_err(|reason| command_line::bad_value(self, opt, text, &reason))?;
            }
        }
        let was_given = |flag| given.contains(&(true, flag)) || given.contains(&(false, flag));
        let superseded = self.options.iter();
        let superseded = superseded
            .filter_map(|opt| Some((opt.flag, opt.superseded?)))
            .filter(|(flag, _)| was_given(flag))
            .collect();
        Ok(Parsed {
            options,
            superseded,
        })
    }

    /// The options of a process that was told nothing.
    #[must_use]
    pub fn defaults(&self) -> O {
        let mut options = O::default();
        for opt in &self.options {
            if let Field::Value(slot) = &opt.field {
                slot.set_default(&mut options);
            }
        }
        options
    }

    /// The text of `-help`.
    #[must_use]
    pub fn usage(&self) -> String {
        usage::text(self)
    }

    /// The options as a page of documentation, in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// The value of the option with this config key, as `/config/:opt` answers it; `None` if there is
    /// no such option.
    #[must_use]
    pub fn json(&self, options: &O, key: &str) -> Option<Json> {
        let opt = self.options.iter().find(|opt| opt.key == key)?;
        match &opt.field {
            Field::Value(slot) => Some(slot.json(&mut options.clone())),
            _ => None,
        }
    }
}

/// Whether an option was given, by (on the command line?, flag).
pub(crate) type Given = BTreeSet<(bool, &'static str)>;
