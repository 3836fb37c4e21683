//! `--top`: the terminal, taken and given back.
//!
//! Given back on every way out: a key, a signal, an error ([`Drop`]), a panic (a hook, before its message is printed). It is
//! taken once rights are given up: to draw and to be restored, it needs only descriptors that are open.

use crate::figures::Figures;
use crate::top_view::{self, Look};
use anyhow::{Context as _, Result, bail};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, IsTerminal as _, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two drawings.
const REDRAW: Duration = Duration::from_secs(1);
/// Between two looks for keys.
const LOOK: Duration = Duration::from_millis(100);
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_L: u8 = 12;

/// Is the terminal ours now?
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A view on the terminal.
pub(crate) struct Top {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _guard: Guard,
    look: Look,
    draw_at: Instant,
    look_at: Instant,
    has_keys: bool,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Quit,
    Redraw,
}

impl Asked {
    fn by(key: u8) -> Option<Asked> {
        match key {
            b'q' | b'Q' | CTRL_C | CTRL_D => Some(Asked::Quit),
            CTRL_L => Some(Asked::Redraw),
            _ => None,
        }
    }
}

/// Fails where there is nothing to draw on.
pub(crate) fn check() -> Result<()> {
    if !io::stdout().is_terminal() {
        bail!("--top draws on a terminal, and standard output is none; --format ndjson is for programs");
    }
    Ok(())
}

impl Top {
    /// Takes the terminal.
    pub(crate) fn open(color: bool) -> Result<Top> {
        let has_keys = io::stdin().is_terminal();
        let guard = Guard::take(has_keys).context("preparing the terminal for --top")?;
        let terminal =
            Terminal::new(CrosstermBackend::new(io::stdout())).context("asking for the terminal's size")?;
        let now = Instant::now();
        Ok(Top { terminal, _guard: guard, look: Look { color }, draw_at: now, look_at: now, has_keys })
    }

    /// Is it time to draw?
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.draw_at
    }

    pub(crate) fn draw(&mut self, figures: &Figures) -> io::Result<()> {
        self.draw_at = Instant::now() + REDRAW;
        let look = self.look;
        self.terminal.draw(|frame| top_view::draw(frame, figures, look)).map(drop)
    }

    /// Looks what keys were pressed; true: the user wants no more.
    pub(crate) fn wants_to_quit(&mut self) -> bool {
        if !self.has_keys || Instant::now() < self.look_at {
            return false;
        }
        self.look_at = Instant::now() + LOOK;
        let mut keys = [0; 64];
        let count = self.read_keys(&mut keys);
        let asked: Vec<Asked> = keys.iter().take(count).filter_map(|key| Asked::by(*key)).collect();
        if asked.contains(&Asked::Redraw) {
            // Whatever else was written on the screen goes.
            self.begin_anew();
        }
        asked.contains(&Asked::Quit)
    }

    /// The next drawing draws every cell. (`Terminal::clear` would ask the terminal where its cursor is, and wait.)
    fn begin_anew(&mut self) {
        let _ = execute!(io::stdout(), Clear(ClearType::All));
        if let Ok(terminal) = Terminal::new(CrosstermBackend::new(io::stdout())) {
            self.terminal = terminal;
        }
        self.draw_at = Instant::now();
    }

    fn read_keys(&mut self, keys: &mut [u8]) -> usize {
        let stdin = io::stdin();
        let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
        if !poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
            return 0;
        }
        let count = rustix::io::read(&stdin, keys).unwrap_or(0);
        self.has_keys = count > 0;
        count
    }
}

/// Gives the terminal back when it goes.
struct Guard;

impl Guard {
    fn take(is_raw: bool) -> io::Result<Guard> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        IS_TAKEN.store(true, Ordering::SeqCst);
        let guard = Guard;
        if is_raw {
            enable_raw_mode()?;
        }
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // There is nobody left to tell.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_quit_and_redraw() {
        let asked: Vec<Option<Asked>> = [b'q', b'Q', 3, 4, 12, b'x', 27].map(Asked::by).into();
        let (quit, redraw) = (Some(Asked::Quit), Some(Asked::Redraw));
        assert_eq!(asked, [quit, quit, quit, quit, redraw, None, None]);
    }

    /// Not a test: what the next one runs on a terminal of its own.
    #[test]
    #[ignore = "panics, for the test below"]
    fn panics_while_it_has_the_terminal() {
        let mut top = Top::open(false).unwrap();
        top.draw(&Figures::default()).unwrap();
        panic!("in the middle of it");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        let test = std::env::current_exe().unwrap();
        let name = "top::tests::panics_while_it_has_the_terminal";
        let inside = format!(
            "stty rows 24 cols 80; stty -g; '{}' --ignored --exact {name} --nocapture; stty -g",
            test.display()
        );
        // Of the package bsdutils, which every Debian has: runs it on a new terminal.
        let done =
            std::process::Command::new("script").args(["-qec", &inside, "/dev/null"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("no {what:?} in {said:?}"));
        assert!(at("\u{1b}[?1049h") < at("quits"));
        assert!(at("quits") < at("\u{1b}[?1049l"));
        assert!(at("\u{1b}[?1049l") < at("in the middle of it"));
        assert!(said.rfind("\u{1b}[?25h") > said.rfind("\u{1b}[?25l"), "the cursor is shown again");
        let modes: Vec<&str> =
            said.lines().map(str::trim).filter(|line| line.matches(':').count() > 30).collect();
        assert_eq!(modes.len(), 2, "{said:?}");
        assert_eq!(modes[0], modes[1], "the terminal's modes");
    }
}
