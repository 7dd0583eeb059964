//! A program on a terminal of its own, and what a person would see on its screen.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const ROWS: u16 = 30;
const COLUMNS: u16 = 120;
/// The longest that a screen is waited for, whatever the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a running program; it is killed when the terminal is dropped.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    output: Receiver<Vec<u8>>,
    keyboard: Box<dyn Write + Send>,
    screen: vt100::Parser,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Runs the real binary with these arguments.
    pub fn freshet(arguments: &[&str]) -> Terminal {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_freshet"));
        command.args(arguments);
        command.env_remove("FRESHET_KEY");
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave); // So that the output ends with the program.
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (tell, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // On Linux the end is an I/O error.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if tell.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        let [rows, columns] = [ROWS, COLUMNS].map(|cells| NonZeroU16::new(cells).unwrap());
        let screen = vt100::Parser::new(rows, columns, 1_000);
        Terminal { child, output, keyboard, screen, _master: pair.master }
    }

    /// Waits until the screen shows this.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => panic!("{error}: {text:?} is not shown:\n{}", self.shown()),
            }
        }
    }

    /// What is on the screen.
    pub fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits for the program's end; its exit code.
    pub fn end(&mut self) -> u32 {
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.screen.process(&bytes);
        }
        self.child.wait().unwrap().exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended on its own.
        let _ = self.child.wait();
    }
}
