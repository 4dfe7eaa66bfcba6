//! `completion`: what a shell needs to complete our commands.

use super::args::Cli;
use super::error::CliError;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// The shell.
#[derive(Debug, Args)]
#[command(after_help = "Example: pavlov completion bash > ~/.local/share/bash-completion/completions/pavlov")]
pub struct Completion {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    /// Prints the script.
    pub fn run(&self) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "pavlov", &mut script);
        Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?)
    }
}
