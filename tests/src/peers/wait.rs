//! Waiting for what happens elsewhere. The only place that sleeps.

use std::time::{Duration, Instant};

/// Longer than anything takes that works, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to see.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited {} s in vain for {what}", PATIENCE.as_secs());
        pause(PAUSE);
    }
}

/// Lets time pass for a real peer.
pub fn pause(span: Duration) {
    std::thread::sleep(span);
}
