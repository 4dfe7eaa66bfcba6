//! [`Ids`]: everything that looks random inside the machine, computed from a position of the log.

use crate::Timestamp;
use uuid::Uuid;

/// A generator seeded with (log id, position), counting an index: the same record always yields the
/// same ids, jitter and names, on every replica and at every replay (DESIGN section 2).
#[derive(Clone, Debug)]
pub struct Ids {
    seed: u64,
    index: u64,
    time: Timestamp,
}

impl Ids {
    /// The generator of one record. `time` is the record's and goes into the ids, so that they sort by it.
    pub fn new(log: Uuid, position: u64, time: Timestamp) -> Self {
        let (high, low) = log.as_u64_pair();
        Self { seed: mix(high ^ mix(low ^ mix(position))), index: 0, time }
    }

    /// The next number, all 64 bits spread evenly.
    pub fn next_u64(&mut self) -> u64 {
        self.index += 1;
        mix(self.seed.wrapping_add(self.index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The next id, shaped as UUID version 7 with the record's time.
    pub fn next_uuid(&mut self) -> Uuid {
        let millis = self.time.millis().max(0) as u64;
        let (a, b) = (self.next_u64(), self.next_u64());
        let high = millis << 16 | 0x7000 | (a & 0x0fff);
        let low = 0x8000_0000_0000_0000 | (b >> 2);
        Uuid::from_u64_pair(high, low)
    }

    /// A number evenly spread over `0.0..1.0`, for jitter.
    pub fn next_fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit changes half the output bits.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_position_gives_the_same_ids_and_others_differ() {
        let time = Timestamp::from_micros(1_700_000_000_000_000);
        let log = Uuid::from_u128(7);
        let first: Vec<Uuid> = std::iter::repeat_with({
            let mut ids = Ids::new(log, 5, time);
            move || ids.next_uuid()
        })
        .take(3)
        .collect();
        let mut again = Ids::new(log, 5, time);
        assert!(first.iter().all(|id| *id == again.next_uuid()));
        let mut seen: HashSet<Uuid> = first.into_iter().collect();
        for position in 6..2_000 {
            let mut ids = Ids::new(log, position, time);
            assert!(seen.insert(ids.next_uuid()) && seen.insert(ids.next_uuid()));
        }
        assert!(seen.iter().all(|id| id.get_version_num() == 7));
    }
}
