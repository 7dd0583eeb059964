//! A stored response's fields: their values in one block, and their names in a shape that like responses share.
//!
//! An origin's responses have the same names again and again, in one order. So a shape holds them as a finished
//! map with empty values: an answer clones it and puts its values in, which hashes nothing. What an answer adds
//! has its places in the shape too, so that the clone never grows.
//!
//! An answer's values are slices of one copy in a block of its thread, which is free again when hyper has encoded
//! them: a hit allocates for the map alone, and counts no handles that two threads share.
//!
//! Lock: one mutex over the known shapes, a leaf, taken at fills alone. Bounded by `SHAPES_MAX`; a shape beyond
//! it is not shared, and is weighed with its variant.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::sync::Mutex;
use crate::limits::{ANSWER_BLOCK_BYTES, SHAPES_MAX};
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::fields::X_REQUEST_ID;

/// What a name takes in a map of fields that is not shared, beside its letters.
const NAME_OVERHEAD_BYTES: usize = 128;
/// Room for an age and a Cache-Status; a block grows where they take more.
const STAMP_BYTES: usize = 128;

/// What an answer says of itself, beside what is stored.
pub struct Stamp<'a> {
    /// Age, in seconds.
    pub age: u64,
    /// How the request was handled: after what caches nearer to the origin say.
    pub cache_status: CacheStatus,
    /// The request's name, a token.
    pub request_id: &'a str,
}

/// The names of a response's fields, in the order of the map, each with an empty value.
#[derive(Debug)]
struct Shape {
    names: HeaderMap,
    /// The names of an answer's: those, and what is stamped on it.
    answer: HeaderMap,
    /// Where its values are from, one for one.
    sources: Box<[Source]>,
    is_shared: bool,
}

/// Where a value of an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The stored value with this number.
    Stored(usize),
    /// One of a [`Stamp`].
    Age,
    CacheStatus,
    RequestId,
}

impl Shape {
    /// Of these names, each with an empty value.
    fn new(names: HeaderMap, is_shared: bool) -> Shape {
        // Each value tells its place while the map is made, as the steps of an answer would make it.
        let mut answer = names.clone();
        answer.values_mut().enumerate().for_each(|(at, value)| *value = at.into());
        let [age, cache_status, request_id] = ["a", "c", "r"].map(HeaderValue::from_static);
        answer.insert(header::AGE, age.clone());
        answer.append(header::CACHE_STATUS, cache_status.clone());
        answer.insert(X_REQUEST_ID, request_id.clone());
        let source = |value: &mut HeaderValue| match std::mem::replace(value, HeaderValue::from_static("")) {
            value if value == age => Source::Age,
            value if value == cache_status => Source::CacheStatus,
            value if value == request_id => Source::RequestId,
            value => {
                let number = value.to_str().ok().and_then(|number| number.parse().ok());
                Source::Stored(number.expect("it is a number or one of the letters"))
            }
        };
        let sources = answer.values_mut().map(source).collect();
        Shape { names, answer, sources, is_shared }
    }
}

thread_local! {
    /// Where this thread's answers have their values.
    static BLOCK: Cell<BytesMut> = Cell::default();
}

/// The known shapes.
#[derive(Default)]
pub struct Shapes(Mutex<HashMap<Box<[HeaderName]>, Arc<Shape>>>);

impl Shapes {
    fn of(&self, fields: &HeaderMap) -> Arc<Shape> {
        let names: Box<[HeaderName]> = fields.iter().map(|(name, _)| name.clone()).collect();
        let mut known = self.0.lock();
        if let Some(shape) = known.get(&names) {
            return shape.clone();
        }
        if known.len() >= SHAPES_MAX {
            known.retain(|_, shape| Arc::strong_count(shape) > 1);
        }
        let mut empty = HeaderMap::with_capacity(fields.keys_len());
        for (name, _) in fields {
            // Own letters: a name may be a slice of what a connection read.
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).expect("it was a name before");
            empty.append(name, HeaderValue::from_static(""));
        }
        let is_shared = known.len() < SHAPES_MAX;
        let shape = Arc::new(Shape::new(empty, is_shared));
        if is_shared {
            let names = shape.names.iter().map(|(name, _)| name.clone()).collect();
            known.insert(names, shape.clone());
        }
        shape
    }
}

