//! `freshet serve`: runs a server until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use super::say;
use freshet::app::{App, Inherited};
use freshet::clock::Clock;
use freshet::config::{self, Account, Config};
use freshet::limits::DESCRIPTORS_RESERVED;
use sd_notify::NotifyState;
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
    fit_to_descriptors(&mut config.proxy.connections_max);
    let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        // Before the listeners: a signal that comes early is not lost.
        let signals = runtime.block_on(async { Signals::new() })?;
        Ok((runtime, signals))
    });
    let (runtime, mut signals) = match served {
        Ok(served) => served,
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
        fit_to_descriptors(&mut config.proxy.connections_max);
        Ok(config)
    });
    welcome(&config, &name, &app);
    notify(&[NotifyState::Ready]);
    while runtime.block_on(signals.next()) == Told::Reload {
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
    std::thread::spawn(move || {
        while runtime.block_on(signals.next()) == Told::Reload {}
        tracing::warn!("stopped at once");
        std::process::exit(1);
    });
    tracing::info!("{}", app.metrics().line());
    app.stop();
    ExitCode::SUCCESS
}

/// Takes as many file descriptors as the system grants, and no more clients than they allow for: where clients
/// took the last one, neither an origin nor the admin listener could be reached.
fn fit_to_descriptors(connections_max: &mut usize) {
    let granted = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(granted) => granted,
        Err(error) => return tracing::warn!(%error, "the limit of open files is unknown"),
    };
    let for_clients = granted - DESCRIPTORS_RESERVED.min(granted / 2);
    let for_clients = usize::try_from(for_clients).unwrap_or(usize::MAX);
    if for_clients < *connections_max {
        tracing::warn!(
            granted,
            "proxy.connections_max = {connections_max} is more than the limit of open files allows: {for_clients}"
        );
        *connections_max = for_clients;
    }
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
    say(format!("  purge API    http://{}", app.admin));
    say(format!("  dashboard    http://{}/", app.admin));
    if let Some(origin) = app.demo_origin {
        say(format!("  demo origin  http://{origin}"));
    }
    for account in &config.accounts {
        say(format!("  account      {}: {}", account.id, account.url_endpoints[0]));
    }
    let demo = config.accounts.iter().find_map(|account| Some((account, account.demo_key.as_deref()?)));
    if let Some((account, key)) = demo {
        try_out(account, key, app);
    }
}

fn try_out(account: &Account, key: &str, app: &App) {
    let image = format!("{}{PICTURE}", account.url_endpoints[0]);
    let purge = format!("http://{}/v1/files/purge", app.admin);
    say(format!("  private key  {key}"));
    say("\nTry, in another terminal: an image (twice: a miss, then a hit), and its purge.");
    say(format!("  curl -sS -o harbour.jpg -D - '{image}'"));
    say(format!(
        "  curl -sS -u {key}: -H 'content-type: application/json' -d '{{\"url\": \"{image}\"}}' {purge}"
    ));
    say(format!("  curl -sS -u {key}: {purge}/REQUEST_ID"));
}
