//! What is known of the balancer, and what a key means. Pure: inputs in, effects out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::log;
use crate::client::{Event, EventKind, PastReport, ReplicaReport, ReplicaStats, RingReport, Stats, plain};

/// Seconds of requests that are kept for the picture: as wide as a terminal may be.
const KEPT_RATES: usize = 300;

/// Seconds over which a replica's part of the requests is measured.
const KEPT_PARTS: usize = 10;

/// Lines of events that are kept.
const KEPT_LINES: usize = 200;

/// Of a replica whose weight before it was drained is not known.
const FULL_WEIGHT: u8 = 100;

/// How old figures may be that come once a second.
const FRESH: Duration = Duration::from_secs(4);

/// What comes in.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Key(Key),
    /// The terminal has another size, which the next picture has too.
    Resized,
    /// Time since the beginning.
    Time(Duration),
    Ring(RingReport),
    /// The seconds before the connection.
    Past(PastReport),
    Event(Event),
    /// The stream has ended; why.
    Lost(String),
    /// What became of an action, or why nothing.
    Told(Result<String, String>),
}

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Escape,
    Up,
    Down,
    Letter(char),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Ask(Action),
}

/// What the balancer is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Add,
    /// To weight 0.
    Drain(String),
    /// To the weight it had.
    Restore(String, u8),
    Remove(String),
    Kill(String),
}

/// What lies over the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialog {
    Help,
    Confirm(Action),
}

/// How the balancer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    Live,
    Lost(String),
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) url: String,
    /// The pool that is shown, if it was named.
    pub(super) pool: Option<String>,
    pub(super) link: Link,
    pub(super) ring: Option<RingReport>,
    pub(super) stats: Option<Stats>,
    pub(super) replicas: Vec<ReplicaStats>,
    /// Requests in each of the last seconds, the oldest first.
    pub(super) rates: VecDeque<u64>,
    /// The same by replica.
    parts: BTreeMap<(u32, String), VecDeque<f64>>,
    /// The newest first.
    pub(super) lines: VecDeque<String>,
    /// Number of the selected replica.
    selected: Option<u32>,
    pub(super) dialog: Option<Dialog>,
    /// What became of the last action.
    pub(super) told: Option<Result<String, String>>,
    /// Whether the balancer is still being asked for one. A key that repeats, or a text that is
    /// pasted, must not ask for many.
    is_asking: bool,
    now: Duration,
    heard: Duration,
}

impl Model {
    pub(super) fn new(url: String, pool: Option<String>) -> Self {
        Self {
            url,
            pool,
            link: Link::Connecting,
            ring: None,
            stats: None,
            replicas: Vec::new(),
            rates: VecDeque::new(),
            parts: BTreeMap::new(),
            lines: VecDeque::new(),
            selected: None,
            dialog: None,
            told: None,
            is_asking: false,
            now: Duration::ZERO,
            heard: Duration::ZERO,
        }
    }

    /// Takes an input.
    pub(super) fn take(&mut self, input: Input) -> Option<Effect> {
        match input {
            Input::Key(key) => return self.key(key),
            Input::Resized => {}
            Input::Time(now) => self.now = now,
            Input::Ring(ring) => self.take_ring(ring),
            Input::Past(past) => {
                let rates = past.seconds.iter().map(|second| second.requests_per_second.round() as u64);
                self.rates = rates.collect();
            }
            Input::Event(event) => self.take_event(event),
            Input::Lost(why) => self.link = Link::Lost(plain(&why)),
            Input::Told(told) => {
                self.is_asking = false;
                self.told = Some(told.map(|text| plain(&text)).map_err(|text| plain(&text)));
            }
        }
        None
    }

    /// Where the selected replica is in the list.
    pub(super) fn position(&self) -> Option<usize> {
        self.replicas.iter().position(|replica| Some(replica.number) == self.selected)
    }

    /// Which part of the last seconds' requests a replica got, if there were any.
    pub(super) fn part(&self, replica: &ReplicaStats) -> Option<f64> {
        let sum = |rates: &VecDeque<f64>| rates.iter().sum::<f64>();
        let all: f64 = self.parts.values().map(sum).sum();
        let own = self.parts.get(&(replica.number, replica.name.clone())).map(sum)?;
        (all > 0.0).then(|| own / all)
    }

