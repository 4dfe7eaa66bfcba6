//! `run-command`: a program on the server's own machine.

use crate::attempt::{Attempt, Reason};
use crate::perform::Deed;
use crate::program::{self, Ended, Program};
use crate::shape::{self, put_or_null};
use crate::template::{self, TemplateError};
use pavlov_events::Reader;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long a program may run when the action does not say so.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The shell of `shell: true`.
const SHELL: &str = "/bin/sh";

/// Bytes of output that are kept when the action does not say otherwise.
const OUTPUT_BYTES: i64 = 10_000;
/// Most bytes of output an action may keep: they travel in the outcome's record.
const OUTPUT_BYTES_MAX: i64 = 200_000;

/// Runs a program that the server's settings allow. Arguments, environment and input are templates.
///
/// ```json
/// {"type": "run-command", "argv": ["/usr/local/bin/restart", "{{ event.resource.id }}"], "env": {}, "cwd": null,
///  "stdin": null, "shell": false, "output_bytes_max": 10000}
/// ```
///
/// With `shell` the first element is a script for `/bin/sh` and the others are its `$1`, `$2`, …; the script
/// itself may hold no template, so that no event can write commands.
/// A command is not repeated after a crash unless `on_unknown` is `retry`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCommand {
    /// The program and its arguments, or the script and its arguments.
    pub argv: Vec<String>,
    /// Variables added to the empty environment.
    pub env: Vec<(String, String)>,
    /// The folder to run in; none = the server's.
    pub cwd: Option<String>,
    /// What the program reads.
    pub stdin: Option<String>,
    /// Whether the first element is a script.
    pub shell: bool,
    /// Bytes kept of each of both outputs, up to 200,000.
    pub output_bytes_max: usize,
}

impl RunCommand {
    const FIELDS: [&str; 6] = ["argv", "env", "cwd", "stdin", "shell", "output_bytes_max"];

    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        super::forbid_others(reader, &Self::FIELDS);
        let argv = reader.required("argv", |r| shape::templates(r, "argv"));
        let env = reader.nullable("env", |r| shape::template_map(r, "env"));
        let cwd = reader.nullable("cwd", |r| shape::template(r, "cwd"));
        let stdin = reader.nullable("stdin", |r| shape::template(r, "stdin"));
        let shell = reader.optional("shell", |r| r.boolean());
        let output = reader.optional("output_bytes_max", |r| r.integer_within(0, OUTPUT_BYTES_MAX));
        let command = Self {
            argv: argv?,
            env: env?.unwrap_or_default(),
            cwd: cwd?,
            stdin: stdin?,
            shell: shell?.unwrap_or(false),
            output_bytes_max: output?.unwrap_or(OUTPUT_BYTES) as usize,
        };
        match command.argv.first().map(String::as_str) {
            None | Some("") => reader.value_error("argv needs a program as its first element"),
            Some(script) if command.shell && template::maybe_template(script) => reader
                .value_error("a shell script may hold no template; give values as further elements of argv"),
            Some(_) => return Some(command),
        }
        None
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("argv".into(), self.argv.clone().into());
        out.insert("env".into(), shape::object(&self.env));
        put_or_null(out, "cwd", &self.cwd);
        put_or_null(out, "stdin", &self.stdin);
        out.insert("shell".into(), self.shell.into());
        out.insert("output_bytes_max".into(), self.output_bytes_max.into());
    }
}

impl RunCommand {
    /// Renders arguments and environment and runs the program. A program that ends with another code than 0
    /// has failed for good, unless the action asks for retries.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let program = if self.shell { SHELL } else { &self.argv[0] };
        if template::maybe_template(program) || !is_allowed(program, deed.world.allowed_programs()) {
            let words =
                format!("the server's settings do not allow the program '{program}' (see allowed_programs)");
            return Attempt::failed(Reason::Refused, words);
        }
        let program = match self.fill(deed) {
            Ok(program) => program,
            Err(error) => return error.into(),
        };
        let timeout = deed.timeout(TIMEOUT);
        let ended = match program::run(program, timeout).await {
            Ok(ended) => ended,
            Err(error) => {
                let words = format!("the program could not be started: {error}");
                return Attempt::failed(Reason::NotFound, words);
            }
        };
        let payload = payload_of(&ended);
        let (reason, words) = match (ended.code, ended.timed_out) {
            (Some(0), _) => return Attempt::done(payload),
            (_, true) => {
                let reason = Reason::Delivery(pavlov_notifier::Reason::TimedOut);
                (reason, format!("the program was ended after {timeout:?}"))
            }
            (Some(code), _) => (Reason::ProgramFailed, format!("the program ended with code {code}")),
            (None, _) => (Reason::ProgramFailed, "the program was ended by a signal".to_owned()),
        };
        let again = deed.action.action.options.retries.is_some_and(|retries| retries > 0);
        let attempt =
            if again { Attempt::retry(reason, words, None) } else { Attempt::failed(reason, words) };
        attempt.with_payload(payload)
    }

    fn fill(&self, deed: &Deed<'_>) -> Result<Program, TemplateError> {
        let mut argv = Vec::with_capacity(self.argv.len() + 3);
        let mut given = self.argv.iter();
        if self.shell {
            let script = given.next().cloned().unwrap_or_default();
            argv.extend([SHELL.to_owned(), "-c".to_owned(), script, "pavlov".to_owned()]);
        }
        for text in given {
            argv.push(deed.render("argv", text)?);
        }
        Ok(Program {
            argv,
            env: deed.render_pairs("env", &self.env)?,
            cwd: self.cwd.as_ref().map(|cwd| deed.render("cwd", cwd)).transpose()?,
            stdin: self.stdin.as_ref().map(|stdin| deed.render("stdin", stdin)).transpose()?,
            output_bytes_max: self.output_bytes_max,
        })
    }
}

fn is_allowed(program: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|entry| entry == program || entry == "*")
}

fn payload_of(ended: &Ended) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "exit_code": ended.code,
        "stdout": text(&ended.stdout.bytes),
        "stderr": text(&ended.stderr.bytes),
        "stdout_bytes": ended.stdout.total,
        "stderr_bytes": ended.stderr.total,
    })
}
