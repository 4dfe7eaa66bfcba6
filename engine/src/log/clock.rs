//! The clock that stamps records.

use rustix::time::{ClockId, clock_gettime};

/// The wall clock at start plus the boot time elapsed since: a step of the wall clock neither freezes nor races it,
/// and time spent in suspend counts. Not adjusted afterwards: it drifts with the hardware until the next start.
#[derive(Debug, Clone, Copy)]
pub struct BootClock {
    wall_at_boot: i64,
}

impl BootClock {
    /// Reads the wall clock, once.
    #[must_use]
    pub fn start() -> Self {
        Self { wall_at_boot: read(ClockId::Realtime) - read(ClockId::Boottime) }
    }

    /// Unix microseconds. Never less than at an earlier call.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.wall_at_boot + read(ClockId::Boottime)
    }
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_the_wall_clock_and_never_goes_back() {
        let clock = BootClock::start();
        let wall =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
        let first = clock.now();
        assert!((first - wall).abs() < 5_000_000, "{first} against {wall}");
        let times: Vec<i64> = (0..1_000).map(|_| clock.now()).collect();
        assert!(times.is_sorted());
        assert!(times[0] >= first);
    }
}
