//! Listens to the balancer, connects again when it is gone, and has done what the user wants.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::watch;

use super::model::{Action, Input};
use crate::client::{Client, Error, Event, EventKind};

/// Between the end of a stream and the next attempt, and between two looks at the ring.
const PAUSE: Duration = Duration::from_secs(1);

/// Events that are known again: more than a balancer keeps.
const REMEMBERED: usize = 1024;

/// Sends what the balancer tells of the pool of this name, or the first, for as long as somebody listens.
pub(super) async fn run(client: Client, pool: Option<String>, send: Sender<Input>) {
    let mut seen = Seen::default();
    while !send.is_closed() {
        let why = match follow(&client, pool.as_deref(), &mut seen, &send).await {
            Ok(()) => "the balancer has ended the stream".to_owned(),
            Err(error) => error.to_string(),
        };
        let _ = send.send(Input::Lost(why)).await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Follows one stream to its end. It begins with what is kept of the past, and not only with what
/// came after the last event: another balancer may be there by now, whose events have the same
/// numbers.
async fn follow(
    client: &Client,
    pool: Option<&str>,
    seen: &mut Seen,
    send: &Sender<Input>,
) -> Result<(), Error> {
    let mut events = client.events(None).await?;
    let (newest, version) = watch::channel(None);
    let listen = async {
        while let Some(mut event) = events.next().await? {
            if let EventKind::Stats(stats) = event.kind {
                let stats = stats.of_pool(pool);
                newest.send_replace(Some(stats.version));
                event.kind = EventKind::Stats(stats);
            }
            // Without a name, what happens in any is told.
            let is_of_other = pool.is_some_and(|pool| event.kind.pool().is_some_and(|of| of != pool));
            if is_of_other {
                continue;
            }
            if seen.is_new(&event) {
                let _ = send.send(Input::Event(event)).await;
            }
        }
        Ok(())
    };
    // Each at its own pace: a ring that is slow to come holds up no event.
    tokio::select! {
        ended = listen => ended,
        failed = read_rings(client, version, send) => failed,
    }
}

/// Sends what was before, then the ring, and that again when the figures are of another, at most once in [`PAUSE`].
async fn read_rings(
    client: &Client,
    mut newest: watch::Receiver<Option<u64>>,
    send: &Sender<Input>,
) -> Result<(), Error> {
    // An older balancer does not remember them; one that cannot be reached has no ring either.
    if let Ok(past) = client.past().await {
        let _ = send.send(Input::Past(past)).await;
    }
    loop {
        let ring = client.ring().await?;
        let known = ring.version;
        let _ = send.send(Input::Ring(ring)).await;
        tokio::time::sleep(PAUSE).await;
        let is_another = |version: &Option<u64>| version.is_some_and(|version| version != known);
        if newest.wait_for(is_another).await.is_err() {
            return Ok(());
        }
    }
}

/// Which events came already, in this stream or one before it.
#[derive(Default)]
struct Seen(VecDeque<(u64, u64)>);

impl Seen {
    /// Whether it comes for the first time. Numbers alone do not tell: each balancer begins with 1.
    fn is_new(&mut self, event: &Event) -> bool {
        let Some(id) = event.id else { return true };
        if self.0.contains(&(id, event.time)) {
            return false;
        }
        self.0.push_back((id, event.time));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
        true
    }
}

/// Has `action` done, and sends what became of it.
pub(super) async fn perform(client: Client, action: Action, send: Sender<Input>) {
    let told = match &action {
        Action::Add => client.add(1, &[]).await.map(|_| "a replica was added".to_owned()),
        Action::Drain(name) => client
            .set_weight(name, 0)
            .await
            .map(|_| format!("'{name}' has weight 0 and gets no more requests")),
        Action::Restore(name, weight) => {
            client.set_weight(name, *weight).await.map(|_| format!("'{name}' has weight {weight}"))
        }
        Action::Remove(name) => {
            let names = std::slice::from_ref(name);
            client.remove(1, names).await.map(|_| format!("'{name}' is removed"))
        }
        Action::Kill(name) => client.kill(name).await.map(|_| format!("'{name}' is being killed")),
    };
    let _ = send.send(Input::Told(told.map_err(|error| error.to_string()))).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::client::Url;

    const RING: &str = r#"{"family":"modified","probing":"quadratic","slots":512,"virtual_nodes":9,
        "placement":"ring","version":0,"peak_to_average":1.0,"key":"path","bounded_load":null,"replicas":[]}"#;

    /// A publication with this number at this time.
    fn published(id: u64, time: u64) -> String {
        let data = format!(r#"{{"time":{time},"version":{id},"replicas":1}}"#);
        format!("id: {id}\nevent: publish\ndata: {data}\n\n")
    }

    const PAST: &str = r#"{"seconds":[{"time":1,"requests_per_second":7.0,"p50_ms":null}]}"#;

    /// Answers `/ring`, `/statistics`, and `/events` with one of `streams` after the other, each of which ends;
    /// and what it was asked.
    async fn balancer(mut streams: Vec<String>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::local(listener.local_addr().unwrap());
        let record: Arc<Mutex<Vec<String>>> = Arc::default();
        let asked = Arc::clone(&record);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n")
                    && let Ok(byte) = stream.read_u8().await
                {
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                // Who has seen its stream end may leave before it asks for the ring.
                let Some(path) = head.split(' ').nth(1).map(str::to_owned) else { continue };
                let body = match path.as_str() {
                    "/ring" => RING.to_owned(),
                    "/statistics" => PAST.to_owned(),
                    _ if streams.is_empty() => return,
                    _ => streams.remove(0),
                };
                record.lock().unwrap().push(path);
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
                // Or before the ring comes.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (Client::new(url, None), asked)
    }

    #[tokio::test]
    async fn a_balancer_that_is_back_is_read_from_its_beginning_and_nothing_is_told_twice() {
        let first: String = (1..=5).map(|id| published(id, id)).collect();
        // The same goes on; then another began in its place, and has come further.
        let second = first.clone() + &published(6, 6);
        let third: String = (1..=8).map(|id| published(id, 100 + id)).collect();
        let (client, asked) = balancer(vec![first, second, third]).await;
        let (send, mut inputs) = mpsc::channel(99);
        let feed = tokio::spawn(run(client, None, send));
        let (mut times, mut lost) = (Vec::new(), 0);
        while lost < 3 {
            match inputs.recv().await.expect("it goes on for ever") {
                Input::Event(event) => times.push(event.time),
                Input::Lost(_) => lost += 1,
                _ => {}
            }
        }
        feed.abort();
        assert_eq!(times, (1..=6).chain(101..=108).collect::<Vec<u64>>());
        let asked = asked.lock().unwrap();
        assert_eq!(asked.iter().filter(|path| *path == "/events").count(), 3, "{asked:?}");
        // Not once for each publication.
        assert!(asked.len() <= 9, "{asked:?}");
    }

    #[test]
    fn an_event_is_known_by_number_and_time() {
        let mut seen = Seen::default();
        let mut is_new =
            |id, time| seen.is_new(&Event { id, time, kind: EventKind::Other("news".to_owned()) });
        assert!(is_new(Some(1), 5) && is_new(Some(2), 5) && !is_new(Some(1), 5));
        assert!(is_new(Some(1), 6), "that of another balancer");
        assert!(is_new(None, 7) && is_new(None, 7), "figures have no number");
        (0..2 * REMEMBERED as u64).for_each(|id| assert!(is_new(Some(id), 9)));
        assert!(is_new(Some(1), 5) && seen.0.len() == REMEMBERED);
    }
}
