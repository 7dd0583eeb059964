//! A stored response's fields: their values in one block, and their names in a shape that like responses share.
//!
//! An origin's responses have the same names again and again, in one order. So a shape holds them as a finished
//! map with empty values: an answer clones it and puts its values in, which hashes nothing. What an answer adds
//! has its places in the shape too, so that the clone never grows. Of some names the values are few as well: those
//! stand in the shape itself, and not in the block.
//!
//! An answer's values are slices of one copy in a block of its thread, which is free again when hyper has encoded
//! them: a hit allocates for the map alone, and counts no handles that two threads share. A plain hit needs no map:
//! its lines are written as they go out, from the shape's own text and what stands between.
//!
//! Lock: one mutex over the known shapes, a leaf, taken at fills alone. Bounded by `SHAPES_MAX`, half of it for
//! shapes with values; a shape beyond it is not shared, and is weighed with its variant. Shared values are never
//! freed, so that no count of their readers is shared by all threads; `SHARED_VALUES_MAX` bounds them.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::sync::Mutex;
use crate::limits::{ANSWER_BLOCK_BYTES, SHAPES_MAX, SHARED_VALUE_BYTES_MAX, SHARED_VALUES_MAX};
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
    pub request_id: &'a [u8],
}

/// Names whose values are few: an origin says the same of most of its images.
const REPEATED: [HeaderName; 12] = [
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::CACHE_CONTROL,
    header::CDN_CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::SERVER,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::VIA,
    header::X_CONTENT_TYPE_OPTIONS,
];

/// The names of a response's fields, in the order of the map, each with its shared value, or an empty one.
#[derive(Debug)]
struct Shape {
    names: HeaderMap,
    /// Of each of them, whether its value is shared.
    shared: Box<[bool]>,
    /// The names of an answer's: those, and what is stamped on it.
    answer: HeaderMap,
    /// Where its values are from, one for one.
    sources: Box<[Source]>,
    /// An answer's lines as HTTP/1.1 writes them (RFC 9112 §5), the shape's own values with them; other values are left
    /// out.
    lines: Box<[u8]>,
    /// Places in `lines` where values were left out, and where those are from.
    gaps: Box<[Gap]>,
    is_shared: bool,
}

/// Where a value of an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The shape: it is there.
    Shape,
    /// The value with this number in the block.
    Block(usize),
    /// One of a [`Stamp`].
    Age,
    CacheStatus,
    RequestId,
}

/// A place in a shape's lines, and where the value that goes there is from.
type Gap = (usize, Source);

