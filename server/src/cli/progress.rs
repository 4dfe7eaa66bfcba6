//! [`Progress`]: a bar on standard error while something takes long, if a person looks.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Characters of the bar.
const WIDTH: u64 = 30;
/// Time between two drawings.
const PAUSE: Duration = Duration::from_millis(100);

/// A bar that grows. Nothing is drawn when standard error is no terminal.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    started: Instant,
    drawn: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// A bar of `total` things; 0 when nobody knows how many.
    pub fn new(what: &'static str, total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { what, total, started: Instant::now(), drawn: None, terminal }
    }

    /// So many are done.
    pub fn at(&mut self, done: u64) {
        if self.terminal && self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.drawn = Some(Instant::now());
            self.write(&format!("\r{}\u{1b}[K", line(self.what, done, self.total, self.started.elapsed())));
        }
    }

    /// Removes the bar.
    pub fn end(&mut self) {
        if self.drawn.take().is_some() {
            self.write("\r\u{1b}[K");
        }
    }

    fn write(&self, text: &str) {
        // A bar that cannot be drawn is no reason to stop the work.
        let _gone = std::io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    if total == 0 {
        return format!("{what} {done} ({rate:.0}/s)");
    }
    let filled = (done.min(total) * WIDTH / total) as usize;
    let (full, empty) = ("#".repeat(filled), "-".repeat(WIDTH as usize - filled));
    format!("{what} [{full}{empty}] {done}/{total} ({rate:.0}/s)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_what_is_done() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line("sent", 50, 100, second),
            format!("sent [{}{}] 50/100 (50/s)", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(line("sent", 200, 100, second), format!("sent [{}] 200/100 (200/s)", "#".repeat(30)));
        assert_eq!(line("read", 7, 0, second), "read 7 (7/s)");
    }
}
