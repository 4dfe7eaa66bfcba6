//! The channels, one file each: settings, sending, and the verdict on failures.

pub mod custom_webhook;
pub mod email;
pub mod slack;

pub use custom_webhook::CustomWebhook;
pub use email::{Mail, MailServer, Mailers};
pub use slack::SlackWebhook;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// Recognises a repeated delivery: the triggered action's id.
    pub id: String,
}
