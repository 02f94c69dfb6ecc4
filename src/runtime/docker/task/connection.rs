//! A connection to the engine: a ping, a list, then its events, further pings, and a list from time
//! to time, until one of them fails.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use docker_api::opts::{EventFilter, EventFilterType, EventsOpts};
use futures_util::StreamExt;
use tokio::time::{Instant, interval_at, sleep};

use super::list;
use crate::runtime::docker::DockerConfig;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::events::{ACTIONS, EngineEvent};
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::engine::{CallError, Engine};
use crate::runtime::output::Outputs;

/// Pause between two pings, and time limit of one. Nothing else shows that an engine hangs: it still
/// accepts connections and keeps the stream of events open.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two lists.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How far before the list events are asked for, so that none is lost between the list and the start
/// of the stream. Events that come twice do no harm. If clocks differ by more than this, the next
/// list shows what was missed.
const OVERLAP: Duration = Duration::from_secs(2);

/// Runs until the connection is lost, and then sends [`ActorMessage::Disconnected`]. `known` is the
/// context of an earlier connection.
pub(in crate::runtime::docker) async fn run(
    config: Arc<DockerConfig>,
    outputs: Outputs,
    known: Option<Arc<EngineContext>>,
    actor: ActorHandle,
) {
    let Err(error) = connect(config, outputs, known, &actor).await;
    actor.send(ActorMessage::Disconnected(error.to_string()));
}

async fn connect(
    config: Arc<DockerConfig>,
    outputs: Outputs,
    known: Option<Arc<EngineContext>>,
    actor: &ActorHandle,
) -> Result<Infallible, CallError> {
    let engine = Engine::new(&config.spec.host)?;
    engine.ping(PING_TIMEOUT).await?;
    let context = match known {
        Some(context) => context,
        None => Arc::new(EngineContext::look_up(engine, config, outputs).await?),
    };
    let since = SystemTime::now() - OVERLAP;
    let listing = list::take(&context).await?;
    actor.send(ActorMessage::Connected(Arc::clone(&context), listing));
    tokio::select! {
        error = events(&context, since, actor) => error,
        error = pings(&context) => error,
        error = lists(actor) => error,
    }
}

async fn events(
    context: &EngineContext,
    since: SystemTime,
    actor: &ActorHandle,
) -> Result<Infallible, CallError> {
    let seconds = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut filters = vec![EventFilter::Type(EventFilterType::Container)];
    filters.extend(ACTIONS.map(|action| EventFilter::Event(action.to_owned())));
    let options = EventsOpts::builder().since(seconds.cast_signed()).filter(filters).build();
    let mut stream = context.engine.docker().events(&options);
    while let Some(event) = stream.next().await {
        // After a line that cannot be read, others may be missing; a new connection begins with a list.
        let event = event.map_err(|error| context.engine.error(error))?;
        if let Some(event) = EngineEvent::parse(event, context.config.discover.as_ref()) {
            actor.send(ActorMessage::Event(event));
        }
    }
    Err(CallError::Unreachable(format!("the engine at {} ended its events", context.engine.host())))
}

async fn pings(context: &EngineContext) -> Result<Infallible, CallError> {
    loop {
        sleep(PING_EVERY).await;
        context.engine.ping(PING_TIMEOUT).await?;
    }
}

async fn lists(actor: &ActorHandle) -> Result<Infallible, CallError> {
    let mut due = interval_at(Instant::now() + LIST_EVERY, LIST_EVERY);
    loop {
        due.tick().await;
        actor.send(ActorMessage::ListDue);
    }
}
