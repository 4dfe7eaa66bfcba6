//! Slack's incoming webhooks.

use super::Message;
use crate::error::Error;
use crate::http::{self, Answer};
use crate::outbound::{Care, Outbound};
use serde_json::{Value, json};
use std::time::Duration;

/// Slack's limits, in characters: <https://api.slack.com/reference/block-kit/blocks>.
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 3_000;
/// Sections of one message; Slack takes 50 blocks.
const SECTIONS_MAX: usize = 40;

/// An incoming webhook of Slack, or of something that speaks its language (Mattermost, Rocket.Chat).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackWebhook {
    /// The webhook's address, a secret.
    pub url: String,
    /// Whether the settings' allowed networks may be reached.
    pub allow_private_urls: bool,
}

impl SlackWebhook {
    /// Reads a block document's data of type `slack-webhook`.
    pub fn read(data: &Value) -> Result<Self, Error> {
        let url = data.get("url").and_then(Value::as_str).filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| Error::misconfigured("the slack-webhook block has no url"))?;
        let allow_private_urls = data.get("allow_private_urls").and_then(Value::as_bool).unwrap_or(true);
        Ok(Self { url: url.to_owned(), allow_private_urls })
    }

    /// Sends a message.
    pub async fn send(
        &self,
        message: &Message,
        outbound: &Outbound,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let care = Care { verify: true, private: self.allow_private_urls };
        let url = outbound.url(&self.url, care)?;
        let request =
            outbound.client(care)?.post(url).header("Idempotency-Key", &message.id).json(&content(message));
        http::verdict(http::ask(request, timeout).await?)
    }
}

/// `{"text": …, "blocks": [header, section, …]}`; `text` is what notifications and old clients show.
fn content(message: &Message) -> Value {
    let subject = message.subject.trim();
    let mut blocks = Vec::new();
    if !subject.is_empty() {
        let text = json!({"type": "plain_text", "text": cut(subject, HEADER_CHARS_MAX), "emoji": true});
        blocks.push(json!({"type": "header", "text": text}));
    }
    for section in sections(&message.body) {
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": section}}));
    }
    let text =
        if subject.is_empty() { message.body.clone() } else { format!("*{subject}*\n{}", message.body) };
    json!({"text": cut(&text, SECTION_CHARS_MAX), "blocks": blocks})
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The body in parts that Slack takes, cut at line ends where it can be.
fn sections(body: &str) -> Vec<String> {
    let mut sections = Vec::new();
    let mut section = String::new();
    for line in body.split_inclusive('\n') {
        let mut letters: Vec<char> = line.chars().collect();
        while !letters.is_empty() {
            let room = SECTION_CHARS_MAX - section.chars().count();
            if letters.len() > room && !section.is_empty() {
                sections.push(std::mem::take(&mut section));
                continue;
            }
            section.extend(letters.drain(..letters.len().min(room)));
        }
    }
    sections.push(section);
    sections.retain(|section| !section.trim().is_empty());
    if sections.len() > SECTIONS_MAX {
        sections.truncate(SECTIONS_MAX);
        sections.push("… (cut: the message is longer than Slack takes)".into());
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, body: &str) -> Message {
        Message { subject: subject.into(), body: body.into(), id: "1".into() }
    }

    #[test]
    fn subject_and_body_become_a_header_and_sections() {
        let shown = content(&message("Disk full", "on *a1*\n"));
        assert_eq!(shown["text"], "*Disk full*\non *a1*\n");
        assert_eq!(shown["blocks"][0]["text"]["text"], "Disk full");
        assert_eq!(shown["blocks"][1]["text"], json!({"type": "mrkdwn", "text": "on *a1*\n"}));
        assert_eq!(content(&message("", "x"))["blocks"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn long_messages_keep_slacks_limits() {
        let shown = content(&message(&"s".repeat(500), &"é line\n".repeat(100_000)));
        let blocks = shown["blocks"].as_array().expect("a list");
        assert!(blocks.len() <= 50);
        for block in blocks {
            let text = block["text"]["text"].as_str().expect("text");
            assert!(!text.is_empty() && text.chars().count() <= SECTION_CHARS_MAX);
        }
        assert_eq!(blocks[0]["text"]["text"].as_str().map(|t| t.chars().count()), Some(HEADER_CHARS_MAX));
    }
}
