//! Requests and their responses, without a socket.

use std::time::UNIX_EPOCH;

use image::{GenericImageView, ImageFormat, Rgb, RgbImage};

use super::*;

const START: u64 = 1_700_000_000;
const PATH: &str = "/photos/2024/harbour.jpg";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn sample(width: u32, height: u32, format: Format) -> Bytes {
    let pixels = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8 * 3, y as u8 * 5, 90]));
    encode::encode(pixels.into(), format, 90).unwrap().into()
}

/// With a small picture in place of the harbour: nothing has to be drawn.
fn answerer() -> Answerer {
    let answerer = Answerer::new(Gallery::open(None, at(START)).unwrap(), Duration::from_secs(3600));
    answerer.gallery.replace(&PATH[1..], sample(60, 40, Format::Jpeg), at(START)).unwrap();
    answerer
}

fn request(method: Method, target: &str, fields: &[(&str, &str)], body: Bytes) -> Request<Bytes> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(body).unwrap()
}

fn get(answerer: &Answerer, target: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
    answerer.answer(&request(Method::GET, target, fields, Bytes::new()), true, at(START + 9))
}

fn field<'a>(res: &'a Response<Bytes>, name: &str) -> &'a str {
    res.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn message(res: &Response<Bytes>) -> String {
    let body: serde_json::Value = serde_json::from_slice(res.body()).unwrap();
    assert!(body["help"].is_string());
    body["message"].as_str().unwrap().to_owned()
}

#[test]
fn each_format_is_answered_in_its_size_and_by_its_name() {
    let answerer = answerer();
    for (format, guessed) in [
        ("jpg", ImageFormat::Jpeg),
        ("png", ImageFormat::Png),
        ("webp", ImageFormat::WebP),
        ("avif", ImageFormat::Avif),
    ] {
        let res = get(&answerer, &format!("/tr:w-30,h-30,f-{format}{PATH}"), &[]);
        assert_eq!(res.status(), StatusCode::OK, "{format}");
        assert_eq!(field(&res, "content-type"), guessed.to_mime_type());
        assert_eq!(field(&res, "content-length"), res.body().len().to_string());
        assert_eq!(image::guess_format(res.body()).unwrap(), guessed);
        if guessed == ImageFormat::Avif {
            // Not decoded here: the size stands in the box `ispe`, after four bytes of version and flags.
            let ispe = res.body().windows(4).position(|name| name == b"ispe").unwrap();
            assert_eq!(res.body()[ispe + 8..ispe + 16], [0, 0, 0, 30, 0, 0, 0, 30]);
        } else {
            assert_eq!(image::load_from_memory(res.body()).unwrap().dimensions(), (30, 30), "{format}");
        }
    }
}

#[test]
fn without_a_transformation_the_sources_bytes_are_answered() {
    let res = get(&answerer(), "/photos/2024/harbour.jpg?v=2", &[]);
    assert_eq!(*res.body(), sample(60, 40, Format::Jpeg));
    assert_eq!(field(&res, "cache-control"), "public, max-age=3600");
    assert_eq!(field(&res, "last-modified"), "Tue, 14 Nov 2023 22:13:20 GMT");
    assert!(field(&res, "vary").is_empty());
}

#[test]
fn spellings_of_one_transformation_are_one_picture() {
    let answerer = answerer();
    let first = get(&answerer, "/tr:w-20,h-30:rt-90/photos/2024/harbour.jpg", &[]);
    for target in [
        "/photos/tr:h-30,w-20:rt--270/2024/harbour.jpg",
        "//photos/2024/harbour.jpg?tr=w-20%2Ch-30%3Art-90",
        "/photos/2024/harbour.jpg?tr=w-20,h-30,c-maintain_ratio:rt-90,f-jpeg",
    ] {
        let res = get(&answerer, target, &[]);
        assert_eq!((res.body(), field(&res, "etag")), (first.body(), field(&first, "etag")), "{target}");
    }
    let other = get(&answerer, "/tr:rt-90:w-20,h-30/photos/2024/harbour.jpg", &[]);
    assert_ne!(other.body(), first.body());
    assert_ne!(field(&other, "etag"), field(&first, "etag"));
}

#[test]
fn auto_format_follows_accept_and_says_so() {
    let answerer = answerer();
    let target = format!("{PATH}?tr=w-20,f-auto");
    let webp = get(&answerer, &target, &[("accept", "image/webp,*/*")]);
    let plain = get(&answerer, &target, &[]);
    let avif = get(&answerer, &target, &[("accept", "text/html"), ("accept", "image/avif")]);
    assert_eq!(field(&webp, "content-type"), "image/webp");
    assert_eq!(field(&plain, "content-type"), "image/jpeg");
    assert_eq!(field(&avif, "content-type"), "image/avif");
    assert!([&webp, &plain, &avif].iter().all(|res| field(res, "vary") == "Accept"));
    assert_ne!(field(&webp, "etag"), field(&plain, "etag"));
    let same = get(&answerer, &format!("{PATH}?tr=w-20,f-webp"), &[]);
    assert_eq!((same.body(), field(&same, "etag")), (webp.body(), field(&webp, "etag")));
}

