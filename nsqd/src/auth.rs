//! Who may publish and subscribe: asked of auth servers. Without a good answer nobody may.
//!
//! Nothing is remembered between connections, as in NSQ: a secret that was taken back opens no new
//! connection. Only what answers have in common, their compiled expressions, is shared.

mod grants;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use nsq_http_api::{AuthClient, AuthMethod, AuthQuestion, Authorization, TlsSetupError};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::options::Options;
use grants::Grants;

/// Different answers whose expressions are shared; what comes on top is compiled for itself.
const MAX_SHARED: usize = 1024;

/// The servers that are asked, each time from another one on.
pub(crate) struct AuthServers {
    addresses: Vec<String>,
    client: AuthClient,
    shared: Mutex<HashMap<Vec<Authorization>, Weak<Grants>>>,
}

/// What a client may do.
#[derive(Debug, Clone)]
pub(crate) struct Authorized {
    pub identity: String,
    pub identity_url: String,
    /// Steady time.
    expires: i64,
    grants: Arc<Grants>,
}

impl Authorized {
    pub(crate) fn has_expired(&self, now: i64) -> bool {
        self.expires < now
    }

    pub(crate) fn permissions(&self) -> usize {
        self.grants.len()
    }

    /// `channel` empty: to publish.
    pub(crate) fn allows(&self, topic: &str, channel: &str) -> bool {
        self.grants.allow(topic, channel)
    }
}

impl AuthServers {
    /// `None` if the options name none.
    ///
    /// # Errors
    /// One is to be asked over TLS, and this machine trusts nobody.
    pub(crate) fn new(options: &Options) -> Result<Option<Self>, TlsSetupError> {
        let addresses = options.auth_http_addresses.clone();
        if addresses.is_empty() {
            return Ok(None);
        }
        let client = AuthClient::new(
            &addresses,
            AuthMethod::from(options.auth_http_request_method),
            options.http_client_connect_timeout,
            options.http_client_request_timeout,
        )?;
        Ok(Some(Self {
            addresses,
            client,
            shared: Mutex::default(),
        }))
    }

    /// Asks one server after the other until one gives a good answer.
    ///
    /// # Errors
    /// Why the last one did not, for the log.
    pub(crate) async fn ask(
        &self,
        question: &AuthQuestion,
        clock: Clock,
    ) -> Result<Authorized, String> {
        let start = rand::random_range(0..self.addresses.len());
        let mut why = String::new();
        for at in 0..self.addresses.len() {
            let address = &self.addresses[(start + at) % self.addresses.len()];
            match self.ask_one(address, question, clock).await {
                Ok(authorized) => return Ok(authorized),
                Err(reason) => {
                    tracing::error!("failed auth against {address} - {reason}");
                    why = reason;
                }
            }
        }
        Err(why)
    }

    async fn ask_one(
        &self,
        address: &str,
        question: &AuthQuestion,
        clock: Clock,
    ) -> Result<Authorized, String> {
        let answer = self.client.ask(address, question).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let grants = self.grants(answer.authorizations)?;
        if answer.ttl <= 0 {
            return Err(format!("invalid TTL {} (must be >0)", answer.ttl));
        }
        let ttl = answer.ttl.saturating_mul(1_000_000_000);
        Ok(Authorized {
            identity: answer.identity,
            identity_url: answer.identity_url,
            expires: clock.now().saturating_add(ttl),
            grants,
        })
    }

    /// Compiled, or as they were compiled for somebody else.
    fn grants(&self, authorizations: Vec<Authorization>) -> Result<Arc<Grants>, String> {
        let mut shared = self.shared.lock();
        if let Some(grants) = shared.get(&authorizations).and_then(Weak::upgrade) {
            return Ok(grants);
        }
        let grants = Arc::new(Grants::compile(&authorizations)?);
        if shared.len() >= MAX_SHARED {
            shared.retain(|_, grants| grants.strong_count() > 0);
        }
        if shared.len() < MAX_SHARED {
            shared.insert(authorizations, Arc::downgrade(&grants));
        }
        Ok(grants)
    }
}
