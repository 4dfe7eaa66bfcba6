//! E-mail against a real SMTP server (`peers/smtp_peer.py`), which takes, refuses, defers and hangs.

use pavlov_notifier::channel::email::Security;
use pavlov_notifier::channel::{Mail, MailServer, Mailers};
use pavlov_notifier::outbound::Policies;
use pavlov_notifier::{Outbound, Reason};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

struct Peer {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Peer {
    /// Starts the server with the Python of `PAVLOV_TEST_PYTHON`, which must have `aiosmtpd`.
    fn start(mode: &str) -> Self {
        let python =
            std::env::var("PAVLOV_TEST_PYTHON").expect("PAVLOV_TEST_PYTHON names a python with aiosmtpd");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/smtp_peer.py");
        let mut child =
            Command::new(python).args([script, mode]).stdout(Stdio::piped()).spawn().expect("python starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("the port");
        let port = line.trim().parse().expect("the peer needs aiosmtpd and cryptography");
        Self { child, lines, port }
    }

    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a mail");
        serde_json::from_str(&line).expect("JSON")
    }

    fn server(&self, security: Security) -> MailServer {
        MailServer {
            host: "localhost".into(),
            port: self.port,
            security,
            verify: false,
            credentials: None,
            from: "Pavlov <pavlov@example.org>".into(),
            guarded: true,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mail() -> Mail {
    Mail {
        to: vec!["sre@example.org".into(), "On Call <oncall@example.org>".into()],
        cc: vec!["boss@example.org".into()],
        subject: "Disk full\r\nBcc: evil@example.org".into(),
        text: "on a1 é\n.\nend".into(),
        html: Some("<b>on a1</b>".into()),
        id: "0199a5c0-0000-7000-8000-000000000001".into(),
    }
}

fn outbound(loopback: bool) -> Outbound {
    Outbound::new(Policies { loopback, networks: Vec::new() })
}

const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_mail_arrives_whole_and_no_value_becomes_a_header() {
    let mut peer = Peer::start("plain");
    let (mailers, outbound) = (Mailers::default(), outbound(true));
    let server = peer.server(Security::None);
    mailers.send(&mail(), &server, &outbound, TIMEOUT).await.expect("taken");
    let first = peer.mail();
    assert_eq!(first["to"], serde_json::json!(["sre@example.org", "oncall@example.org", "boss@example.org"]));
    let content = first["content"].as_str().expect("text");
    assert!(content.contains("Subject: Disk full Bcc: evil@example.org\r\n"), "{content}");
    assert!(!content.contains("\r\nBcc:") && content.contains("multipart/alternative"), "{content}");
    assert!(content.contains("Message-ID: <0199a5c0-0000-7000-8000-000000000001@example.org>"), "{content}");
    assert!(content.contains("on a1 =C3=A9") && content.contains("<b>on a1</b>"), "{content}");
    // The pool takes a connection back a moment after the mail was taken.
    for attempt in 0.. {
        tokio::time::sleep(Duration::from_millis(20)).await;
        mailers.send(&Mail { html: None, ..mail() }, &server, &outbound, TIMEOUT).await.expect("taken");
        let next = peer.mail();
        assert!(!next["content"].as_str().expect("text").contains("multipart"));
        if next["connection"] == first["connection"] {
            break;
        }
        assert!(attempt < 20, "the connection is not kept");
    }
}

#[tokio::test]
async fn starttls_with_a_password_and_tls() {
    for (mode, security) in [("starttls", Security::StartTls), ("tls", Security::Tls)] {
        let mut peer = Peer::start(mode);
        let mut server = peer.server(security);
        if mode == "starttls" {
            server.credentials = Some(("sre".into(), "secret".into()));
        }
        Mailers::default().send(&mail(), &server, &outbound(true), TIMEOUT).await.expect(mode);
        let taken = peer.mail();
        assert_eq!(taken["tls"], true);
        assert_eq!(taken["user"], if mode == "starttls" { "sre".into() } else { Value::Null });
        // A certificate that nobody vouches for is refused unless told otherwise.
        let strict = MailServer { verify: true, ..server };
        let error =
            Mailers::default().send(&mail(), &strict, &outbound(true), TIMEOUT).await.expect_err(mode);
        assert!(matches!(error.reason, Reason::Misconfigured | Reason::Unreachable), "{error:?}");
    }
}

#[tokio::test]
async fn refusals_are_final_and_deferrals_are_not() {
    let sent = async |mode: &str, timeout: Duration| {
        let peer = Peer::start(mode);
        let server = peer.server(Security::None);
        Mailers::default().send(&mail(), &server, &outbound(true), timeout).await.expect_err(mode)
    };
    let rejected = sent("reject", TIMEOUT).await;
    assert_eq!(rejected.reason, Reason::Rejected);
    assert!(rejected.detail.contains("we do not want this"), "{rejected:?}");
    let deferred = sent("defer", TIMEOUT).await;
    assert!(deferred.reason.may_pass(), "{deferred:?}");
    assert!(deferred.detail.contains("come back later"), "{deferred:?}");
    assert_eq!(sent("hang", Duration::from_millis(500)).await.reason, Reason::TimedOut);
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let server = MailServer {
        host: "localhost".into(),
        port: 1,
        security: Security::None,
        verify: true,
        credentials: None,
        from: "pavlov@example.org".into(),
        guarded: true,
    };
    let sent = async |mail: Mail, server: &MailServer, loopback: bool| {
        Mailers::default().send(&mail, server, &outbound(loopback), TIMEOUT).await.expect_err("not sent")
    };
    assert_eq!(sent(mail(), &server, true).await.reason, Reason::Unreachable);
    assert_eq!(sent(mail(), &server, false).await.reason, Reason::Misconfigured);
    let nobody = Mail { to: vec!["no address".into()], ..mail() };
    assert!(sent(nobody, &server, true).await.detail.contains("'no address' is no mail address"));
    let injected = Mail { to: vec!["a@b.org\r\nBcc: c@d.org".into()], ..mail() };
    assert_eq!(sent(injected, &server, true).await.reason, Reason::Misconfigured);
}
