//! Outages: one log line when one starts, one when it is over.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Which side has trouble; an outage lasts until neither has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Publishing = 0,
    Reading = 1,
}

#[derive(Default)]
pub(super) struct Health {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    down: [bool; 2],
    since: Option<Instant>,
    last_error: Option<String>,
    outages: u64,
}

impl Health {
    pub fn down(&self, side: Side, reason: &str) {
        let mut state = self.state();
        state.last_error = Some(reason.to_owned());
        state.down[side as usize] = true;
        if state.since.is_none() {
            state.since = Some(Instant::now());
            state.outages += 1;
            tracing::warn!(reason, "the log on NATS is interrupted");
        }
    }

    /// Changes nothing if that side has no trouble.
    pub fn up(&self, side: Side) {
        let mut state = self.state();
        state.down[side as usize] = false;
        if state.down == [false; 2]
            && let Some(since) = state.since.take()
        {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!(seconds, reason = state.last_error, "the log on NATS goes on");
        }
    }

    pub fn is_up(&self) -> bool {
        self.state().since.is_none()
    }

    pub fn last_error(&self) -> Option<String> {
        self.state().last_error.clone()
    }

    pub fn outages(&self) -> u64 {
        self.state().outages
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_until_both_sides_are_well() {
        let health = Health::default();
        health.up(Side::Reading);
        assert_eq!((health.is_up(), health.outages()), (true, 0));
        health.down(Side::Reading, "gone");
        health.down(Side::Publishing, "gone too");
        health.down(Side::Publishing, "still");
        health.up(Side::Reading);
        assert_eq!((health.is_up(), health.outages()), (false, 1));
        health.up(Side::Publishing);
        assert_eq!((health.is_up(), health.outages(), health.last_error()), (true, 1, Some("still".into())));
    }
}
