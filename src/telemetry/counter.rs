//! Numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use super::shards::Shards;

/// A number that only grows. Counting is one relaxed addition in a shard of the thread.
#[derive(Debug)]
pub struct Counter(Shards<AtomicU64>);

impl Default for Counter {
    fn default() -> Counter {
        Counter(Shards::new(AtomicU64::default))
    }
}

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `by` more.
    pub fn add(&self, by: u64) {
        self.0.own().fetch_add(by, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.all().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// A number for each word of a closed set, for what is rare: the words are compared, and threads share the numbers.
#[derive(Debug)]
pub struct Labelled {
    words: &'static [&'static str],
    counts: Box<[AtomicU64]>,
}

impl Labelled {
    /// All at 0.
    pub fn new(words: &'static [&'static str]) -> Labelled {
        Labelled { words, counts: words.iter().map(|_| AtomicU64::new(0)).collect() }
    }

    /// One more of `word`.
    pub fn increment(&self, word: &str) {
        let place = self.words.iter().position(|known| *known == word);
        debug_assert!(place.is_some(), "{word} is none of {:?}", self.words);
        if let Some(place) = place {
            self.counts[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each word with its number.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.iter().copied().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The sum.
    pub fn total(&self) -> u64 {
        self.all().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_own_number() {
        let labelled = Labelled::new(&["a", "b"]);
        labelled.increment("b");
        labelled.increment("b");
        assert_eq!((labelled.all().collect::<Vec<_>>(), labelled.total()), (vec![("a", 0), ("b", 2)], 2));
    }
}
