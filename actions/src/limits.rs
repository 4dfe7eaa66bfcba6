//! Limits on what a template of a user may cost. Together they keep one rendering under about 30 MB and
//! a few hundred milliseconds, whatever it says (`tests/bombs.rs` measures it).

/// Bytes of one template.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that one rendering may write, those of blocks and macros included; enough for one event of the
/// largest size as JSON.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one value inside a template: text counts its bytes, every other value [`VALUE_COST`].
pub const VALUE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of all values that one rendering makes, which bounds time as well.
pub const WORK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of all values that one rendering looks through, again and again counted again; bounds time.
pub const LOOKED_AT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What one number, list, map or entry of one counts.
pub const VALUE_COST: usize = 24;
/// Levels of lists and maps in each other.
pub const VALUE_DEPTH_MAX: usize = 64;
/// Steps of the template engine.
pub const FUEL: u64 = 50_000;
/// Levels of macros and blocks in each other.
pub const RECURSION_MAX: usize = 100;
/// Length of `range()`, Prefect's.
pub const RANGE_MAX: usize = 100;
/// Loops of one template, Prefect's.
pub const LOOPS_MAX: usize = 10;
/// Loops in each other, Prefect's.
pub const LOOP_DEPTH_MAX: usize = 2;
/// Width that padding, indentation and number formats may ask for.
pub const WIDTH_MAX: usize = 1_000;
