//! `server`: start it, or show what it would be told.

use super::error::CliError;
use super::output::{Output, field};
use super::server_start::Start;
use crate::settings::Settings;
use crate::settings::keys::{KEYS, Key};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server and keep it until it is interrupted
    Start(Start),
    /// List every setting with its value and where that comes from
    Settings(Flags),
}

/// The settings that have a flag.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 4200]
    #[arg(long)]
    port: Option<u16>,
    /// Let others than this machine connect, although nobody is asked for credentials
    #[arg(long)]
    insecure_without_auth: bool,
    /// Where the log is, and where everything is stored.
    #[command(flatten)]
    pub stored: Stored,
}

/// The settings of what is stored.
#[derive(Clone, Debug, Default, Args)]
pub struct Stored {
    /// Directory of everything that is stored [default: pavlov-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// NATS servers that hold the log, instead of files in the data directory
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// File of settings (YAML)
    #[arg(long, value_name = "FILE", env = "PAVLOV_CONFIG")]
    config: Option<PathBuf>,
}

/// Does it.
pub async fn run(command: Command, out: &Output) -> Result<(), CliError> {
    match command {
        Command::Start(start) => start.run(out).await,
        Command::Settings(flags) => {
            let settings = flags.settings()?;
            let item = |key: &Key| {
                let source = settings.source(key.name).to_string();
                json!({"name": key.name, "value": (key.show)(&settings), "source": source, "about": key.about})
            };
            let items: Vec<Value> = KEYS.iter().map(item).collect();
            out.list(
                &items,
                &[
                    ("SETTING", &field("/name")),
                    ("VALUE", &field("/value")),
                    ("SOURCE", &field("/source")),
                    ("ABOUT", &field("/about")),
                ],
            )
        }
    }
}

impl Flags {
    /// The settings of file, environment and these flags.
    pub fn settings(&self) -> Result<Settings, CliError> {
        self.stored.load(&[
            ("server.host", "--host", self.host.map(|host| host.to_string().into())),
            ("server.port", "--port", self.port.map(Value::from)),
            (
                "server.insecure_without_auth",
                "--insecure-without-auth",
                self.insecure_without_auth.then(|| true.into()),
            ),
        ])
    }
}

impl Stored {
    /// The settings of file, environment and these flags.
    pub fn settings(&self) -> Result<Settings, CliError> {
        self.load(&[])
    }

    fn load(&self, others: &[(&'static str, &'static str, Option<Value>)]) -> Result<Settings, CliError> {
        let own = [
            ("data", "--data", self.data.as_ref().map(|data| data.display().to_string().into())),
            ("log.nats_url", "--nats", self.nats.clone().map(Value::from)),
        ];
        // A variable that is no text is none of ours.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Settings::load(self.config.as_deref(), variables, &[&own[..], others].concat())
    }
}