#[test]
fn conditional_requests_get_304_where_the_client_has_the_picture() {
    let answerer = answerer();
    let tag = field(&get(&answerer, PATH, &[]), "etag").to_owned();
    let (weak, listed) = (format!("W/{tag}"), format!("\"a\", {tag}"));
    let (modified, before, after) =
        ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:21 GMT");
    #[rustfmt::skip]
    let table: [(&[(&str, &str)], u16); 11] = [
        (&[("if-none-match", &tag)],                                       304),
        (&[("if-none-match", &weak)],                                      304),
        (&[("if-none-match", &listed)],                                    304),
        (&[("if-none-match", "\"a\""), ("if-none-match", &tag)],           304),
        (&[("if-none-match", "*")],                                        304),
        (&[("if-none-match", "\"a\"")],                                    200),
        (&[("if-none-match", "\"a\""), ("if-modified-since", modified)],   200),
        (&[("if-modified-since", modified)],                               304),
        (&[("if-modified-since", after)],                                  304),
        (&[("if-modified-since", before)],                                 200),
        (&[("if-modified-since", "yesterday")],                            200),
    ];
    for (fields, status) in table {
        let res = get(&answerer, PATH, fields);
        assert_eq!(res.status(), status, "{fields:?}");
        assert_eq!(field(&res, "etag"), tag);
        assert_eq!(res.body().is_empty(), status == 304);
    }
    // The embedded pictures' dates have parts of seconds, which no client can send back.
    assert!(client_has_it(
        request(Method::GET, PATH, &[("if-modified-since", modified)], Bytes::new()).headers(),
        &tag,
        at(START) + Duration::from_millis(700)
    ));
}

#[test]
fn a_put_replaces_the_picture_and_its_validators() {
    let answerer = answerer();
    let before = get(&answerer, PATH, &[]);
    let put = |target: &str, body: Bytes, local| {
        answerer.answer(&request(Method::PUT, target, &[], body), local, at(START + 60))
    };
    let replacement = sample(10, 30, Format::WebP);
    assert_eq!(put(PATH, replacement.clone(), true).status(), StatusCode::OK);
    let after = get(&answerer, PATH, &[("if-none-match", field(&before, "etag"))]);
    assert_eq!((after.status(), after.body()), (StatusCode::OK, &replacement));
    assert_eq!(field(&after, "content-type"), "image/webp");
    assert_eq!(field(&after, "last-modified"), "Tue, 14 Nov 2023 22:14:20 GMT");
    let small = get(&answerer, &format!("/tr:w-5,f-png{PATH}"), &[]);
    assert_eq!(image::load_from_memory(small.body()).unwrap().dimensions(), (5, 15));

    assert_eq!(put(PATH, sample(9, 9, Format::Png), false).status(), StatusCode::FORBIDDEN);
    assert_eq!(put(PATH, Bytes::from_static(b"text"), true).status(), StatusCode::BAD_REQUEST);
    assert_eq!(put("/photos/new.jpg", replacement.clone(), true).status(), StatusCode::NOT_FOUND);
    assert_eq!(put(&format!("{PATH}?tr=w-9"), replacement.clone(), true).status(), StatusCode::BAD_REQUEST);
    assert_eq!(get(&answerer, PATH, &[]).body(), &replacement);
}

#[test]
fn head_has_the_fields_of_get() {
    let answerer = answerer();
    let target = format!("/tr:w-20{PATH}");
    let (head, got) = (
        answerer.answer(&request(Method::HEAD, &target, &[], Bytes::new()), false, at(START)),
        get(&answerer, &target, &[]),
    );
    assert_eq!(head.headers(), got.headers());
}

#[test]
fn err_refusals_explain_themselves_and_are_not_kept() {
    let answerer = answerer();
    #[rustfmt::skip]
    let table = [
        (Method::GET,    "/photos/2024/nothing.jpg",       404, "`photos/2024/nothing.jpg`"),
        (Method::GET,    "/tr:w-0/photos/2024/harbour.jpg", 400, "`w` does not take the value `0`"),
        (Method::GET,    "/photos/2024/harbour.jpg?tr=x-1", 400, "`x-1` is not a transformation parameter"),
        (Method::GET,    "/tr:w-9000/photos/2024/harbour.jpg", 400, "9000x6000"),
        (Method::GET,    "/%2e%2e/secret.png",             400, "not a plain name"),
        (Method::POST,   "/photos/2024/harbour.jpg",       405, "not allowed"),
        (Method::DELETE, "/photos/2024/harbour.jpg",       405, "not allowed"),
    ];
    for (method, target, status, text) in table {
        let res = answerer.answer(&request(method.clone(), target, &[], Bytes::new()), true, at(START));
        assert_eq!(res.status(), status, "{target}");
        assert!(message(&res).contains(text), "{target}: {}", message(&res));
        assert_eq!(field(&res, "cache-control"), "no-store");
        assert_eq!(field(&res, "allow").is_empty(), status != 405);
    }
}

#[test]
fn the_root_lists_every_embedded_picture() {
    let res = get(&answerer(), "/", &[]);
    let text = String::from_utf8(res.body().to_vec()).unwrap();
    let listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(listed, DRAWINGS.iter().map(|drawing| drawing.path).collect::<Vec<_>>());
    assert!(NAMED.iter().all(|(name, _)| text.contains(&format!("n-{name}"))));
}
