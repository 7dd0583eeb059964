//! The real binary in a process of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running `freshet serve`; killed when it is dropped. Its log is beside its config, with the ending `.log`.
pub struct Binary {
    child: Child,
    log: PathBuf,
    /// Where images are.
    pub proxy: SocketAddr,
    /// Where they are over TLS.
    pub tls: Option<SocketAddr>,
    /// Where the purge API is.
    pub admin: SocketAddr,
}

impl Binary {
    /// Starts it, and reads from its output where it listens.
    pub fn start(config: &Path) -> Binary {
        Binary::start_with(config, &[])
    }

    /// The same, with further variables of the environment.
    pub fn start_with(config: &Path, environment: &[(&str, &str)]) -> Binary {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
        command.args(["serve", "--config"]).arg(config).envs(environment.iter().copied());
        Binary::run(command, config)
    }

    /// A command that becomes the server.
    pub fn run(mut command: Command, config: &Path) -> Binary {
        command.stdin(Stdio::null());
        Binary::spawn(command, config)
    }

    /// One whose standard input is this listener, handed to it as a service manager does.
    pub fn start_on(listener: &TcpListener, config: &Path) -> Binary {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
        command.args(["serve", "--config"]).arg(config);
        command.envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0"), ("LISTEN_FDNAMES", "proxy")]);
        command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
        Binary::spawn(command, config)
    }

    fn spawn(mut command: Command, config: &Path) -> Binary {
        let log = config.with_extension("log");
        let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let (mut proxy, mut tls, mut admin) = (None, None, None);
        // Its output is closed when both are known: a server must live without a reader.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while proxy.is_none() || admin.is_none() {
            let Some(Ok(line)) = lines.next() else {
                panic!("it ended before it said where it is: {}", fs::read_to_string(&log).unwrap());
            };
            let address = |label: &str, scheme: &str| {
                line.trim().strip_prefix(label)?.trim().strip_prefix(scheme)?.parse().ok()
            };
            proxy = proxy.or(address("images", "http://"));
            tls = tls.or(address("images", "https://"));
            admin = admin.or(address("purge API", "http://")).or(address("purge API", "https://"));
        }
        Binary { child, log, proxy: proxy.unwrap(), tls, admin: admin.unwrap() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, as an operator's tools do.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Asks it to stop; its exit code.
    pub fn terminate(self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it has ended; its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended on its own.
        let _ = self.child.wait();
    }
}
