//! The first of several addresses that connects: each next one is tried beside those before it, once they have had a
//! moment, or at once where one of them has failed (RFC 8305 §5). So an address that swallows everything costs a moment,
//! and not the whole time for connecting.

use std::io;
use std::net::SocketAddr;

use tokio::task::JoinSet;

/// Tries `addresses` by `connect`, `pause` apart; what was not first is given up. The last failure, where all fail.
pub async fn first_of<T, C, P>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> C,
    pause: impl Fn() -> P,
) -> io::Result<T>
where
    T: Send + 'static,
    C: Future<Output = io::Result<T>> + Send + 'static,
    P: Future<Output = ()>,
{
    if let [only] = addresses {
        return connect(*only).await;
    }
    let mut waiting = addresses.iter();
    let mut attempts = JoinSet::new(); // Dropped, it ends them.
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(next) = waiting.next() {
            attempts.spawn(connect(*next));
        }
        let is_last = waiting.as_slice().is_empty();
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => failure = error,
                Err(ended) => failure = io::Error::other(ended),
            },
            () = pause(), if !is_last => {}
            else => return Err(failure),
        }
    }
}

/// Addresses of the two families in turns, the first one's first (RFC 8305 §4), each in its order.
pub fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let first_is_ipv4 = addresses.peek().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv4() == first_is_ipv4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// What an address does.
    #[derive(Clone, Copy)]
    enum Does {
        Connect,
        Refuse,
        Swallow,
    }
    use Does::{Connect, Refuse, Swallow};

    fn address(at: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], u16::try_from(at).unwrap()))
    }

    /// Dials addresses that do so; which one connected, and which were tried. With `pauses_end` false, none is ever
    /// tried for the time that another takes.
    async fn dial(addresses: &[Does], pauses_end: bool) -> (io::Result<usize>, usize) {
        let tried = Arc::new(Mutex::new(0));
        let counted = tried.clone();
        let does = addresses.to_vec();
        let connect = move |address: SocketAddr| {
            *counted.lock() += 1;
            let at = usize::from(address.port());
            let does = does[at];
            async move {
                match does {
                    Connect => Ok(at),
                    Refuse => Err(io::ErrorKind::ConnectionRefused.into()),
                    Swallow => pending().await,
                }
            }
        };
        let pause = || async move { if pauses_end { ready(()).await } else { pending().await } };
        let addresses: Vec<_> = (0..addresses.len()).map(address).collect();
        let connected = first_of(&addresses, connect, pause).await;
        let tried = *tried.lock();
        (connected, tried)
    }

    #[tokio::test]
    async fn address_that_swallows_delays_the_next_by_a_pause_and_no_more() {
        let (connected, _) = dial(&[Swallow, Swallow, Connect, Swallow], true).await;
        assert_eq!(connected.unwrap(), 2);
    }

    #[tokio::test]
    async fn address_that_refuses_makes_room_for_the_next_at_once() {
        let (connected, tried) = dial(&[Refuse, Refuse, Connect, Connect], false).await;
        assert_eq!(
            (connected.unwrap(), tried),
            (2, 3),
            "and what comes after the first that connects is not tried"
        );
    }

    #[tokio::test]
    async fn all_that_fail_are_a_failure() {
        for pauses_end in [false, true] {
            let (connected, tried) = dial(&[Refuse; 5], pauses_end).await;
            assert_eq!((connected.unwrap_err().kind(), tried), (io::ErrorKind::ConnectionRefused, 5));
            assert_eq!(dial(&[], pauses_end).await.0.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        let (connected, tried) = dial(&[Refuse], false).await;
        assert_eq!((connected.unwrap_err().kind(), tried), (io::ErrorKind::ConnectionRefused, 1));
    }

    #[tokio::test]
    async fn earlier_address_is_not_given_up_for_a_later_one() {
        // The first connects only when the second has been tried.
        let second = Arc::new(tokio::sync::Notify::new());
        let connect = |address: SocketAddr| {
            let second = second.clone();
            async move {
                match address.port() {
                    0 => second.notified().await,
                    _ => {
                        second.notify_one();
                        pending().await
                    }
                }
                Ok(address.port())
            }
        };
        let addresses = [address(0), address(1)];
        assert_eq!(first_of(&addresses, connect, || ready(())).await.unwrap(), 0);
    }

    #[test]
    fn families_take_turns() {
        let read =
            |text: &str| text.split_whitespace().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        #[rustfmt::skip]
        let table = [
            // as the system sorts them                  as they are tried
            ("",                                         ""),
            ("1.1.1.1:1 2.2.2.2:1",                      "1.1.1.1:1 2.2.2.2:1"),
            ("[::1]:1 [::2]:1 1.1.1.1:1",                "[::1]:1 1.1.1.1:1 [::2]:1"),
            ("1.1.1.1:1 [::1]:1 [::2]:1 [::3]:1",        "1.1.1.1:1 [::1]:1 [::2]:1 [::3]:1"),
            ("[::1]:1 [::2]:1 1.1.1.1:1 2.2.2.2:1 3.3.3.3:1", "[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 3.3.3.3:1"),
        ];
        for (sorted, expected) in table {
            assert_eq!(interleaved(read(sorted)), read(expected), "{sorted}");
        }
    }
}
