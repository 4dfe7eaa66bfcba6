//! Running a program with bounds on its time and on what is kept of its output.

use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Where programs look for others; nothing else of the server's environment is handed on.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output is still read after the program ended: something it left behind may hold the pipe open.
const LINGER: Duration = Duration::from_millis(500);

/// What to run.
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Variables of its environment.
    pub(crate) env: Vec<(String, String)>,
    /// Its folder.
    pub(crate) cwd: Option<String>,
    /// What it reads.
    pub(crate) stdin: Option<String>,
    /// Bytes kept of each output.
    pub(crate) output_bytes_max: usize,
}

/// How it ended.
pub(crate) struct Ended {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Whether it was ended because its time was over.
    pub(crate) timed_out: bool,
    /// What it wrote.
    pub(crate) stdout: Kept,
    /// What it wrote to its error output.
    pub(crate) stderr: Kept,
}

/// The beginning of an output.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    /// How much there was.
    pub(crate) total: u64,
}

/// Runs a program; at the end of `timeout` it and all it started are killed.
pub(crate) async fn run(program: Program, timeout: Duration) -> std::io::Result<Ended> {
    let deadline = Instant::now() + timeout;
    let mut command = Command::new(&program.argv[0]);
    command.args(&program.argv[1..]).env_clear().env("PATH", PATH).envs(program.env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that what the program starts can be ended with it.
    command.kill_on_drop(true).process_group(0);
    if let Some(cwd) = program.cwd {
        command.current_dir(cwd);
    }
    let mut child = command.spawn()?;
    let group = child.id();
    let mut input = child.stdin.take();
    let text = program.stdin.unwrap_or_default();
    let feed = async move {
        if let Some(input) = &mut input {
            // A program that reads nothing closes its end; that is its own business.
            let _ = input.write_all(text.as_bytes()).await;
        }
        drop(input);
    };
    let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let most = program.output_bytes_max;
    let (code, timed_out) = {
        let outputs = async {
            tokio::join!(feed, keep(out, &mut stdout, most), keep(err, &mut stderr, most));
        };
        tokio::pin!(outputs);
        let mut read = false;
        let ended = loop {
            tokio::select! {
                status = child.wait() => break Some(status?),
                () = &mut outputs, if !read => read = true,
                () = tokio::time::sleep_until(deadline) => break None,
            }
        };
        if ended.is_none() {
            end(&mut child, group).await;
        }
        if !read {
            let _ = tokio::time::timeout(LINGER, &mut outputs).await;
        }
        (ended.and_then(|status| status.code()), ended.is_none())
    };
    Ok(Ended { code, timed_out, stdout, stderr })
}

async fn end(child: &mut Child, group: Option<u32>) {
    let group = group.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may have ended in this moment; then there is nobody to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill().await;
}

/// Reads an output to its end, so that the program never waits for us, and keeps its beginning.
async fn keep(output: Option<impl AsyncRead + Unpin>, kept: &mut Kept, most: usize) {
    let Some(mut output) = output else { return };
    let mut part = [0; 8_192];
    while let Ok(count @ 1..) = output.read(&mut part).await {
        kept.total += count as u64;
        let room = most.saturating_sub(kept.bytes.len());
        kept.bytes.extend_from_slice(&part[..count.min(room)]);
    }
}
