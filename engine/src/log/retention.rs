//! What retention may remove: a pure decision over the pieces of a log.

use super::Piece;

/// How much of a log is kept. Both limits may be absent; then only the floor matters and everything below it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Pieces whose newest entry is older than this may go (microseconds); none: age keeps nothing.
    pub age_max: Option<i64>,
    /// The oldest pieces may go while the log takes more than this; none: size keeps nothing.
    pub bytes_max: Option<u64>,
}

/// The position for [`super::Log::trim`]: a piece goes when all of it lies below `floor` (what the older snapshot
/// covers) and it is too old or the log is too large. Without any limit, everything below the floor goes.
#[must_use]
pub fn trim_below(pieces: &[Piece], retention: Retention, now: i64, floor: u64) -> u64 {
    let mut bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
    let mut below = pieces.first().map_or(1, |piece| piece.first);
    for piece in pieces {
        let unlimited = retention.age_max.is_none() && retention.bytes_max.is_none();
        let old = retention.age_max.is_some_and(|age| now - piece.time_max > age);
        let large = retention.bytes_max.is_some_and(|max| bytes > max);
        if piece.last >= floor || !(unlimited || old || large) {
            break;
        }
        bytes -= piece.bytes;
        below = piece.last + 1;
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_size_remove_the_oldest_but_never_pass_the_floor() {
        let piece =
            |n: u64| Piece { first: n * 10 + 1, last: n * 10 + 10, bytes: 100, time_max: n as i64 * 1_000 };
        let pieces: Vec<_> = (0..5).map(piece).collect();
        let cases = [
            // age_max, bytes_max, floor, expected
            (None, None, 1, 1),
            (None, None, 31, 31),
            (None, None, 30, 21),
            (Some(2_500), None, 100, 21),
            (Some(2_500), None, 12, 11),
            (None, Some(300), 100, 21),
            (None, Some(1_000), 100, 1),
            (Some(10_000), Some(499), 100, 11),
            (Some(0), Some(0), 100, 51),
        ];
        for (age_max, bytes_max, floor, expected) in cases {
            let retention = Retention { age_max, bytes_max };
            assert_eq!(trim_below(&pieces, retention, 4_000, floor), expected, "{retention:?} floor {floor}");
        }
        assert_eq!(trim_below(&[], Retention { age_max: None, bytes_max: None }, 0, 9), 1);
    }
}
