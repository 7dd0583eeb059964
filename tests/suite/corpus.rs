//! The fuzz targets' corpora, fed to the properties of `fuzz/src/lib.rs` in every test run: what was found once stays
//! found, also where there is no nightly toolchain. Also some hundred mutations of each file, always the same ones.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
mod properties;

use properties::PROPERTIES;

/// Mutations of each file.
const MUTATIONS: usize = 500;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files_of(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files =
        fs::read_dir(corpus().join(name)).unwrap_or_else(|error| panic!("the corpus of {name}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A small generator: the same numbers in every run (xorshift64, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// One to four edits: a byte changed, left out or doubled, or a piece of another file put in.
fn mutate(bytes: &mut Vec<u8>, others: &[(PathBuf, Vec<u8>)], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes.insert(at, bytes[at]),
            _ => {
                let other = &others[numbers.below(others.len())].1;
                let from = numbers.below(other.len() + 1);
                let to = other.len().min(from + numbers.below(20));
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
}

#[test]
fn every_file_of_every_corpus_and_its_neighbours_keep_their_properties() {
    for (name, property) in PROPERTIES {
        let files = files_of(name);
        assert!(files.len() > 5, "{name} has a corpus of {} files", files.len());
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
        for (path, bytes) in &files {
            property(bytes);
            for _ in 0..MUTATIONS {
                let mut mutated = bytes.clone();
                mutate(&mut mutated, &files, &mut numbers);
                if catch_unwind(AssertUnwindSafe(|| property(&mutated))).is_err() {
                    panic!(
                        "a mutation of {} breaks {name}: {:?}",
                        path.display(),
                        mutated.escape_ascii().to_string()
                    );
                }
            }
        }
    }
}

#[test]
fn every_target_has_its_file_and_every_corpus_its_property() {
    let manifest = fs::read_to_string(corpus().join("../Cargo.toml")).unwrap();
    for (name, _) in PROPERTIES {
        let target = fs::read_to_string(corpus().join(format!("../targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("freshet_fuzz::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
    }
    let folders = fs::read_dir(corpus()).unwrap().map(|folder| folder.unwrap().file_name());
    for folder in folders {
        let folder = folder.to_string_lossy().into_owned();
        assert!(PROPERTIES.iter().any(|(name, _)| *name == folder), "nobody reads corpus/{folder}");
    }
}
