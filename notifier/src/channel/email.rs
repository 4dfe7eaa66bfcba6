//! E-mail over SMTP.

use crate::error::{Error, Reason};
use crate::outbound::{Care, Outbound};
use lettre::message::{Mailbox, MultiPart, SinglePart, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Connections that are kept open to one server.
const CONNECTIONS_MAX: u32 = 8;
/// Servers whose connections are kept; beyond it all are let go.
const SERVERS_MAX: usize = 32;
/// Characters of a subject; longer ones are cut.
const SUBJECT_CHARS_MAX: usize = 500;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the first byte, usually port 465.
    Tls,
    /// Plain at first, then TLS or nothing is sent; usually port 587.
    StartTls,
    /// No protection; usually port 25.
    None,
}

/// A server that takes our mail.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MailServer {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Whether its certificate is checked.
    pub verify: bool,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// The sender: `name@host` or `Name <name@host>`.
    pub from: String,
    /// Whether the server's address must be one that outbound requests may reach: false for a server that
    /// the settings name.
    pub guarded: bool,
}

impl std::fmt::Debug for MailServer {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailServer")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// One e-mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Receivers.
    pub to: Vec<String>,
    /// Receivers of a copy.
    pub cc: Vec<String>,
    /// The subject; line breaks become spaces.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Recognises a repeated delivery: becomes the `Message-ID`.
    pub id: String,
}

/// Connections to mail servers, one pool each.
#[derive(Debug, Default)]
pub struct Mailers {
    pools: Mutex<HashMap<(MailServer, String, Duration), Transport>>,
}

impl Mailers {
    /// Sends an e-mail. A refusal for good (5xx) is [`Reason::Rejected`], one for now (4xx) may pass.
    pub async fn send(
        &self,
        mail: &Mail,
        server: &MailServer,
        outbound: &Outbound,
        timeout: Duration,
    ) -> Result<(), Error> {
        let late = || format!("{} did not take the mail in {timeout:?}", server.host);
        match tokio::time::timeout(timeout, self.deliver(mail, server, outbound, timeout)).await {
            Ok(sent) => sent,
            Err(_) => Err(Error::new(Reason::TimedOut, late())),
        }
    }

    async fn deliver(
        &self,
        mail: &Mail,
        server: &MailServer,
        outbound: &Outbound,
        timeout: Duration,
    ) -> Result<(), Error> {
        let message = message(mail, server)?;
        let host = match server.guarded {
            true => outbound.resolve(&server.host, server.port, Care::default()).await?[0].ip().to_string(),
            false => server.host.clone(),
        };
        let transport = self.transport(server, host, timeout)?;
        transport.send(message).await.map(drop).map_err(|error| failure(&error))
    }

    fn transport(&self, server: &MailServer, host: String, timeout: Duration) -> Result<Transport, Error> {
        let key = (server.clone(), host, timeout);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = pools.get(&key) {
            return Ok(transport.clone());
        }
        if pools.len() >= SERVERS_MAX {
            pools.clear();
        }
        let transport = build(server, &key.1, timeout)?;
        pools.insert(key, transport.clone());
        Ok(transport)
    }
}

fn build(server: &MailServer, host: &str, timeout: Duration) -> Result<Transport, Error> {
    // The first one to install wins; any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parameters = || {
        TlsParameters::builder(server.host.clone())
            .dangerous_accept_invalid_certs(!server.verify)
            .dangerous_accept_invalid_hostnames(!server.verify)
            .build()
            .map_err(|error| Error::misconfigured(format!("TLS cannot be used: {error}")))
    };
    let tls = match server.security {
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::StartTls => Tls::Required(parameters()?),
        Security::None => Tls::None,
    };
    let mut builder = Transport::builder_dangerous(host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(timeout))
        .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX));
    if let Some((user, password)) = &server.credentials {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    Ok(builder.build())
}

/// The message, its headers made by the typed builder, so that no value can add another header.
fn message(mail: &Mail, server: &MailServer) -> Result<lettre::Message, Error> {
    let mailbox = |text: &str| {
        text.trim()
            .parse::<Mailbox>()
            .map_err(|error| Error::misconfigured(format!("'{text}' is no mail address: {error}")))
    };
    let subject: String = mail.subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let subject: String = subject.chars().take(SUBJECT_CHARS_MAX).collect();
    let from = mailbox(&server.from)?;
    let domain = from.email.domain().to_owned();
    let mut builder = lettre::Message::builder()
        .from(from)
        .subject(subject)
        .message_id(Some(format!("<{}@{domain}>", mail.id)))
        .header(header::MIME_VERSION_1_0);
    for receiver in &mail.to {
        builder = builder.to(mailbox(receiver)?);
    }
    for receiver in &mail.cc {
        builder = builder.cc(mailbox(receiver)?);
    }
    let message = match &mail.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(mail.text.clone())),
    };
    message.map_err(|error| Error::misconfigured(format!("the mail cannot be written: {error}")))
}

fn failure(error: &smtp::Error) -> Error {
    let reason = if error.is_permanent() {
        Reason::Rejected
    } else if error.is_timeout() {
        Reason::TimedOut
    } else if error.is_client() || error.is_tls() {
        Reason::Misconfigured
    } else {
        Reason::Unreachable
    };
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !detail.contains(&cause_text) {
            detail += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    Error::new(reason, detail)
}
