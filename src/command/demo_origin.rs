//! `freshet demo-origin`: the embedded pictures alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use freshet::clock::Clock;
use freshet::config::LogFormat;
use freshet::demo_origin::{self, MAX_AGE, Settings};

/// Its arguments.
#[derive(Args)]
pub struct DemoOrigin {
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// A folder of pictures (JPEG, PNG, WebP) to serve beside the embedded ones
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
}

/// Serves until SIGTERM or Ctrl-C.
pub fn run(arguments: &DemoOrigin) -> ExitCode {
    super::log(LogFormat::Text, "info");
    let (listen, images) = (arguments.listen, arguments.images.clone());
    let settings = Settings { listen, images, max_age: MAX_AGE, clock: Clock::system() };
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let origin = demo_origin::DemoOrigin::bind(settings).await.map_err(|error| error.to_string())?;
            super::say(format!(
                "The demo origin serves http://{}/ (a list of its pictures)",
                origin.local_addr()
            ));
            let mut signals = super::serve::Signals::new().map_err(|error| error.to_string())?;
            // It has no config to read again.
            origin.serve(async move { while signals.next().await == super::serve::Told::Reload {} }).await;
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
