//! [`Cli`]: the language of the command line, and what runs for each word of it.

use super::client::Client;
use super::error::{CliError, EXIT_CODES};
use super::output::{Format, Output};
use super::{
    actions, automations, blocks, check, completion, dead_letters, events, firings, notify, server, state,
    status,
};
use clap::{Parser, Subcommand};

/// Event-driven automation: events in, declared automations match them, actions out, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "pavlov", version, after_help = EXIT_CODES, propagate_version = true)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// Tables for people, or JSON with the API's own fields for programs
    #[arg(long, short, global = true, value_enum, default_value = "table", env = "PAVLOV_OUTPUT")]
    #[arg(value_name = "table|json", hide_possible_values = true)]
    pub output: Format,
    /// Address of the API [default: $PAVLOV_API_URL, $PREFECT_API_URL, http://127.0.0.1:4200/api]
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The groups of commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server, list its settings
    #[command(subcommand)]
    Server(server::Command),
    /// How the server is
    Status,
    /// Tell events, follow them, look them up
    #[command(subcommand)]
    Events(events::Command),
    /// Declare automations, look at them, switch them
    #[command(subcommand)]
    Automations(automations::Command),
    /// What fired, and what was done about it
    #[command(subcommand)]
    Firings(firings::Command),
    /// How actions went
    #[command(subcommand)]
    Actions(actions::Command),
    /// Actions that were given up or wait for a decision
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Block documents: addresses and credentials that actions use
    #[command(subcommand)]
    Blocks(blocks::Command),
    /// Try out the way of a notification
    #[command(subcommand)]
    Notify(notify::Command),
    /// Check a file of automations here, without a server
    Check(check::Check),
    /// Check what is stored, or make it anew, while no server runs
    #[command(subcommand)]
    State(state::Command),
    /// Print the completion script of a shell
    Completion(completion::Completion),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`CliError`], whose code is the process's exit code.
    pub async fn run(self) -> Result<(), CliError> {
        let out = Output::new(self.output);
        let client = || Client::new(&api_url(self.api.as_deref(), |name| std::env::var(name).ok()));
        match self.command {
            Command::Server(command) => server::run(command, &out).await,
            Command::State(command) => state::run(command, &out).await,
            Command::Status => status::run(&client()?, &out).await,
            Command::Events(command) => events::run(command, &client()?, &out).await,
            Command::Automations(command) => automations::run(command, &client()?, &out).await,
            Command::Firings(command) => firings::run(command, &client()?, &out).await,
            Command::Actions(command) => actions::run(command, &client()?, &out).await,
            Command::DeadLetters(command) => dead_letters::run(command, &client()?, &out).await,
            Command::Blocks(command) => blocks::run(command, &client()?, &out).await,
            Command::Notify(command) => notify::run(command, &client()?, &out).await,
            Command::Check(check) => check.run(&out),
            Command::Completion(completion) => completion.run(),
        }
    }
}

/// The address of the API: what was given, our variable, the genuine client's, the default.
fn api_url(given: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> String {
    let set = |name| variable(name).filter(|url| !url.is_empty());
    let given = given.map(str::to_owned).or_else(|| set("PAVLOV_API_URL")).or_else(|| set("PREFECT_API_URL"));
    given.unwrap_or_else(|| "http://127.0.0.1:4200/api".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_nearest_address_wins() {
        let both = |name: &str| Some(format!("http://{name}"));
        let genuine = |name: &str| (name == "PREFECT_API_URL").then(|| "http://genuine".to_owned());
        assert_eq!(api_url(Some("http://given"), both), "http://given");
        assert_eq!(api_url(None, both), "http://PAVLOV_API_URL");
        assert_eq!(api_url(None, genuine), "http://genuine");
        assert_eq!(api_url(None, |_| Some(String::new())), "http://127.0.0.1:4200/api");
    }

    /// The guide is written by hand; no command may be missing in it, and no exit code.
    #[test]
    fn the_guide_names_every_command_and_every_option() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/cli.md");
        let guide = std::fs::read_to_string(path).expect("the guide");
        let mut missing = Vec::new();
        visit(&Cli::command(), "pavlov", &mut |name| {
            if !guide.contains(name) {
                missing.push(name.to_owned());
            }
        });
        assert!(missing.is_empty(), "docs/guide/cli.md does not name {missing:?}");
        for line in EXIT_CODES.lines().skip(1) {
            let (code, meaning) = line.trim().split_once("  ").expect("code and meaning");
            assert!(guide.contains(&format!("| {code} | {meaning}")), "the guide lacks exit code {line}");
        }
    }

    fn visit(command: &clap::Command, path: &str, see: &mut dyn FnMut(&str)) {
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            if !["help", "version"].contains(&option) {
                see(&format!("--{option}"));
            }
        }
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            if !sub.has_subcommands() {
                see(&path);
            }
            visit(sub, &path, see);
        }
    }
}