/// A field of a shape: its name, and its value where that is shared.
type Line = (HeaderName, Option<&'static str>);

impl Shape {
    fn new(lines: &[Line], is_shared: bool) -> Shape {
        let value = |shared: Option<&'static str>| HeaderValue::from_static(shared.unwrap_or_default());
        let (mut names, mut answer) = (HeaderMap::with_capacity(lines.len()), HeaderMap::new());
        for (at, (name, shared)) in lines.iter().enumerate() {
            names.append(name, value(*shared));
            answer.append(name, at.into()); // Its place, while the map is made as the steps of an answer would.
        }
        let [age, cache_status, request_id] = ["a", "c", "r"].map(HeaderValue::from_static);
        answer.insert(header::AGE, age.clone());
        answer.append(header::CACHE_STATUS, cache_status.clone());
        answer.insert(X_REQUEST_ID, request_id.clone());
        let source = |place: &mut HeaderValue| match std::mem::replace(place, value(None)) {
            stamp if stamp == age => Source::Age,
            stamp if stamp == cache_status => Source::CacheStatus,
            stamp if stamp == request_id => Source::RequestId,
            number => {
                let number = number.to_str().ok().and_then(|number| number.parse().ok());
                let at: usize = number.expect("it is a place or one of the letters");
                if lines[at].1.is_some() {
                    *place = value(lines[at].1);
                    return Source::Shape;
                }
                Source::Block(lines[..at].iter().filter(|(_, shared)| shared.is_none()).count())
            }
        };
        let sources: Box<[Source]> = answer.values_mut().map(source).collect();
        let shared = lines.iter().map(|(_, shared)| shared.is_some()).collect();
        let (lines, gaps) = written(&answer, &sources);
        Shape { names, shared, answer: answer.clone(), sources, lines, gaps, is_shared } // A clone has no more room than it needs.
    }
}

/// The lines of an answer, and the gaps in them.
fn written(answer: &HeaderMap, sources: &[Source]) -> (Box<[u8]>, Box<[Gap]>) {
    let (mut lines, mut gaps) = (Vec::new(), Vec::new());
    for ((name, value), source) in answer.iter().zip(sources) {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        match source {
            Source::Shape => lines.extend_from_slice(value.as_bytes()),
            source => gaps.push((lines.len(), *source)),
        }
        lines.extend_from_slice(b"\r\n");
    }
    (lines.into(), gaps.into())
}

thread_local! {
    /// Where this thread's answers have their values.
    static BLOCK: Cell<BytesMut> = Cell::default();
}

/// The known shapes.
#[derive(Default)]
pub struct Shapes(Mutex<Known>);

#[derive(Default)]
struct Known {
    shapes: HashMap<Box<[Line]>, Arc<Shape>>,
    values: HashSet<&'static str>,
}

impl Shapes {
    fn of(&self, fields: &HeaderMap) -> Arc<Shape> {
        let mut known = self.0.lock();
        let mut lines: Box<[Line]> =
            lines(fields).map(|(name, value)| (name.clone(), known.value(name, value))).collect();
        if lines.iter().any(|(_, shared)| shared.is_some()) {
            if let Some(shape) = known.shape(&lines, SHAPES_MAX / 2) {
                return shape;
            }
            lines.iter_mut().for_each(|(_, shared)| *shared = None);
        }
        known.shape(&lines, SHAPES_MAX).unwrap_or_else(|| Arc::new(Shape::new(&own(&lines), false)))
    }
}

impl Known {
    /// The shape with these lines, a new one where there are fewer than `most`.
    fn shape(&mut self, lines: &[Line], most: usize) -> Option<Arc<Shape>> {
        if let Some(shape) = self.shapes.get(lines) {
            return Some(shape.clone());
        }
        if self.shapes.len() >= most {
            self.shapes.retain(|_, shape| Arc::strong_count(shape) > 1);
        }
        (self.shapes.len() < most).then(|| {
            let lines = own(lines);
            let shape = Arc::new(Shape::new(&lines, true));
            self.shapes.insert(lines, shape.clone());
            shape
        })
    }

    /// The shared value that is the same, if there is one or may be.
    fn value(&mut self, name: &HeaderName, value: &HeaderValue) -> Option<&'static str> {
        if !REPEATED.contains(name) || value.len() > SHARED_VALUE_BYTES_MAX {
            return None;
        }
        let text = value.to_str().ok()?;
        self.values.get(text).copied().or_else(|| {
            (self.values.len() < SHARED_VALUES_MAX).then(|| {
                let kept: &'static str = Box::leak(text.into());
                self.values.insert(kept);
                kept
            })
        })
    }
}

/// The fields in the order of a map that is made of them one by one: the values of one name together.
fn lines(fields: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    fields.keys().flat_map(|name| fields.get_all(name).iter().map(move |value| (name, value)))
}

/// The same with letters of its own: a name may be a slice of what a connection read.
fn own(lines: &[Line]) -> Box<[Line]> {
    let own =
        |name: &HeaderName| HeaderName::from_bytes(name.as_str().as_bytes()).expect("it was a name before");
    lines.iter().map(|(name, shared)| (own(name), *shared)).collect()
}

/// See the module.
pub struct Fields {
    shape: Arc<Shape>,
    /// The other values in the shape's order, each after its length: seven bits a byte, the lowest first, the last byte
    /// below 0x80.
    block: Box<[u8]>,
}