/// See the module.
pub struct Fields {
    shape: Arc<Shape>,
    /// The values in the shape's order, each after its length: seven bits a byte, the lowest first, the last byte
    /// below 0x80.
    block: Box<[u8]>,
}

impl Fields {
    /// Packs them.
    pub fn new(fields: &HeaderMap, shapes: &Shapes) -> Fields {
        let shape = shapes.of(fields);
        let of_length = |length: usize| (length.checked_ilog2().unwrap_or(0) as usize) / 7 + 1;
        let bytes = fields.values().map(|value| of_length(value.len()) + value.len()).sum();
        let mut block = Vec::with_capacity(bytes); // Exactly: a block that shrinks keeps its place.
        // In the shape's order: that of the map may be another one, for names that stand in it twice.
        for value in shape.names.keys().flat_map(|name| fields.get_all(name)) {
            let mut length = value.len();
            while length >= 0x80 {
                block.push(length as u8 | 0x80);
                length >>= 7;
            }
            block.push(length as u8);
            block.extend_from_slice(value.as_bytes());
        }
        debug_assert_eq!(block.len(), bytes);
        Fields { shape, block: block.into() }
    }

    /// Places of the values in the block.
    fn places(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (mut length, mut bits) = (0, 0);
            loop {
                let byte = *self.block.get(at)?;
                at += 1;
                length |= usize::from(byte & 0x7f) << bits;
                bits += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let from = at;
            at += length;
            Some(from..at)
        })
    }

    /// The fields of `owner` as a map, whose values are slices of the owner's.
    pub fn map<O: Clone + Send + Sync + 'static>(owner: &O, fields: fn(&O) -> &Fields) -> HeaderMap {
        struct Block<O>(O, fn(&O) -> &Fields);
        impl<O> AsRef<[u8]> for Block<O> {
            fn as_ref(&self) -> &[u8] {
                &(self.1)(&self.0).block
            }
        }
        let packed = fields(owner);
        let block = Bytes::from_owner(Block(owner.clone(), fields));
        let mut map = packed.shape.names.clone();
        for (value, place) in map.values_mut().zip(packed.places()) {
            *value =
                HeaderValue::from_maybe_shared(block.slice(place)).expect("these bytes were a value before");
        }
        map
    }

    /// The fields of an answer, as a map of its own.
    pub fn answer(&self, stamp: &Stamp<'_>) -> HeaderMap {
        let mut block = BLOCK.take();
        let bytes = self.block.len() + STAMP_BYTES + stamp.request_id.len();
        if block.capacity() < bytes {
            block.reserve(bytes.max(ANSWER_BLOCK_BYTES)); // The same memory, where nobody has a value in it.
        }
        block.extend_from_slice(&self.block);
        let age = block.len();
        block.extend_from_slice(itoa::Buffer::new().format(stamp.age).as_bytes());
        let cache_status = block.len();
        stamp.cache_status.write(&mut block).expect("a block grows");
        let request_id = block.len();
        block.extend_from_slice(stamp.request_id.as_bytes());
        let values = block.split().freeze();
        BLOCK.set(block);

        let mut stored = self.places().enumerate();
        let mut answer = self.shape.answer.clone();
        for (value, source) in answer.values_mut().zip(&self.shape.sources) {
            let place = match *source {
                Source::Stored(number) => {
                    let mut places = stored.by_ref().skip_while(|(at, _)| *at < number);
                    places.next().expect("a shape has no more names than its variants have values").1
                }
                Source::Age => age..cache_status,
                Source::CacheStatus => cache_status..request_id,
                Source::RequestId => request_id..values.len(),
            };
            *value =
                HeaderValue::from_maybe_shared(values.slice(place)).expect("numbers, tokens, and values");
        }
        answer
    }

    /// Bytes on the heap, beside what is shared with others.
    pub fn heap_bytes(&self) -> usize {
        let own_shape = if self.shape.is_shared {
            0
        } else {
            self.shape.answer.keys().map(|name| name.as_str().len() + 2 * NAME_OVERHEAD_BYTES).sum()
        };
        self.block.len() + own_shape
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.places().map(|place| String::from_utf8_lossy(&self.block[place]));
        f.debug_map().entries(self.shape.names.keys().zip(values)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::cache_status::Outcome;

    fn packed(fields: &HeaderMap, shapes: &Shapes) -> Arc<Fields> {
        Arc::new(Fields::new(fields, shapes))
    }

    fn unpacked(fields: &Arc<Fields>) -> HeaderMap {
        Fields::map(fields, |fields| fields)
    }

    proptest! {
        #[test]
        fn fields_come_back_as_they_were(pairs in prop::collection::vec(("[a-d]|etag|vary|age|cache-status|x-request-id", "[ -~]{0,9}|[ -~]{120,140}"), 0..12)) {
            let mut fields = HeaderMap::new();
            for (name, value) in &pairs {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                fields.append(name, HeaderValue::from_str(value).unwrap());
            }
            let shapes = Shapes::default();
            let first = packed(&fields, &shapes);
            prop_assert_eq!(&unpacked(&first), &fields);
            prop_assert!(Arc::ptr_eq(&first.shape, &packed(&fields, &shapes).shape), "the shape is shared");
        }
    }

    fn stamp(request_id: &str) -> Stamp<'_> {
        let cache_status = CacheStatus { outcome: Outcome::Hit, ttl: Some(-9), detail: None };
        Stamp { age: 1234, cache_status, request_id }
    }

    proptest! {
        #[test]
        fn answer_has_the_stored_fields_and_its_stamp(pairs in prop::collection::vec(("[a-c]|etag|age|cache-status|x-request-id", "[ -~]{0,9}"), 0..9)) {
            let mut fields = HeaderMap::new();
            for (name, value) in &pairs {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                fields.append(name, HeaderValue::from_str(value).unwrap());
            }
            let answer = packed(&fields, &Shapes::default()).answer(&stamp("a-1"));
            fields.insert(header::AGE, HeaderValue::from_static("1234"));
            fields.append(header::CACHE_STATUS, HeaderValue::from_static("Freshet; hit; ttl=-9"));
            fields.insert(X_REQUEST_ID, HeaderValue::from_static("a-1"));
            prop_assert_eq!(&answer, &fields);
            prop_assert!(answer.keys().eq(fields.keys()), "in this order");
        }
    }

    #[test]
    fn answers_that_are_kept_keep_their_values_while_others_are_made() {
        let shapes = Shapes::default();
        let long = "x".repeat(ANSWER_BLOCK_BYTES);
        let stored: Vec<_> =
            (0..50).map(|at| if at % 7 == 0 { long.clone() } else { format!("{at}") }).collect();
        let packed = stored.iter().map(|value| {
            let value = HeaderValue::from_str(value).unwrap();
            packed(&HeaderMap::from_iter([(header::ETAG, value)]), &shapes)
        });
        let answers: Vec<_> = packed.map(|fields| fields.answer(&stamp("a-1"))).collect();
        for (value, answer) in stored.iter().zip(&answers) {
            assert_eq!(answer[header::ETAG], **value);
            assert_eq!(answer[X_REQUEST_ID], "a-1");
        }
    }

    #[test]
    fn values_that_are_no_text_come_back() {
        let value = HeaderValue::from_bytes(b"\xe4\xff \t\x80").unwrap();
        let fields = HeaderMap::from_iter([(http::header::ETAG, value)]);
        assert_eq!(unpacked(&packed(&fields, &Shapes::default())), fields);
    }

    #[test]
    fn shapes_are_bounded_and_those_in_use_stay() {
        let shapes = Shapes::default();
        let one = |at: usize| {
            let name = HeaderName::from_bytes(format!("x-{at}").as_bytes()).unwrap();
            HeaderMap::from_iter([(name, HeaderValue::from_static("v"))])
        };
        let mut kept: Vec<Arc<Fields>> = (0..SHAPES_MAX).map(|at| packed(&one(at), &shapes)).collect();
        let beyond = packed(&one(SHAPES_MAX), &shapes);
        assert!(
            !beyond.shape.is_shared && beyond.heap_bytes() > kept[0].heap_bytes() + 2 * NAME_OVERHEAD_BYTES
        );
        assert_eq!(unpacked(&beyond), one(SHAPES_MAX));
        kept.truncate(SHAPES_MAX / 2);
        assert!(packed(&one(SHAPES_MAX), &shapes).shape.is_shared, "room was made");
        assert!(Arc::ptr_eq(&kept[0].shape, &packed(&one(0), &shapes).shape));
    }
}
