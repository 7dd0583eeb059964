//! The parts of the load bench that must be fast: an origin, a bare server to compare with, and a client.
//!
//! `scripts/load` starts them, each as a process of its own, and has the rest: the peers, the scenarios, the
//! report. Without a subcommand this tries each part on the others once, so that none can rot: so it runs under
//! `cargo test --benches`.

mod bare;
mod connection;
mod content;
mod drive;
mod origin;

use std::net::TcpListener;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Parts of the load bench; scripts/load runs them")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// What cargo bench adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Serves exact sizes, cacheable: GET /BYTES/any/name; GET /count says how many were asked for.
    Origin {
        #[arg(long)]
        listen: String,
    },
    /// hyper on one current-thread runtime, a look-up in moka, a body: what a cache over hyper can't be below.
    Bare {
        #[arg(long)]
        listen: String,
        /// Fields of an answer, those that hyper adds included.
        #[arg(long, default_value_t = 10)]
        fields: usize,
    },
    /// Asks a server at a constant rate, or as fast as it answers, compares every byte, and prints JSON.
    Drive(Box<drive::Plan>),
}

fn main() {
    content::prepare();
    match Arguments::parse().part {
        Some(Part::Origin { listen }) => origin::serve(bind(&listen)),
        Some(Part::Bare { listen, fields }) => bare::serve(bind(&listen), fields),
        Some(Part::Drive(plan)) => {
            let (report, connections) = drive::run(&plan);
            println!("{report}");
            if plan.hold {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink()); // An error ends it too.
            }
            drop(connections);
        }
        None => try_each(),
    }
}

fn bind(address: &str) -> TcpListener {
    TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// Every order of keys, both paces, on both servers.
fn try_each() {
    for part in ["origin", "bare"] {
        let listener = bind("127.0.0.1:0");
        let to = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || match part {
            "origin" => origin::serve(listener),
            _ => bare::serve(listener, 10),
        });
        for more in [
            ["--order", "one", "--rate", "2000"],
            ["--order", "zipf", "--rate", "0"],
            ["--order", "sequence", "--fresh-share", "0.1"],
        ] {
            let to = to.to_string();
            let fixed =
                ["load", "drive", "--to", &to, "--requests", "200", "--keys", "50", "--connections", "3"];
            let Some(Part::Drive(plan)) = Arguments::parse_from(fixed.iter().chain(&more)).part else {
                panic!("it is a drive")
            };
            let (done, _) = drive::run(&plan);
            assert_eq!((&done["requests"], &done["errors"]), (&200.into(), &0.into()), "{done}");
            println!("{part} {}: {} requests, p50 {} µs", more.join(" "), done["requests"], done["p50_us"]);
        }
    }
}
