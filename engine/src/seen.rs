//! [`Seen`]: the ids of the newest events, by which a repeated event is told from a new one.

use pavlov_events::Uuid;

/// Ids of one piece, which is one row of the state: 1,024 x 8 bytes stay below sled's safe value size.
pub const PIECE: usize = 1_024;
/// Pieces kept, so that the newest 524,288 ids are known.
pub const PIECES: usize = 512;
const CAPACITY: usize = PIECE * PIECES;
/// Slots of the table: a power of two, at most half full.
const SLOTS: usize = CAPACITY * 2;
const EMPTY: u64 = 0;

/// A ring of 64-bit digests of ids with a table over it: 4 + 8 MiB at most, allocated as it fills.
///
/// Digests of two different random ids agree with a probability of 524,288 / 2^64 per event, about one in
/// 3·10^13.
#[derive(Debug, Default)]
pub struct Seen {
    ring: Vec<u64>,
    /// How many ids were ever noted.
    count: u64,
    table: Vec<u64>,
}

impl Seen {
    /// Whether an id is among the newest.
    pub fn contains(&self, id: Uuid) -> bool {
        let digest = digest(id);
        let Some(mask) = self.table.len().checked_sub(1) else { return false };
        let mut slot = digest as usize & mask;
        while self.table[slot] != EMPTY {
            if self.table[slot] == digest {
                return true;
            }
            slot = (slot + 1) & mask;
        }
        false
    }

    /// Notes an id; `false` when it was there already. The piece that changed is [`Self::open_piece`]'s
    /// value before the call.
    pub fn insert(&mut self, id: Uuid) -> bool {
        if self.contains(id) {
            return false;
        }
        let digest = digest(id);
        let at = (self.count % CAPACITY as u64) as usize;
        if self.ring.len() == CAPACITY {
            let old = std::mem::replace(&mut self.ring[at], digest);
            self.forget(old);
        } else {
            self.ring.push(digest);
            if self.ring.len() * 2 > self.table.len() {
                self.grow();
                self.count += 1;
                return true;
            }
        }
        self.count += 1;
        self.place(digest);
        true
    }

    /// The number of the piece that the next id goes into, within the ring.
    pub fn open_piece(&self) -> usize {
        (self.count % CAPACITY as u64) as usize / PIECE
    }

    /// One piece as bytes: how many ids were ever noted when it was written, then its digests.
    pub fn piece(&self, number: usize) -> Vec<u8> {
        let start = (number * PIECE).min(self.ring.len());
        let end = (start + PIECE).min(self.ring.len());
        let mut bytes = Vec::with_capacity(8 + 8 * (end - start));
        bytes.extend_from_slice(&self.count.to_le_bytes());
        for digest in &self.ring[start..end] {
            bytes.extend_from_slice(&digest.to_le_bytes());
        }
        bytes
    }

    /// Restores from all pieces, in the order of their numbers. `None` when the bytes are no pieces.
    pub fn load<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut seen = Self::default();
        for piece in pieces {
            let (words, rest) = piece.as_chunks::<8>();
            let (count, digests) = words.split_first()?;
            if !rest.is_empty() || digests.len() > PIECE {
                return None;
            }
            seen.count = seen.count.max(u64::from_le_bytes(*count));
            seen.ring.extend(digests.iter().map(|word| u64::from_le_bytes(*word)));
        }
        if seen.ring.len() > CAPACITY || (seen.ring.len() as u64) > seen.count {
            return None;
        }
        seen.grow();
        Some(seen)
    }

    fn grow(&mut self) {
        let slots = (self.ring.len() * 4).next_power_of_two().clamp(1_024, SLOTS);
        self.table = vec![EMPTY; slots];
        for index in 0..self.ring.len() {
            self.place(self.ring[index]);
        }
    }

    fn place(&mut self, digest: u64) {
        let mask = self.table.len() - 1;
        let mut slot = digest as usize & mask;
        while self.table[slot] != EMPTY {
            slot = (slot + 1) & mask;
        }
        self.table[slot] = digest;
    }

    /// Takes a digest out and closes the hole, so that probing never needs tombstones.
    fn forget(&mut self, digest: u64) {
        let mask = self.table.len() - 1;
        let mut slot = digest as usize & mask;
        while self.table[slot] != digest {
            if self.table[slot] == EMPTY {
                return;
            }
            slot = (slot + 1) & mask;
        }
        let mut hole = slot;
        let mut next = (hole + 1) & mask;
        while self.table[next] != EMPTY {
            let home = self.table[next] as usize & mask;
            // The entry may move back if its home does not lie cyclically between the hole and itself.
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.table[hole] = self.table[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.table[hole] = EMPTY;
    }
}

/// 64 bits of an id, spread evenly even for ids that count up; never [`EMPTY`].
fn digest(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    let mixed = (high ^ low.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low;
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ (mixed >> 32)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ids_are_known_and_the_oldest_forgotten() {
        let mut seen = Seen::default();
        let extra = 3_000;
        for id in 0..(CAPACITY + extra) as u128 {
            assert!(seen.insert(Uuid::from_u128(id)));
        }
        assert!(!seen.insert(Uuid::from_u128((CAPACITY + extra - 1) as u128)));
        assert!((0..extra as u128).all(|id| !seen.contains(Uuid::from_u128(id))));
        assert!((extra..CAPACITY + extra).step_by(61).all(|id| seen.contains(Uuid::from_u128(id as u128))));
    }

    #[test]
    fn pieces_restore_the_same_memory() {
        let mut seen = Seen::default();
        for id in 0..5_000 {
            seen.insert(Uuid::from_u128(id * 7));
        }
        let pieces: Vec<Vec<u8>> = (0..=seen.open_piece()).map(|n| seen.piece(n)).collect();
        let mut again = Seen::load(pieces.iter().map(Vec::as_slice)).expect("pieces");
        assert!((0..5_000).all(|id| again.contains(Uuid::from_u128(id * 7))));
        assert!(!again.insert(Uuid::from_u128(7)) && again.insert(Uuid::from_u128(1)));
        assert_eq!(again.count, 5_001);
    }
}
