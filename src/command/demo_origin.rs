//! `freshet demo-origin`: the embedded pictures alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use freshet::clock::Clock;
use freshet::config::LogFormat;
use freshet::demo_origin::{DemoOrigin, MAX_AGE, Settings};

/// Serves until SIGTERM or Ctrl-C.
pub fn run(listen: SocketAddr, images: Option<PathBuf>) -> ExitCode {
    super::log(LogFormat::Text, "info");
    let settings = Settings { listen, images, max_age: MAX_AGE, clock: Clock::system() };
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let origin = DemoOrigin::bind(settings).await.map_err(|error| error.to_string())?;
            super::say(format!(
                "The demo origin serves http://{}/ (a list of its pictures)",
                origin.local_addr()
            ));
            let mut signals = super::serve::Signals::new().map_err(|error| error.to_string())?;
            origin.serve(async move { signals.next().await }).await;
            Ok::<(), String>(())
        })
    });
    match ended.map_err(|error| error.to_string()) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => {
            super::complain(format!("freshet: {error}"));
            ExitCode::from(super::FAILED)
        }
    }
}
