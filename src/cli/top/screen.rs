//! The terminal: taken for the page, and given back as it was, whatever happens.

use std::io::{self, IsTerminal, stdin, stdout};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use tokio::sync::mpsc::Sender;

use super::draw;
use super::model::{Input, Key, Model};

/// How soon the reader of keys notices that nobody listens any more.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether there is a terminal to draw on and to read keys from.
pub(super) fn is_terminal() -> bool {
    stdout().is_terminal() && stdin().is_terminal()
}

/// The terminal, in our hands until it is dropped.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        // A panic may be the end without a drop.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| draw::draw(frame, model)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Where it fails there is no terminal left to restore.
fn restore() {
    let _ = ratatui::try_restore();
    let _ = execute!(stdout(), Show);
}

/// Sends what is typed, in a thread of its own, until nobody listens.
pub(super) fn read_keys(send: Sender<Input>) {
    std::thread::spawn(move || {
        while !send.is_closed() {
            let input = match event::poll(PAUSE) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let input = match input {
                Ok(Event::Key(key)) => key_of(key).map(Input::Key),
                Ok(Event::Resize(..)) => Some(Input::Resized),
                Ok(_) => None,
                // The terminal is gone; there is nobody to show anything.
                Err(_) => Some(Input::Key(Key::Quit)),
            };
            if let Some(input) = input
                && send.blocking_send(input).is_err()
            {
                return;
            }
        }
    });
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => Some(Key::Quit),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Char(letter) if !control => Some(Key::Letter(letter)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let key = |code, modifiers| key_of(KeyEvent::new(code, modifiers));
        let plain = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(key(KeyCode::Char('c'), plain), Some(Key::Letter('c')));
        assert_eq!(key(KeyCode::Char('k'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::Char('?'), KeyModifiers::SHIFT), Some(Key::Letter('?')));
        assert_eq!(key(KeyCode::Esc, plain), Some(Key::Escape));
        assert_eq!(key(KeyCode::Home, plain), None);
        let mut released = KeyEvent::new(KeyCode::Char('k'), plain);
        released.kind = KeyEventKind::Release;
        assert_eq!(key_of(released), None);
    }
}
