//! The pictures: replaced ones, then those of the user's folder, then the embedded ones.
//!
//! Owns the replacements and the drawn pictures, both as encoded bytes: pixels live for one answer. Memory is
//! bounded by the number of embedded pictures: each has at most one drawing and one replacement.
//! Locks: `replaced`, held for a look-up or an insert. Everything here may block: it reads files and draws.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;

use super::draw::{self, DRAWINGS};
use super::encode::{self, Format};
use super::refusal::Refusal;
use crate::limits;

/// Quality of an embedded picture's source.
const DRAWING_QUALITY: u8 = 92;

/// A picture that was found.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Another text whenever the bytes are others.
    pub identity: String,
    /// When it became what it is.
    pub modified: SystemTime,
    /// The format of its bytes.
    pub format: Format,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Bytes),
    Drawing(usize),
}

/// Where pictures are looked up.
pub struct Gallery {
    /// Canonical: without symbolic links.
    folder: Option<PathBuf>,
    /// Since when the embedded pictures are what they are: a replacement ends with the process.
    started: SystemTime,
    drawn: [OnceLock<Bytes>; DRAWINGS.len()],
    replaced: Mutex<Replaced>,
}

#[derive(Default)]
struct Replaced {
    count: u64,
    pictures: HashMap<usize, Picture>,
}

impl Gallery {
    /// A gallery of the embedded pictures and those below `folder`, which must exist.
    pub fn open(folder: Option<&Path>, started: SystemTime) -> io::Result<Gallery> {
        let folder = folder.map(Path::canonicalize).transpose()?;
        if folder.as_ref().is_some_and(|folder| !folder.is_dir()) {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Gallery {
            folder,
            started,
            drawn: [const { OnceLock::new() }; DRAWINGS.len()],
            replaced: Mutex::default(),
        })
    }

    /// Looks a picture up by the path of an [`Address`](super::address::Address).
    pub fn find(&self, path: &str) -> Result<Picture, Refusal> {
        let embedded = DRAWINGS.iter().position(|drawing| drawing.path == path);
        if let Some(picture) = embedded.and_then(|place| self.replaced.lock().pictures.get(&place).cloned()) {
            return Ok(picture);
        }
        if let Some(picture) = self.in_folder(path)? {
            return Ok(picture);
        }
        let place = embedded.ok_or_else(|| Refusal::NotFound(path.to_owned()))?;
        Ok(Picture {
            identity: format!("embedded {} {path}", env!("CARGO_PKG_VERSION")),
            modified: self.started,
            format: drawing_format(place),
            content: Content::Drawing(place),
        })
    }

    /// A picture's bytes; draws it where nobody asked for it before. Requests that come meanwhile wait.
    pub fn bytes(&self, picture: &Picture) -> Result<Bytes, Refusal> {
        let place = match &picture.content {
            Content::Bytes(bytes) => return Ok(bytes.clone()),
            Content::Drawing(place) => *place,
        };
        if let Some(bytes) = self.drawn[place].get() {
            return Ok(bytes.clone());
        }
        let mut failure = None;
        let drawn = self.drawn[place].get_or_init(|| {
            let drawing = &DRAWINGS[place];
            let pixels = draw::draw(drawing.scene, drawing.size);
            encode::encode(pixels, picture.format, DRAWING_QUALITY).map(Bytes::from).unwrap_or_else(
                |refusal| {
                    failure = Some(refusal);
                    Bytes::new()
                },
            )
        });
        failure.map_or_else(|| Ok(drawn.clone()), Err)
    }

    /// Replaces an embedded picture until the process ends; the bytes are read as a picture first.
    pub fn replace(&self, path: &str, bytes: Bytes, now: SystemTime) -> Result<Picture, Refusal> {
        let place = DRAWINGS.iter().position(|drawing| drawing.path == path);
        let place = place.ok_or_else(|| Refusal::NotReplaceable(path.to_owned()))?;
        encode::decode(&bytes)?;
        let format = Format::of(&bytes)?;
        let mut replaced = self.replaced.lock();
        replaced.count += 1;
        let identity = format!("replaced {} {path}", replaced.count);
        let picture = Picture { identity, modified: now, format, content: Content::Bytes(bytes) };
        replaced.pictures.insert(place, picture.clone());
        Ok(picture)
    }

    /// The path is joined by plain names alone (`address.rs`); a symbolic link may still leave the folder, so
    /// what counts is where the path really leads. The folder is the user's own: nobody swaps a link in between.
    fn in_folder(&self, path: &str) -> Result<Option<Picture>, Refusal> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let Ok(file) = folder.join(path).canonicalize() else { return Ok(None) };
        if !file.starts_with(folder) || !file.is_file() {
            return Ok(None);
        }
        let (bytes, modified) = read(&file)?;
        let age = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Some(Picture {
            identity: format!("file {} {} {path}", age.as_nanos(), bytes.len()),
            modified,
            format: Format::of(&bytes)?,
            content: Content::Bytes(bytes),
        }))
    }
}

fn drawing_format(place: usize) -> Format {
    let (_, extension) =
        DRAWINGS[place].path.rsplit_once('.').expect("every drawing's path has an extension");
    Format::from_extension(extension).expect("every drawing's extension is a format's (a test draws each)")
}