impl Fields {
    /// Packs them.
    pub fn new(fields: &HeaderMap, shapes: &Shapes) -> Fields {
        let shape = shapes.of(fields);
        let own =
            || lines(fields).zip(&shape.shared).filter(|(_, shared)| !**shared).map(|((_, value), _)| value);
        let of_length = |length: usize| (length.checked_ilog2().unwrap_or(0) as usize) / 7 + 1;
        let bytes = own().map(|value| of_length(value.len()) + value.len()).sum();
        let mut block = Vec::with_capacity(bytes); // Exactly: a block that shrinks keeps its place.
        for value in own() {
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
        let own = map.values_mut().zip(&packed.shape.shared).filter(|(_, shared)| !**shared);
        for ((value, _), place) in own.zip(packed.places()) {
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
        block.extend_from_slice(stamp.request_id);
        let values = block.split().freeze();
        BLOCK.set(block);

        let mut stored = self.places().enumerate();
        let mut answer = self.shape.answer.clone();
        for (value, source) in answer.values_mut().zip(&self.shape.sources) {
            let place = match *source {
                Source::Shape => continue,
                Source::Block(number) => {
                    let mut places = stored.by_ref().skip_while(|(at, _)| *at < number);
                    places.next().expect("a block has what its shape has not").1
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

    /// Writes the same fields as lines. Allocates where `out` has no room.
    pub fn write_answer(&self, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        let lines = &self.shape.lines;
        let (mut stored, mut written) = (self.places().enumerate(), 0);
        for (place, source) in &self.shape.gaps {
            out.extend_from_slice(&lines[written..*place]);
            written = *place;
            match *source {
                Source::Shape => {}
                Source::Block(number) => {
                    let mut places = stored.by_ref().skip_while(|(at, _)| *at < number);
                    let place = places.next().expect("a block has what its shape has not").1;
                    out.extend_from_slice(&self.block[place]);
                }
                Source::Age => out.extend_from_slice(itoa::Buffer::new().format(stamp.age).as_bytes()),
                Source::CacheStatus => stamp.cache_status.append(out),
                Source::RequestId => out.extend_from_slice(stamp.request_id),
            }
        }
        out.extend_from_slice(&lines[written..]);
    }

    /// Bytes on the heap, beside what is shared with others.
    pub fn heap_bytes(&self) -> usize {
        let own_shape = if self.shape.is_shared {
            0
        } else {
            self.shape.answer.keys().map(|name| 2 * name.as_str().len() + 2 * NAME_OVERHEAD_BYTES).sum()
        };
        self.block.len() + own_shape
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut own = self.places().map(|place| &self.block[place]);
        let value = |((name, value), shared): ((_, &'_ HeaderValue), &bool)| {
            let value = if *shared { value.as_bytes() } else { own.next().unwrap_or_default() };
            (name, String::from_utf8_lossy(value).into_owned())
        };
        f.debug_map().entries(self.shape.names.iter().zip(&self.shape.shared).map(value)).finish()
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

    fn fields_of(pairs: &[(String, String)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        fields
    }

    proptest! {
        #[test]
        fn fields_come_back_as_they_were(pairs in prop::collection::vec(("[a-d]|etag|vary|server|age|cache-status|x-request-id", "[ -~]{0,9}|[ -~]{120,140}"), 0..12)) {
            let fields = fields_of(&pairs);
            let shapes = Shapes::default();
            let first = packed(&fields, &shapes);
            prop_assert_eq!(&unpacked(&first), &fields);
            prop_assert!(Arc::ptr_eq(&first.shape, &packed(&fields, &shapes).shape), "the shape is shared");
        }
    }

    fn stamp(request_id: &str) -> Stamp<'_> {
        let cache_status = CacheStatus { outcome: Outcome::Hit, ttl: Some(-9), detail: None };
        Stamp { age: 1234, cache_status, request_id: request_id.as_bytes() }
    }

    proptest! {
        #[test]
        fn answer_has_the_stored_fields_and_its_stamp(pairs in prop::collection::vec(("[a-c]|etag|vary|server|age|cache-status|x-request-id", "[ -~]{0,9}"), 0..9)) {
            let mut fields = fields_of(&pairs);
            let answer = packed(&fields, &Shapes::default()).answer(&stamp("a-1"));
            fields.insert(header::AGE, HeaderValue::from_static("1234"));
            fields.append(header::CACHE_STATUS, HeaderValue::from_static("Freshet; hit; ttl=-9"));
            fields.insert(X_REQUEST_ID, HeaderValue::from_static("a-1"));
            prop_assert_eq!(&answer, &fields);
            prop_assert!(answer.keys().eq(fields.keys()), "in this order");
            let mut lines = Vec::new();
            packed(&fields_of(&pairs), &Shapes::default()).write_answer(&stamp("a-1"), &mut lines);
            let expected = answer.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
            prop_assert_eq!(String::from_utf8(lines).unwrap(), expected.collect::<String>());
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

    #[test]
    fn values_that_repeat_take_no_room_and_their_number_is_bounded() {
        let shapes = Shapes::default();
        let one = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            HeaderMap::from_iter([(header::CACHE_CONTROL, value)])
        };
        let kept: Vec<_> =
            (0..SHARED_VALUES_MAX + 9).map(|at| packed(&one(&format!("max-age={at}")), &shapes)).collect();
        let with_values = SHAPES_MAX / 2;
        assert_eq!((kept[0].heap_bytes(), kept[with_values - 1].heap_bytes()), (0, 0));
        for fields in &kept[with_values..] {
            assert!(
                fields.shape.is_shared && fields.heap_bytes() > 0,
                "one shape without values for the others"
            );
        }
        let too_long = one(&"x".repeat(SHARED_VALUE_BYTES_MAX + 1));
        for fields in [one("max-age=0"), one(&format!("max-age={SHARED_VALUES_MAX}")), too_long] {
            assert_eq!(unpacked(&packed(&fields, &shapes)), fields);
            assert_eq!(
                packed(&fields, &shapes).answer(&stamp("a-1"))[header::CACHE_CONTROL],
                fields[header::CACHE_CONTROL]
            );
        }
    }
}
