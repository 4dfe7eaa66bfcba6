//! `status`: how the server is.

use super::client::{Client, Failure};
use super::error::CliError;
use super::output::Output;
use serde_json::{Value, json};

/// Asks and prints.
///
/// # Errors
/// [`CliError::Unreachable`], or [`CliError::Refused`] when the server is there but not ready.
pub async fn run(client: &Client, out: &Output) -> Result<(), CliError> {
    let (ready, why) = match client.get("/ready").await {
        Ok(_) => (true, Value::Null),
        Err(Failure::Refused { status: 404, .. }) => {
            return Err(CliError::Refused(format!(
                "there is no API at {}: its address ends in /api",
                client.url("")
            )));
        }
        Err(Failure::Refused { body, .. }) => (false, body),
        Err(failure) => return Err(failure.into()),
    };
    let mut shown = json!({"api": client.url(""), "ready": ready});
    match client.get("/pavlov/status").await {
        Ok(Value::Object(fields)) => {
            for (name, value) in fields {
                shown[name] = value;
            }
        }
        // A genuine Prefect server, or one of ours that cannot say more now.
        _ => shown["version"] = client.get("/admin/version").await.unwrap_or(Value::Null),
    }
    out.item(&shown)?;
    if ready { Ok(()) } else { Err(CliError::Refused(format!("the server is not ready: {why}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use crate::cli::testing::Server;

    #[tokio::test]
    async fn the_exit_code_tells_whether_it_is_ready() {
        let out = Output::new(Format::Json);
        let detail = json!({"status": "ok"});
        let ready = Server::new([(200, json!(true)), (200, detail.clone())]);
        run(&ready.client(), &out).await.expect("ready");
        let not_yet = Server::new([(503, json!({"detail": "replaying"})), (200, detail)]);
        let error = run(&not_yet.client(), &out).await.expect_err("not ready");
        assert!(error.code() == 1 && error.to_string().contains("replaying"), "{error}");
    }
}