fn read(file: &Path) -> Result<(Bytes, SystemTime), Refusal> {
    let failed = |error: io::Error| Refusal::Internal(error.to_string());
    let opened = File::open(file).map_err(failed)?;
    let modified = opened.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
    let mut bytes = Vec::new();
    opened.take(limits::DEMO_SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limits::DEMO_SOURCE_BYTES_MAX {
        return Err(Refusal::FileTooLarge);
    }
    Ok((Bytes::from(bytes), modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(side: u32) -> Bytes {
        Bytes::from(encode::encode(image::DynamicImage::new_rgb8(side, side), Format::Png, 80).unwrap())
    }

    #[test]
    fn every_drawing_has_its_own_path_and_is_no_plain_colour() {
        for (place, drawing) in DRAWINGS.iter().enumerate() {
            assert!(DRAWINGS[..place].iter().all(|other| other.path != drawing.path), "{}", drawing.path);
            assert!(drawing.path.contains('/') && drawing_format(place) != Format::Avif, "{}", drawing.path);
            let small = (drawing.size.0 / 12, drawing.size.1 / 12);
            let pixels = draw::draw(drawing.scene, small);
            assert_eq!((pixels.width(), pixels.height()), small);
            let mut colours: Vec<_> = pixels.to_rgba8().pixels().map(|pixel| pixel.0).collect();
            colours.sort_unstable();
            colours.dedup();
            assert!(colours.len() > 300, "{}: {} colours", drawing.path, colours.len());
            assert_eq!(pixels, draw::draw(drawing.scene, small), "{} is not the same twice", drawing.path);
        }
    }

    #[test]
    fn the_folder_comes_before_the_embedded_and_a_replacement_before_both() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("photos/2024")).unwrap();
        std::fs::write(folder.path().join("photos/2024/harbour.jpg"), png(3)).unwrap();
        let gallery = Gallery::open(Some(folder.path()), UNIX_EPOCH).unwrap();
        let path = "photos/2024/harbour.jpg";
        let of_folder = gallery.find(path).unwrap();
        assert_eq!((gallery.bytes(&of_folder).unwrap(), of_folder.format), (png(3), Format::Png));
        gallery.replace(path, png(4), UNIX_EPOCH).unwrap();
        let replaced = gallery.find(path).unwrap();
        assert_eq!(gallery.bytes(&replaced).unwrap(), png(4));
        assert_ne!(replaced.identity, of_folder.identity);
        gallery.replace(path, png(4), UNIX_EPOCH).unwrap();
        assert_ne!(gallery.find(path).unwrap().identity, replaced.identity, "replaced by the same bytes");
        assert!(matches!(gallery.find("art/marble.jpg").unwrap().content, Content::Drawing(_)));
    }

    #[test]
    fn err_a_replacement_must_be_a_picture_in_place_of_an_embedded_one() {
        let gallery = Gallery::open(None, UNIX_EPOCH).unwrap();
        let replace = |path, bytes| gallery.replace(path, bytes, UNIX_EPOCH);
        assert!(matches!(replace("photos/new.jpg", png(2)), Err(Refusal::NotReplaceable(_))));
        assert!(matches!(replace("art/marble.jpg", Bytes::from_static(b"no")), Err(Refusal::NotAPicture(_))));
        assert!(matches!(gallery.find("art/marble.jpg").unwrap().content, Content::Drawing(_)));
    }

    #[test]
    fn err_nothing_outside_the_folder_is_found() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.png"), png(2)).unwrap();
        let folder = outside.path().join("images");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("inside.png"), png(2)).unwrap();
        let gallery = Gallery::open(Some(&folder), UNIX_EPOCH).unwrap();
        assert!(gallery.find("inside.png").is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(outside.path().join("secret.png"), folder.join("link.png")).unwrap();
            symlink(outside.path(), folder.join("up")).unwrap();
            symlink(folder.join("inside.png"), folder.join("alias.png")).unwrap();
            assert!(gallery.find("alias.png").is_ok(), "a link that stays inside is followed");
        }
        // `address.rs` lets no dot segment through; this holds even if it did.
        let absolute = outside.path().join("secret.png").to_str().unwrap().to_owned();
        for path in ["link.png", "up/secret.png", "../secret.png", absolute.as_str(), "nothing.png", "up"] {
            assert!(matches!(gallery.find(path), Err(Refusal::NotFound(_))), "{path}");
        }
        assert!(Gallery::open(Some(&folder.join("nothing")), UNIX_EPOCH).is_err());
        assert!(Gallery::open(Some(&folder.join("inside.png")), UNIX_EPOCH).is_err());
    }

    #[test]
    fn err_a_file_of_another_kind_is_refused_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), "text").unwrap();
        let large = File::create(folder.path().join("b.jpg")).unwrap();
        large.set_len(limits::DEMO_SOURCE_BYTES_MAX + 1).unwrap();
        let gallery = Gallery::open(Some(folder.path()), UNIX_EPOCH).unwrap();
        assert!(matches!(gallery.find("a.jpg"), Err(Refusal::NotAPicture(_))));
        assert!(matches!(gallery.find("b.jpg"), Err(Refusal::FileTooLarge)));
    }
}
