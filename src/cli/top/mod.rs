//! `ringherd top`: a running balancer in a terminal, as it changes.
//!
//! `model` is the state, and decides what a key does; `draw` draws it; `feed` reads from the balancer;
//! `screen` is the terminal. This file runs the loop.

mod draw;
mod feed;
mod log;
mod model;
mod screen;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use clap::{ArgMatches, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinError, JoinSet};

use self::model::{Action, Effect, Input, Model};
use self::screen::Screen;
use super::admin::{Session, arguments, pool, run as ask};
use super::{Exit, Failure};

const LONG_ABOUT: &str = "\
Shows a running balancer in this terminal: its ring, its replicas with the requests that each should get \
and gets, and what happens. Of several pools it shows one. It asks the admin API, and says so when that does not answer.

Keys: arrows select a replica, a adds one, d drains it (or gives it weight 100 again), r removes it, k \
kills it, ? helps, q ends.";

/// Inputs that may wait: more than the events that come at once in the beginning.
const WAITING: usize = 1024;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// The subcommand `top` with its arguments.
pub fn command() -> Command {
    Command::new("top")
        .about("Watch a running balancer in the terminal")
        .long_about(LONG_ABOUT)
        .args(arguments())
        .arg(pool())
}

/// Shows it until the user has seen enough.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    if !screen::is_terminal() {
        let problem = "top needs a terminal; 'ringherd status' prints how things are";
        return Err(Failure::new(Exit::Usage, problem));
    }
    let pool = matches.get_one::<String>("pool").cloned();
    ask(matches, async |session| watch(session, pool).await)
}

/// Shows the pool of this name, or the first.
async fn watch(session: Session, pool: Option<String>) -> Result<(), Failure> {
    // What is wrong from the beginning is said before the screen changes.
    let ring = session.ask(session.client.ring()).await?;
    let client = session.client;
    let mut model = Model::new(client.url().to_string(), pool.clone());
    model.take(Input::Ring(ring));
    let mut end = Endings::new()?;
    let (send, mut inputs) = mpsc::channel(WAITING);
    let mut screen = Screen::open().map_err(|error| broken(&error))?;
    screen::read_keys(send.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn_local(feed::run(client.clone(), pool, send.clone()));
    let began = Instant::now();
    loop {
        screen.draw(&model).map_err(|error| broken(&error))?;
        tokio::select! {
            biased;
            () = end.comes() => return Ok(()),
            Some(task) = tasks.join_next() => has_not_failed(task)?,
            input = inputs.recv() => {
                let Some(input) = input else { return Ok(()) };
                if take_all(&mut model, input, &mut inputs, |action| {
                    tasks.spawn_local(feed::perform(client.clone(), action, send.clone()));
                }) {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(TICK) => {}
        }
        model.take(Input::Time(began.elapsed()));
    }
}

/// Takes `input` and all that wait behind it, so that many are one new picture. Actions are for
/// `perform`. Returns whether it is the end.
fn take_all(
    model: &mut Model,
    input: Input,
    inputs: &mut Receiver<Input>,
    mut perform: impl FnMut(Action),
) -> bool {
    let mut next = Some(input);
    while let Some(input) = next {
        match model.take(input) {
            Some(Effect::Quit) => return true,
            Some(Effect::Ask(action)) => perform(action),
            None => {}
        }
        next = inputs.try_recv().ok();
    }
    false
}

/// A task that panicked has given the terminal back, on which nothing more must be drawn.
fn has_not_failed(task: Result<(), JoinError>) -> Result<(), Failure> {
    task.map_err(|error| Failure::new(Exit::Internal, format!("top has failed, which is a defect: {error}")))
}

/// Signals that ask for the end, which the terminal must survive.
struct Endings([Signal; 3]);

impl Endings {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Internal, format!("cannot hear signals: {error}")))
        };
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(listen);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    async fn comes(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Output, format!("the terminal cannot be used: {error}"))
}
