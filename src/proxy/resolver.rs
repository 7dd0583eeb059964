//! Names of origins → addresses, by the system's resolver.
//!
//! That one may take as long as it likes: it blocks a thread of its own, never one that serves, and never more than
//! `LOOKUPS_MAX` of them. Of one name one look-up is under way at a time; all who connect meanwhile wait for it. Where it
//! fails, or has nothing to say for `LOOKUP_PATIENCE`, the addresses that it told last are used, for `ADDRESSES_KEPT`: it
//! does not tell how long they hold. An address in place of a name is never looked up.
//!
//! Lock: `known`, a leaf.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::dial::interleaved;
use crate::limits::{ADDRESSES_KEPT, ADDRESSES_MAX, LOOKUP_PATIENCE, LOOKUPS_MAX};

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up; all origins share one.
pub struct Resolver {
    look_up: Box<LookUp>,
    threads: Arc<Semaphore>,
}

impl Resolver {
    /// The system's.
    pub fn system() -> Arc<Resolver> {
        Resolver::by(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    /// One that asks `look_up`, which may block.
    fn by(
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Arc<Resolver> {
        Arc::new(Resolver { look_up: Box::new(look_up), threads: Arc::new(Semaphore::new(LOOKUPS_MAX)) })
    }

    /// Asks, in a thread of its own.
    async fn ask(self: Arc<Resolver>, host: Arc<str>, port: u16) -> io::Result<Vec<SocketAddr>> {
        let permit = self.threads.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (sender, found) = oneshot::channel();
        let look_up = move || {
            // Nobody may wait for it any more.
            let _ = sender.send((self.look_up)(&host, port));
            drop(permit);
        };
        thread::Builder::new().name("resolver".into()).spawn(look_up)?;
        found.await.map_err(io::Error::other)?
    }
}

/// What a look-up brought: addresses, or why not. Shared by all who waited for it.
type Answer = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

/// A host and a port, and what is known of where they are.
pub struct Name {
    resolver: Arc<Resolver>,
    host: Arc<str>,
    port: u16,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    last: Option<(Instant, Arc<[SocketAddr]>)>,
    /// Since when, and where its answer comes.
    under_way: Option<(Instant, watch::Receiver<Option<Answer>>)>,
}

/// What a caller has to go by.
struct Asked {
    answer: watch::Receiver<Option<Answer>>,
    /// What the look-up before told, if that can still be used.
    last: Option<Arc<[SocketAddr]>>,
    /// When the resolver has been waited for long enough, if that can.
    patience_end: Instant,
}

impl Name {
    /// `host` is a name, or an address without brackets.
    pub fn new(resolver: Arc<Resolver>, host: &str, port: u16) -> Arc<Name> {
        Arc::new(Name { resolver, host: host.into(), port, known: Mutex::default() })
    }

    /// Where it is, at least one address, in the order in which they are to be tried. Where nothing is known of it yet,
    /// this takes as long as the resolver does.
    pub async fn addresses(self: &Arc<Name>) -> io::Result<Arc<[SocketAddr]>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok([SocketAddr::new(address, self.port)].into());
        }
        let Asked { mut answer, last, patience_end } = self.asked();
        let told = async {
            let answer = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
            match answer.as_ref().expect("it was waited for") {
                Ok(addresses) => Ok(addresses.clone()),
                Err(error) => Err(copied(error)),
            }
        };
        let Some(last) = last else { return told.await };
        match timeout_at(patience_end, told).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => {
                tracing::debug!(%error, host = &*self.host, "the resolver fails; its last answer is used");
                Ok(last)
            }
            Err(_) => {
                tracing::debug!(host = &*self.host, "the resolver is slow; its last answer is used");
                Ok(last)
            }
        }
    }

    /// Begins a look-up, unless one is under way.
    fn asked(self: &Arc<Name>) -> Asked {
        let mut known = self.known.lock();
        known.last.take_if(|(since, _)| since.elapsed() > ADDRESSES_KEPT);
        let last = known.last.as_ref().map(|(_, addresses)| addresses.clone());
        // One whose sender is gone has ended with the thread that it ran on.
        if let Some((since, answer)) =
            known.under_way.as_ref().filter(|(_, answer)| answer.has_changed().is_ok())
        {
            return Asked { answer: answer.clone(), last, patience_end: *since + LOOKUP_PATIENCE };
        }
        let now = Instant::now();
        let (sender, answer) = watch::channel(None);
        known.under_way = Some((now, answer.clone()));
        let name = self.clone();
        // In a task of its own: whoever began it may give up before it ends, and others wait for it too.
        tokio::spawn(async move {
            let found = name.resolver.clone().ask(name.host.clone(), name.port).await;
            sender.send_replace(Some(name.learn(found)));
        });
        Asked { answer, last, patience_end: now + LOOKUP_PATIENCE }
    }

