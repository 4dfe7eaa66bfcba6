//! The `pavlov` binary: the command line, and with `server start` the server.

mod cli;
mod settings;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // The one provider of cryptography in this program; nobody else may have installed one before.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("pavlov: another provider of cryptography is installed already");
        return ExitCode::from(5);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pavlov: cannot start: {error}");
            return ExitCode::from(5);
        }
    };
    let done = runtime.block_on(cli.run());
    // What still blocks now was given its time by whoever stopped it.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.code() != 0 {
                eprintln!("pavlov: {error}");
            }
            ExitCode::from(error.code())
        }
    }
}
