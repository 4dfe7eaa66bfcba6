//! The Python with the packages of `tests/requirements.txt`.

use std::process::Command;

/// A command of the interpreter that `PAVLOV_TEST_PYTHON` names.
///
/// # Panics
/// When it names none.
pub fn python() -> Command {
    Command::new(required("PAVLOV_TEST_PYTHON"))
}

/// A variable that `tests/run` sets.
pub(super) fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with tests/run, which sets it"))
}