    /// How long figures have been missing, if they have been.
    pub(super) fn silence(&self) -> Option<Duration> {
        let silence = self.now.saturating_sub(self.heard);
        (self.link == Link::Live && silence > FRESH).then_some(silence)
    }

    fn take_ring(&mut self, ring: RingReport) {
        if self.stats.is_none() {
            self.replicas = ring.replicas.iter().map(unmeasured).collect();
            self.select_somebody();
        }
        self.ring = Some(ring);
    }

    fn take_event(&mut self, event: Event) {
        if self.link != Link::Live {
            self.link = Link::Live;
            self.heard = self.now;
        }
        if let Some(line) = log::line(&event) {
            self.lines.push_front(line);
            self.lines.truncate(KEPT_LINES);
        }
        if let EventKind::Stats(stats) = event.kind {
            self.take_stats(stats);
        }
    }

    fn take_stats(&mut self, stats: Stats) {
        self.heard = self.now;
        push(&mut self.rates, stats.rates.requests_per_second.round() as u64, KEPT_RATES);
        let present = |number: u32, name: &str| {
            stats.replicas.iter().any(|replica| replica.number == number && replica.name == name)
        };
        self.parts.retain(|(number, name), _| present(*number, name));
        for replica in &stats.replicas {
            let rates = self.parts.entry((replica.number, replica.name.clone())).or_default();
            push(rates, replica.requests_per_second, KEPT_PARTS);
        }
        self.replicas.clone_from(&stats.replicas);
        self.select_somebody();
        self.stats = Some(stats);
    }

    /// Keeps the selection, or moves it to the nearest number that is left.
    fn select_somebody(&mut self) {
        let wanted = self.selected.unwrap_or(0);
        let nearest = self.replicas.iter().min_by_key(|replica| replica.number.abs_diff(wanted));
        self.selected = nearest.map(|replica| replica.number);
    }

    fn key(&mut self, key: Key) -> Option<Effect> {
        if key == Key::Quit {
            return Some(Effect::Quit);
        }
        if let Some(dialog) = self.dialog.take() {
            return match (dialog, key) {
                (Dialog::Confirm(action), Key::Letter('y' | 'Y')) => {
                    self.is_asking = true;
                    Some(Effect::Ask(action))
                }
                _ => None,
            };
        }
        self.told = None;
        match key {
            Key::Escape | Key::Letter('q') => return Some(Effect::Quit),
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            Key::Letter('?' | 'h') => self.dialog = Some(Dialog::Help),
            Key::Letter(letter) => self.confirm(letter),
            Key::Quit => {}
        }
        None
    }

    /// Asks back, if `letter` is that of an action.
    fn confirm(&mut self, letter: char) {
        let Some(action) = self.action(letter) else { return };
        if self.is_asking {
            self.told = Some(Err("the change before is not done yet".to_owned()));
        } else {
            self.dialog = Some(Dialog::Confirm(action));
        }
    }

    fn action(&self, letter: char) -> Option<Action> {
        if letter == 'a' {
            return Some(Action::Add);
        }
        let replica = self.replicas.get(self.position()?)?;
        let name = replica.name.clone();
        match letter {
            'd' if replica.weight == 0 => {
                Some(Action::Restore(name, replica.drained_from.unwrap_or(FULL_WEIGHT)))
            }
            'd' => Some(Action::Drain(name)),
            'r' => Some(Action::Remove(name)),
            'k' => Some(Action::Kill(name)),
            _ => None,
        }
    }

    fn step(&mut self, by: isize) {
        let Some(position) = self.position() else { return };
        let last = self.replicas.len().saturating_sub(1);
        let position = position.saturating_add_signed(by).min(last);
        self.selected = self.replicas.get(position).map(|replica| replica.number);
    }
}

fn push<T>(kept: &mut VecDeque<T>, item: T, most: usize) {
    kept.push_back(item);
    if kept.len() > most {
        kept.pop_front();
    }
}

/// A replica before the first figures.
fn unmeasured(report: &ReplicaReport) -> ReplicaStats {
    ReplicaStats {
        pool: String::new(),
        number: report.number,
        name: report.name.clone(),
        state: report.state.clone(),
        note: report.note.clone(),
        weight: report.weight,
        drained_from: report.drained_from,
        slots: report.slots,
        share: report.share,
        in_flight: report.in_flight,
        requests: report.requests,
        requests_per_second: 0.0,
    }
}
