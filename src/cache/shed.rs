//! Giving stored responses up before the store is full: the process is short of memory.

use super::Cache;

impl Cache {
    /// Gives up at least so many bytes of what is stored, or all: first what was never asked for again, then whatever
    /// comes. Returns the bytes. Costs a walk over the store; look-ups go on meanwhile.
    pub fn shed(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        for is_spared_by_a_hit in [true, false] {
            for resource in self.store().iter() {
                if freed >= bytes {
                    return freed;
                }
                let was_hit = resource.variants().iter().any(|variant| variant.hits() > 0);
                if !(is_spared_by_a_hit && was_hit) && self.store().remove(&resource, |_| true).entries > 0 {
                    freed += u64::from(resource.weight());
                }
            }
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::super::model::{fields, key, planned};
    use super::super::{Body, Commit, Lookup};
    use super::*;
    use crate::clock::Clock;
    use crate::key::examples::DEMO;
    use crate::target::Tags;

    #[test]
    fn what_was_never_asked_for_again_goes_first_and_no_more_than_is_needed() {
        let clock = Clock::manual(1_700_000_000);
        let cache = Cache::new(1 << 30, clock.clone());
        let paths: Vec<String> = (0..20).map(|number| format!("/{number}.png")).collect();
        for path in &paths {
            let key = key(DEMO, path);
            let (mut lead, _) = cache.fetch_alone(&key, &fields(0));
            lead.learn(Tags::default());
            let body = Body::new(vec![Bytes::from_static(b"picture")]);
            let fill = planned(&fields(0), true, &clock);
            let variant = cache.variant(&lead, StatusCode::OK, &fill, Tags::default(), body, clock.now());
            assert_eq!(cache.commit(&lead, variant), Commit::Stored);
        }
        let stored = || -> Vec<usize> {
            let is_stored =
                |path: &String| matches!(cache.look_up(&key(DEMO, path), &fields(0)), Lookup::Found(_));
            (0..paths.len()).filter(|number| is_stored(&paths[*number])).collect()
        };
        for path in &paths[..5] {
            let Lookup::Found(variant) = cache.look_up(&key(DEMO, path), &fields(0)) else { panic!() };
            variant.count_hit();
        }
        cache.settle();
        let one = cache.figures().bytes / 20;

        assert_eq!(cache.shed(0), 0);
        assert_eq!(stored().len(), 20);
        let freed = cache.shed(10 * one);
        assert!(freed >= 10 * one && freed < 11 * one + one, "{freed} of {one} each");
        assert!((9..=10).contains(&stored().len()) && stored()[..5] == [0, 1, 2, 3, 4], "{:?}", stored());
        cache.shed(u64::MAX);
        assert!(stored().is_empty());
    }
}
