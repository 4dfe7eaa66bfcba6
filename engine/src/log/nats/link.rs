//! The connection: making it, and knowing when it was lost.

use super::super::Error;
use super::options::Options;
use async_nats::{Client, ConnectOptions, Event};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Between two attempts, at most; a server that comes back is then found within two seconds.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// First wait after trouble.
const WAIT_MIN: Duration = Duration::from_millis(25);
/// Two pings without an answer mean that the connection is dead though nobody closed it.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// The connection's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub connected: bool,
    /// How often it was lost: what was in flight before is not answered after.
    pub losses: u64,
    /// What the server last complained about, outside any request: a refused permission, for example.
    pub complaint: Option<String>,
}

/// Connects, and goes on reconnecting by itself from then on.
pub(super) async fn connect(options: &Options) -> Result<(Client, watch::Receiver<Link>), Error> {
    let failed =
        |reason: String| Error::Nats { doing: format!("connect to NATS at {}", options.url), reason };
    let (sender, link) = watch::channel(Link { connected: true, ..Link::default() });
    let sender = Arc::new(sender);
    let mut connecting = ConnectOptions::new()
        .name("pavlov log")
        .connection_timeout(options.request_timeout)
        .request_timeout(Some(options.request_timeout))
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| wait(attempts.saturating_sub(1)))
        .event_callback(move |event| {
            sender.send_modify(|link| link.take(&event));
            std::future::ready(())
        });
    if let Some(path) = &options.credentials {
        let read = connecting.credentials_file(path).await;
        connecting = read.map_err(|error| failed(format!("credentials {}: {error}", path.display())))?;
    }
    if let Some(path) = &options.certificates {
        connecting = connecting.add_root_certificates(path.clone());
    }
    let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
    let client = connecting.connect(servers).await.map_err(|error| failed(with_sources(&error)))?;
    Ok((client, link))
}

/// How long to wait before attempt `attempt` (from 0): doubling, with jitter so that replicas do not come together.
pub(super) fn wait(attempt: usize) -> Duration {
    let full = WAIT_MIN.saturating_mul(1 << attempt.min(10)).min(WAIT_MAX);
    let mut random = [0];
    getrandom::fill(&mut random).expect("the system gives random bytes");
    full.mul_f32(0.5 + f32::from(random[0]) / 512.0)
}

/// An error of the client with what caused it, which its own text leaves out.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Link {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::Disconnected | Event::Closed => {
                self.connected = false;
                self.losses += 1;
            }
            Event::ServerError(error) => self.complaint = Some(error.to_string()),
            Event::ClientError(error) => self.complaint = Some(error.to_string()),
            Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_with_jitter() {
        for (attempt, full) in [(0, 25), (1, 50), (3, 200), (6, 1_600), (7, 2_000), (500, 2_000)] {
            let wait = wait(attempt).as_millis();
            assert!((full / 2..=full).contains(&wait), "attempt {attempt}: {wait} ms");
        }
    }
}
