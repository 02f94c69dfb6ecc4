//! One connection to the engine: found, listed, then its events, a ping now and then, and a list
//! once in a while, until one of them fails.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use docker_api::opts::{EventFilter, EventFilterType, EventsOpts};
use futures_util::StreamExt;
use tokio::time::{Instant, interval_at, sleep};

use super::list;
use crate::runtime::docker::DockerConfig;
use crate::runtime::docker::hint::{self, ACTIONS};
use crate::runtime::docker::place::Place;
use crate::runtime::docker::report::{Report, Reporter};
use crate::runtime::engine::Engine;
use crate::runtime::engine::raw::CallError;

/// Pause between two pings, and the time one may take. A hung engine accepts connections and
/// keeps the stream of events open, so that nothing else would tell.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two lists.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How far back events are asked for: what happens between the list and the moment at which the
/// engine begins to send is not lost then. What is told twice does no harm. Clocks that differ
/// by more leave that to the next list.
const OVERLAP: Duration = Duration::from_secs(2);

/// Reports [`Report::Lost`] at its end.
pub(in crate::runtime::docker) async fn run(
    config: Arc<DockerConfig>,
    known: Option<Arc<Place>>,
    reporter: Reporter,
) {
    let Err(error) = connection(config, known, &reporter).await;
    reporter.send(Report::Lost(error.to_string()));
}

async fn connection(
    config: Arc<DockerConfig>,
    known: Option<Arc<Place>>,
    reporter: &Reporter,
) -> Result<Infallible, CallError> {
    let engine = Engine::new(&config.spec.host)?;
    engine.ping(PING_TIMEOUT).await?;
    let place = match known {
        Some(place) => place,
        None => Arc::new(Place::find(engine, config).await?),
    };
    let since = SystemTime::now() - OVERLAP;
    let listing = list::take(&place).await?;
    reporter.send(Report::Connected(Arc::clone(&place), listing));
    tokio::select! {
        error = events(&place, since, reporter) => error,
        error = pings(&place) => error,
        error = lists(reporter) => error,
    }
}

async fn events(place: &Place, since: SystemTime, reporter: &Reporter) -> Result<Infallible, CallError> {
    let seconds = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut filters = vec![EventFilter::Type(EventFilterType::Container)];
    filters.extend(ACTIONS.map(|action| EventFilter::Event(action.to_owned())));
    let options = EventsOpts::builder().since(seconds.cast_signed()).filter(filters).build();
    let mut stream = place.engine.docker().events(&options);
    while let Some(event) = stream.next().await {
        // A line that cannot be read means that others may be missing; the next list has it all.
        let event = event.map_err(|error| place.engine.error(error))?;
        if let Some(hint) = hint::of(event, place.config.discover.as_ref()) {
            reporter.send(Report::Hint(hint));
        }
    }
    Err(CallError::Unreachable(format!("the engine at {} ended its events", place.engine.host())))
}

async fn pings(place: &Place) -> Result<Infallible, CallError> {
    loop {
        sleep(PING_EVERY).await;
        place.engine.ping(PING_TIMEOUT).await?;
    }
}

async fn lists(reporter: &Reporter) -> Result<Infallible, CallError> {
    let mut due = interval_at(Instant::now() + LIST_EVERY, LIST_EVERY);
    loop {
        due.tick().await;
        reporter.send(Report::ListDue);
    }
}
