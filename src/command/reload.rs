//! `freshet reload`: has a running server read its config again.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::client::{Answer, Client, Server};
use super::output;

/// What is asked for.
#[derive(Args)]
pub struct Reload {
    #[command(flatten)]
    server: Server,
}

/// Has it read its config, and says what changed.
pub fn run(config: Option<&Path>, arguments: &Reload) -> ExitCode {
    let answer = Client::new(config, &arguments.server)
        .and_then(|client| client.post("/v1/reload", &serde_json::json!({})));
    let body = match answer {
        Ok(Answer::Done(body)) => body,
        Ok(Answer::Refused(refused)) => {
            super::complain(format!("freshet: {}", refused.reason));
            return ExitCode::from(super::FAILED);
        }
        Err(code) => return code,
    };
    let lists = [
        ("changed", "in force now"),
        ("at_start", "at the next start"),
        ("emptied", "purged whole, since its URLs have other keys"),
        ("warnings", "warning"),
    ];
    let lines = lists.iter().flat_map(|(member, what)| {
        let texts = output::list(&body, member).iter().filter_map(serde_json::Value::as_str);
        texts.map(move |text| format!("{what}: {text}"))
    });
    let lines: Vec<String> = lines.collect();
    output::show(if lines.is_empty() { "nothing differs" } else { "the config is read again" });
    output::show(&lines.join("\n"));
    ExitCode::SUCCESS
}
