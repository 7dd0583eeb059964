//! `freshet serve`: runs a server until it is told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};

use super::say;
use freshet::app::{App, Inherited};
use freshet::clock::Clock;
use freshet::config::{self, Account, Config};
use freshet::limits::{DESCRIPTORS_OF_PROCESS, DESCRIPTORS_OF_THREAD, DESCRIPTORS_RESERVED};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The picture that a first run tries.
const PICTURE: &str = "/photos/2024/harbour.jpg?tr=w-300,h-200";

/// Serves until SIGTERM or Ctrl-C; a second signal ends the process at once.
pub fn run(path: Option<&Path>) -> ExitCode {
    let (mut config, name) = match config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => return super::bad_config(&error),
    };
    super::log(config.log.format, &config.log.level);
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Err(error) = fit_to_descriptors(&mut config.proxy) {
        return failed(&error);
    }
    let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        // Before the listeners: a signal that comes early is not lost.
        let signals = runtime.block_on(async { Signals::new() })?;
        Ok((runtime, signals))
    });
    let (runtime, signals) = match served {
        Ok(served) => served,
        Err(error) => return failed(&error),
    };
    let is_started = Arc::new(AtomicBool::new(false));
    let told = match listen(runtime, signals, is_started.clone()) {
        Ok(told) => told,
        Err(error) => return failed(&error),
    };
    let inherited = match Inherited::from_environment() {
        Ok(inherited) => inherited,
        Err(error) => return failed(&format!("a listener that was handed over is not usable: {error}")),
    };
    let app = match App::start_on(config.clone(), Clock::system(), inherited) {
        Ok(app) => app,
        Err(error) => return failed(&error),
    };
    let file = path.map(Path::to_owned);
    app.reload_by(move || {
        let (mut config, _) = config::load(file.as_deref())?;
        // The threads that there are stay: what fitted at the start does.
        if let Err(error) = fit_to_descriptors(&mut config.proxy) {
            tracing::warn!("{error}");
        }
        Ok(config)
    });
    welcome(&config, &name, &app);
    notify(&[NotifyState::Ready]);
    is_started.store(true, Ordering::SeqCst);
    while told.recv() == Ok(Told::Reload) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
        let _ = app.reload(); // It has said in the log how it went.
        notify(&[NotifyState::Ready]);
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!(
        "stopping; running answers have {:?}, a second signal ends at once",
        config.proxy.drain_timeout
    );
    tracing::info!("{}", app.metrics().line());
    app.stop();
    ExitCode::SUCCESS
}

/// Takes as many file descriptors as the system grants, and no more clients than they allow for: where clients
/// took the last one, neither an origin nor the admin listener could be reached. An error where there are too few for the
/// process itself.
fn fit_to_descriptors(proxy: &mut config::Proxy) -> Result<(), String> {
    let granted = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(granted) => granted,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is unknown");
            return Ok(());
        }
    };
    let (threads, wanted) = (proxy.threads, proxy.connections_max);
    let Some(for_clients) = for_clients(granted, threads) else {
        return Err(format!(
            "the limit of open files, {granted}, is too low for proxy.threads = {threads}; raise it (ulimit -n, \
             LimitNOFILE), or take fewer threads"
        ));
    };
    if for_clients < wanted {
        tracing::warn!(
            granted,
            "proxy.connections_max = {wanted} is more than the limit of open files allows: {for_clients}"
        );
        proxy.connections_max = for_clients;
    }
    Ok(())
}

/// How many descriptors clients may take, of all that are granted; nothing where there is none for them.
fn for_clients(granted: u64, threads: usize) -> Option<usize> {
    let own = DESCRIPTORS_OF_PROCESS + DESCRIPTORS_OF_THREAD * threads as u64;
    let left = granted.checked_sub(own)?;
    let for_clients = left - DESCRIPTORS_RESERVED.min(left / 2);
    (left >= 2).then_some(usize::try_from(for_clients).unwrap_or(usize::MAX))
}

/// Tells the service manager, where there is one (sd_notify(3)).
fn notify(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    super::complain(format!("freshet: {error}"));
    ExitCode::from(super::FAILED)
}

/// Listens to signals on a thread of its own, whatever the process waits for: one that asks for the end before it has
/// started, or for the second time, ends it at once; the others are handed on.
fn listen(
    runtime: Runtime,
    mut signals: Signals,
    is_started: Arc<AtomicBool>,
) -> std::io::Result<Receiver<Told>> {
    let (hand_on, told) = mpsc::channel();
    let mut is_stopping = false;
    let listening = move || {
        loop {
            let signal = runtime.block_on(signals.next());
            if signal == Told::Stop && (is_stopping || !is_started.load(Ordering::SeqCst)) {
                tracing::warn!("stopped at once");
                std::process::exit(i32::from(is_stopping));
            }
            is_stopping |= signal == Told::Stop;
            if hand_on.send(signal).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listening)?;
    Ok(told)
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// To end.
    Stop,
    /// To read the config again.
    Reload,
}

/// The signals that a server listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens for them from now on.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

/// Says where everything is, and what to try first. On standard output: the log goes to the other one.
fn welcome(config: &Config, name: &str, app: &App) {
    say(format!("Freshet {}, by {name}", env!("CARGO_PKG_VERSION")));
    say(format!("  images       http://{}", app.proxy));
    if let Some(tls) = app.tls {
        say(format!("  images       https://{tls}"));
    }
    let admin = admin_url(config, app);
    say(format!("  purge API    {admin}"));
    say(format!("  dashboard    {admin}/"));
    if let Some(origin) = app.demo_origin {
        say(format!("  demo origin  http://{origin}"));
    }
    for account in &config.accounts {
        say(format!("  account      {}: {}", account.id, account.url_endpoints[0]));
    }
    let demo = config.accounts.iter().find_map(|account| Some((account, account.demo_key.as_deref()?)));
    if let Some((account, key)) = demo {
        try_out(account, key, &admin);
    }
}

fn admin_url(config: &Config, app: &App) -> String {
    let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", app.admin)
}

fn try_out(account: &Account, key: &str, admin: &str) {
    let image = format!("{}{PICTURE}", account.url_endpoints[0]);
    let purge = format!("{admin}/v1/files/purge");
    say(format!("  private key  {key}"));
    say("\nTry, in another terminal: an image (twice: a miss, then a hit), and its purge.");
    say(format!("  curl -sS -o harbour.jpg -D - '{image}'"));
    say(format!(
        "  curl -sS -u {key}: -H 'content-type: application/json' -d '{{\"url\": \"{image}\"}}' {purge}"
    ));
    say(format!("  curl -sS -u {key}: {purge}/REQUEST_ID"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_threads_origins_and_admin_leave() {
        #[rustfmt::skip]
        let table = [
            // granted, threads, for clients
            (1_048_576,   2,     Some(1_048_013)),
            (65_536,      64,    Some(64_663)),
            (1024,        2,     Some(487)),
            (256,         2,     Some(103)),
            (256,         16,    Some(68)),
            (256,         64,    None),
            (52,          2,     None),
            (53,          2,     Some(1)),
            (0,           1,     None),
        ];
        for (granted, threads, expected) in table {
            assert_eq!(for_clients(granted, threads), expected, "{granted} for {threads} threads");
        }
    }
}
