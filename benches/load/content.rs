//! What origin, bare server and client agree on: the bytes of a path.
//!
//! A path's first segment is its size. Its bytes are a slice of one pool, at a place that its whole text chooses:
//! a body that is another path's is noticed, and making one copies nothing.

use std::sync::LazyLock;

use bytes::Bytes;

/// Longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Places that a body may begin at.
const PLACES: usize = 1 << 16;

static POOL: LazyLock<Bytes> = LazyLock::new(|| {
    let mut random = Random::new(1);
    let words = (BODY_BYTES_MAX + PLACES) / 8;
    (0..words).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<u8>>().into()
});

/// Makes the pool, so that no request waits for it.
pub fn prepare() {
    LazyLock::force(&POOL);
}

/// The body of a path and query; none where the path names no size.
pub fn body(path_and_query: &str) -> Option<Bytes> {
    let size: usize = path_and_query.strip_prefix('/')?.split('/').next()?.parse().ok()?;
    let start = hash(path_and_query) as usize % PLACES;
    (size <= BODY_BYTES_MAX).then(|| POOL.slice(start..start + size))
}

/// FNV-1a.
pub fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// xorshift64*: the same numbers in every run.
pub struct Random(u64);

impl Random {
    /// From a seed, which may be any but 0.
    pub fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next number, in 0..1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Numbers below `count`, the n-th with a probability of 1/(n+1) times a constant.
pub struct Zipf {
    /// The sum of the weights up to each number.
    sums: Vec<f64>,
}

impl Zipf {
    /// Costs 8 bytes a number.
    pub fn new(count: usize) -> Zipf {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += 1.0 / (rank + 1) as f64;
            sum
        };
        Zipf { sums: (0..count).map(add).collect() }
    }

    /// The next number.
    pub fn next(&self, random: &mut Random) -> usize {
        let point = random.share() * self.sums.last().expect("at least one number");
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len() - 1)
    }
}
