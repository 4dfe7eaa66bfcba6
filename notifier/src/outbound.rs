//! [`Outbound`]: which addresses we connect to, and the HTTP clients that keep to it.
//!
//! Addresses are checked three times: a literal one before the request, every resolved one when connecting
//! (a name cannot change in between), and the target of each redirect. A proxy of the environment is never
//! used, because it would connect for us.

use crate::error::{Error, Reason};
use crate::network::{self, Network};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections that are kept for one receiver; a burst of firings uses that many at once.
const IDLE_PER_HOST: usize = 256;
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// How we name ourselves.
pub const USER_AGENT: &str = concat!("pavlov/", env!("CARGO_PKG_VERSION"));

/// Which addresses may be connected to.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Whether this machine's own addresses are allowed: exactly while the server is bound to them.
    pub loopback: bool,
    /// Further networks that are allowed though they are not public.
    pub networks: Vec<Network>,
}

/// How one request deviates from the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// Whether the receiver's certificate is checked.
    pub verify: bool,
    /// Whether allowed networks and loopback count; a block may forbid what the settings allow, never the
    /// other way round.
    pub private: bool,
}

impl Default for Care {
    fn default() -> Self {
        Self { verify: true, private: true }
    }
}

/// The guard on outbound connections, with one client for each [`Care`]. Cheap to share.
#[derive(Debug)]
pub struct Outbound {
    policies: Arc<Policies>,
    clients: [OnceLock<Client>; 4],
}

impl Outbound {
    /// A guard that keeps to `policies`.
    pub fn new(policies: Policies) -> Self {
        Self { policies: Arc::new(policies), clients: Default::default() }
    }

    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr, care: Care) -> bool {
        allows(&self.policies, address, care)
    }

    /// The client for requests with this care; its connections are shared by all of them.
    pub fn client(&self, care: Care) -> Result<&Client, Error> {
        let slot = &self.clients[usize::from(care.verify) * 2 + usize::from(care.private)];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = build(&self.policies, care)?;
        Ok(slot.get_or_init(|| client))
    }

    /// An address as text, once it is one that may be asked: `http` or `https`, with a host that is no
    /// refused literal address.
    pub fn url(&self, text: &str, care: Care) -> Result<Url, Error> {
        // The address itself may hold secrets, so it is not repeated.
        let url = Url::parse(text.trim())
            .map_err(|error| Error::misconfigured(format!("the url is none: {error}")))?;
        check(&self.policies, &url, care).map_err(Error::misconfigured)?;
        Ok(url)
    }

    /// The allowed addresses of a host name, for connections that are not HTTP.
    pub async fn resolve(&self, host: &str, port: u16, care: Care) -> Result<Vec<SocketAddr>, Error> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found
            .map_err(|error| Error::new(Reason::Unreachable, format!("{host} is not known: {error}")))?;
        let allowed: Vec<SocketAddr> = found.filter(|address| self.allows(address.ip(), care)).collect();
        if allowed.is_empty() {
            return Err(Error::misconfigured(refusal(host)));
        }
        Ok(allowed)
    }
}

fn refusal(host: &str) -> String {
    format!("connections to {host} are not allowed: its address is not public (see outbound.networks)")
}

fn allows(policies: &Policies, address: IpAddr, care: Care) -> bool {
    if network::is_loopback(address) {
        return care.private && (policies.loopback || listed(policies, address));
    }
    network::is_public(address) || (care.private && listed(policies, address))
}

fn listed(policies: &Policies, address: IpAddr) -> bool {
    policies.networks.iter().any(|network| network.contains(address))
}

fn check(policies: &Policies, url: &Url, care: Care) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the url has the scheme '{}', only http and https are allowed", url.scheme()));
    }
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(address) if !allows(policies, address, care) => Err(refusal(host)),
        _ if host.is_empty() => Err("the url has no host".into()),
        _ => Ok(()),
    }
}

fn build(policies: &Arc<Policies>, care: Care) -> Result<Client, Error> {
    // The first one to install wins; any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = Arc::clone(policies);
    Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .referer(false)
        .tls_danger_accept_invalid_certs(!care.verify)
        .dns_resolver(Arc::new(Guarded { policies: Arc::clone(policies), care }))
        .redirect(Policy::custom(move |attempt| redirect(&redirects, attempt, care)))
        .build()
        .map_err(|error| Error::misconfigured(format!("no HTTP client could be made: {error}")))
}

/// Follows a redirect on the same host: another one would be sent the headers and the body, secrets included.
fn redirect(policies: &Policies, attempt: Attempt<'_>, care: Care) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
    }
    if let Err(refusal) = check(policies, attempt.url(), care) {
        return attempt.error(refusal);
    }
    let host = |url: &Url| url.host_str().map(str::to_owned);
    let from = attempt.previous().last();
    let downgrade = from.is_some_and(|from| from.scheme() == "https" && attempt.url().scheme() == "http");
    if from.and_then(host) != host(attempt.url()) || downgrade {
        return attempt.stop();
    }
    attempt.follow()
}

/// Looks a name up and leaves out every address that is not allowed.
struct Guarded {
    policies: Arc<Policies>,
    care: Care,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (policies, care) = (Arc::clone(&self.policies), self.care);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| allows(&policies, address.ip(), care)).collect();
            if allowed.is_empty() {
                return Err(
                    Box::new(Refused(refusal(name.as_str()))) as Box<dyn std::error::Error + Send + Sync>
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A name all of whose addresses are refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);
