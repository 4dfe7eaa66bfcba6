//! [`CliError`]: why a command ended, and with which exit code.

use std::io;

/// The exit codes, as `--help` and the guide show them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the server refused, or what was named is not there
  2  the command line, a file or a setting is wrong; nothing was sent
  3  the server cannot be reached
  4  `check` or `state verify` found faults
  5  the server could not start, or stopped because of a failure";

/// Why a command ended. Each text says what to do next where that is known.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server refused, or what was named is not there.
    #[error("{0}")]
    Refused(String),
    /// The command line, a file or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// A check found faults; they are printed already.
    #[error("{0}")]
    Faults(String),
    /// The server could not start, or stopped because of a failure.
    #[error("{0}")]
    Server(String),
    /// Whoever reads our output has gone, as `head` does: no failure.
    #[error("the reader of the output has gone")]
    ReaderGone,
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Faults(_) => 4,
            Self::Server(_) => 5,
        }
    }

    /// A file that cannot be read.
    pub fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::Usage(format!("cannot read {}: {error}", path.display()))
    }
}

impl From<io::Error> for CliError {
    /// An error of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Usage(format!("cannot write the output: {error}")),
        }
    }
}

/// An error with what caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