    fn learn(&self, found: io::Result<Vec<SocketAddr>>) -> Answer {
        let answer = match found.map(interleaved) {
            Ok(addresses) if addresses.is_empty() => Err(Arc::new(io::ErrorKind::NotFound.into())),
            Ok(mut addresses) => {
                addresses.truncate(ADDRESSES_MAX);
                Ok(addresses.into())
            }
            Err(error) => Err(Arc::new(error)),
        };
        let mut known = self.known.lock();
        known.under_way = None;
        if let Ok(addresses) = &answer {
            known.last = Some((Instant::now(), Arc::clone(addresses)));
        }
        answer
    }
}

/// Errors of the system can't be cloned.
fn copied(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    /// What the resolver of a test says next; it waits until it is told.
    type Script = mpsc::Sender<io::Result<Vec<SocketAddr>>>;

    fn scripted() -> (Script, Arc<AtomicUsize>, Arc<Name>) {
        let (script, answers) = mpsc::channel();
        let (answers, asked) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        let resolver = Resolver::by(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            answers.lock().recv().unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        });
        (script, asked, Name::new(resolver, "origin.test", 80))
    }

    #[tokio::test]
    async fn addresses_are_not_looked_up() {
        let (_script, asked, known) = scripted();
        for host in ["192.0.2.7", "2001:db8::7"] {
            let name = Name::new(known.resolver.clone(), host, 80);
            assert_eq!(*name.addresses().await.unwrap(), [SocketAddr::new(host.parse().unwrap(), 80)]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn all_who_wait_share_one_look_up_also_where_its_first_one_gave_up() {
        let (script, asked, name) = scripted();
        let first = tokio::spawn({
            let name = name.clone();
            async move { name.addresses().await }
        });
        tokio::task::yield_now().await;
        first.abort();
        let others: Vec<_> = (0..50)
            .map(|_| {
                let name = name.clone();
                tokio::spawn(async move { name.addresses().await })
            })
            .collect();
        tokio::task::yield_now().await;
        script.send(Ok(vec![address(1)])).unwrap();
        for other in others {
            assert_eq!(*other.await.unwrap().unwrap(), [address(1)]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn last_addresses_stand_in_for_a_resolver_that_fails_or_is_silent() {
        let (script, asked, name) = scripted();
        script.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(*name.addresses().await.unwrap(), [address(1)]);
        script.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        assert_eq!(*name.addresses().await.unwrap(), [address(1)], "it fails");
        assert_eq!(*name.addresses().await.unwrap(), [address(1)], "it is silent");
        // What it says in the end is known from then on.
        script.send(Ok(vec![address(2)])).unwrap();
        while name.known.lock().under_way.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert_eq!(*name.addresses().await.unwrap(), [address(2)], "it is silent again");
    }

    #[tokio::test]
    async fn nothing_stands_in_where_nothing_was_known_or_for_too_long() {
        let (script, _, name) = scripted();
        script.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        assert_eq!(name.addresses().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        script.send(Ok(Vec::new())).unwrap();
        assert_eq!(name.addresses().await.unwrap_err().kind(), io::ErrorKind::NotFound, "it knows of none");
        let Some(long_ago) = Instant::now().checked_sub(2 * ADDRESSES_KEPT) else { return };
        name.known.lock().last = Some((long_ago, [address(1)].into()));
        script.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        assert_eq!(name.addresses().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn look_up_that_ended_with_its_runtime_is_begun_anew() {
        let (script, asked, name) = scripted();
        let begun = name.clone();
        let ended = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                tokio::select! { biased; _ = begun.addresses() => panic!("nothing was told"), () = tokio::task::yield_now() => {} }
            });
        });
        ended.join().unwrap();
        script.send(Ok(vec![address(1)])).unwrap(); // To nobody, or to the next.
        script.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(*name.addresses().await.unwrap(), [address(1)]);
        assert!(asked.load(Ordering::SeqCst) <= 2);
    }
}
