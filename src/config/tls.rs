//! `[tls]`, and the certificates in it and under `[admin]`. Their files are read here once, so that what is wrong with
//! them is said with everything else.

use super::read::Reading;
use super::section::{Section, Value};
use super::types::{Redirect, Tls};
use crate::clock::Clock;
use crate::limits;
use crate::tls::{Identity, Pair};

impl<'a> Reading<'a> {
    /// The section, where the file has it.
    pub(super) fn tls(&mut self, root: &mut Section<'a>) -> Option<Tls> {
        let mut section = root.section("tls", &mut self.problems);
        if !section.is_there() {
            return None;
        }
        let listen = section.address("listen", "127.0.0.1:8443", &mut self.problems);
        let key = section.key("certificates");
        let given = self.array(section.take("certificates"), &key);
        if given.is_empty() {
            let rule = "is missing: at least one, as in [{ certificate = \"cert.pem\", key = \"key.pem\" }]";
            self.problems.add(section.offset, &key, "(none)", rule);
        }
        if given.len() > limits::CERTIFICATES_MAX {
            let rule = format!("at most {} certificates", limits::CERTIFICATES_MAX);
            self.problems.add(section.offset, &key, &given.len().to_string(), rule);
        }
        let certificates = given.into_iter().filter_map(|value| self.pair(value, &key)).collect();
        let redirect = self.redirect(&mut section);
        section.finish(&mut self.problems);
        Some(Tls { listen, certificates, redirect })
    }

    /// A certificate with its key: a table of files.
    pub(super) fn pair(&mut self, value: &'a Value<'a>, key: &str) -> Option<Pair> {
        let Some(table) = value.get_ref().as_table() else {
            self.problems.of(
                value,
                key,
                "must be a table: { certificate = \"cert.pem\", key = \"key.pem\" }",
            );
            return None;
        };
        let mut section = Section::new(Some(table), key, value.span().start);
        let folder = self.folder();
        let file = |section: &mut Section<'a>, name, problems: &mut _| {
            section.parsed(name, problems, |text| match text {
                "" => Err("must be a file's path"),
                text => Ok(folder.join(text)),
            })
        };
        let certificate = file(&mut section, "certificate", &mut self.problems);
        let private_key = file(&mut section, "key", &mut self.problems);
        let ocsp = file(&mut section, "ocsp", &mut self.problems);
        for (name, found) in [("certificate", &certificate), ("key", &private_key)] {
            if found.is_none() && section.take(name).is_none() {
                self.problems.add(section.offset, &section.key(name), "(none)", "is missing: a file in PEM");
            }
        }
        section.finish(&mut self.problems);
        let pair = Pair { certificate: certificate?, key: private_key?, ocsp };
        match Identity::read(&pair) {
            Err(error) => self.problems.of(value, key, error),
            Ok(identity) => self.warn_of_expiry(&pair, &identity),
        }
        Some(pair)
    }

    fn warn_of_expiry(&mut self, pair: &Pair, identity: &Identity) {
        if identity.valid_until() <= Clock::system().wall() {
            let (file, until) =
                (pair.certificate.display(), humantime::format_rfc3339_seconds(identity.valid_until()));
            self.warnings.push(format!("the certificate in the file {file} has expired at {until}"));
        }
    }

    /// `true`, `false`, or the port that clients know.
    fn redirect(&mut self, section: &mut Section<'a>) -> Redirect {
        let is_number = section.take("redirect").is_some_and(|value| value.get_ref().as_integer().is_some());
        if is_number {
            let port = section.integer("redirect", 443, 1..=65_535, &mut self.problems);
            return Redirect::ToPort(u16::try_from(port).unwrap_or(443));
        }
        match section.optional_boolean("redirect", &mut self.problems) {
            Some(true) => Redirect::ToListener,
            _ => Redirect::Off,
        }
    }
}
