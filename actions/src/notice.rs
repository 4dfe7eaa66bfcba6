//! The text of a notification, or when its template fails a plain one with the facts: a mistake in a
//! template must not eat a page.

use crate::attempt::template_payload;
use crate::perform::Deed;
use crate::template::TemplateError;
use serde_json::Value;

/// What is said.
pub(crate) struct Notice {
    /// One line.
    pub(crate) subject: String,
    /// The text.
    pub(crate) body: String,
    /// The HTML, if there is one and no template failed.
    pub(crate) html: Option<String>,
    /// The template that failed, as the outcome event tells it.
    pub(crate) failed: Option<Value>,
}

/// Renders subject, body and HTML; if one fails, the body is the plain one.
pub(crate) fn render(deed: &Deed<'_>, subject: &str, body: &str, html: Option<&str>) -> Notice {
    let subject = deed.render("subject", subject);
    let rest = deed.render("body", body).and_then(|body| {
        let html = html.map(|html| deed.render("html", html)).transpose()?;
        Ok((body, html))
    });
    match (subject, rest) {
        (Ok(subject), Ok((body, html))) => Notice { subject, body, html, failed: None },
        (Ok(subject), Err(error)) => fallback(deed, subject, &error),
        (Err(error), _) => {
            let name = &deed.action.automation.name;
            fallback(deed, format!("{name} (the template of the subject failed)"), &error)
        }
    }
}

fn fallback(deed: &Deed<'_>, subject: String, error: &TemplateError) -> Notice {
    let action = deed.action;
    let mut lines = vec![
        "A template of this notification failed, here are the facts instead.".to_owned(),
        String::new(),
        format!("automation: {} ({})", action.automation.name, action.automation.id),
    ];
    if let Some(event) = &action.event {
        lines.push(format!("event: {} of {} at {}", event.event, event.resource.id(), event.occurred));
        lines.push(format!("event id: {}", event.id));
    }
    for (label, value) in &action.firing.labels {
        lines.push(format!("{label}: {value}"));
    }
    lines.push(format!("firing: {} at {}", action.firing.id, action.firing.triggered));
    lines.push(String::new());
    lines.push(format!("template error: {}", error.long()));
    let failed = Some(template_payload(error));
    Notice { subject, body: lines.join("\n"), html: None, failed }
}
