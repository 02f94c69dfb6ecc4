//! Requests that wait: for a replica, or at one that became unhealthy.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn a_request_is_taken_back_from_a_replica_that_became_unhealthy() {
    local(async {
        let mut lab = Lab::of(2, ProxyConfig::default(), PoolConfig::default());
        let (mut client, _serving) = lab.client(4096);
        client.send(GET).await;
        let mut first = lab.replica().await;
        let asked = first.read_to("\r\n\r\n").await;
        let hung = lab.busy();
        hung.set_up(false);
        lab.pass(TICK).await;
        let mut second = lab.replica().await;
        assert_eq!(second.read_to("\r\n\r\n").await, asked, "the same request");
        assert_eq!(first.rest().await, "", "the first is told");
        second.send(OK).await;
        client.read_to("ok").await;
        lab.settle().await;
        assert_eq!((hung.in_flight(), hung.failures(), lab.totals().retries), (0, 0, 1));

        // One that may not be repeated stays, and so does one for which there is no other replica.
        hung.set_up(true);
        for request in [post("abcd"), GET.to_owned()] {
            let (mut client, _serving) = lab.client(4096);
            client.send(&request).await;
            lab.settle().await;
            let busy = lab.busy();
            let all = if request == GET { lab.endpoints.clone() } else { vec![busy] };
            for endpoint in &all {
                endpoint.set_up(false);
            }
            lab.pass(TICK * 2).await;
            assert_eq!(lab.totals().retries, 1);
            for endpoint in &all {
                endpoint.set_up(true);
            }
            drop(client);
            lab.settle().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_for_a_replica_that_is_starting() {
    local(async {
        let mut lab = Lab::new();
        lab.endpoints[0].set_up(false);
        // Nobody starts: at once.
        let (mut client, _serving) = lab.client(4096);
        client.send(GET).await;
        assert!(client.read_to("}").await.contains("x-ringherd-error: no-replica\r\n"));
        lab.pool().starting.store(1, Ordering::Relaxed);
        client.send(GET).await;
        lab.pass(PoolConfig::default().wait_for_replica / 2).await;
        assert_eq!(lab.pool().waiting.get(), 1);
        lab.endpoints[0].set_up(true);
        // Its pauses are of tokio's clock.
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.pool().waiting.get(), 0);
        // None comes.
        lab.endpoints[0].set_up(false);
        client.send(GET).await;
        lab.pass(PoolConfig::default().wait_for_replica + TICK * 2).await;
        assert!(client.read_to("}").await.contains("x-ringherd-error: no-replica\r\n"));
    })
    .await;
}

#[tokio::test]
async fn requests_beyond_the_retry_budget_are_taken_back_when_it_has_room() {
    local(async {
        let mut lab = Lab::of(2, ProxyConfig::default(), PoolConfig::default());
        let mut clients = Vec::new();
        for _ in 0..5 {
            let (mut client, serving) = lab.client(4096);
            client.send(GET).await;
            let replica = lab.replica().await;
            clients.push((client, serving, replica));
        }
        lab.settle().await;
        let hung = lab.busy();
        assert_eq!(hung.in_flight(), 5, "they have one key");
        hung.set_up(false);
        lab.pass(TICK * 3).await;
        // Three at a time are allowed; the others follow as these get their responses.
        assert_eq!(hung.in_flight(), 2);
        for left in [1, 0, 0, 0, 0] {
            let mut second = lab.replica().await;
            second.read_to("\r\n\r\n").await;
            second.send(OK).await;
            lab.pass(TICK * 3).await;
            assert_eq!(hung.in_flight(), left);
        }
        for (mut client, ..) in clients {
            client.read_to("ok").await;
        }
        assert_eq!(
            (lab.totals().retries, lab.worker.reader.with_pool(0, |snapshot| snapshot.try_retry().is_some())),
            (5, true)
        );
    })
    .await;
}

#[tokio::test]
async fn trailers_claim_nothing() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, _serving) = lab.client(4096);
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For, X-Sum\r\n";
        client.send(&format!("{head}\r\n2\r\nab\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Sum: 1\r\n\r\n")).await;
        let mut replica = lab.replica().await;
        replica.read_to("ab\r\n0\r\n").await;
        let trailers = replica.read_to("\r\n\r\n").await;
        assert_eq!(trailers.to_lowercase(), "x-sum: 1\r\n\r\n");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_repeated_stays_where_there_is_no_other_replica() {
    local(async {
        let mut lab = Lab::of(2, ProxyConfig::default(), PoolConfig::default());
        let (mut client, _serving) = lab.client(4096);
        client.send(GET).await;
        let mut first = lab.replica().await;
        first.read_to("\r\n\r\n").await;
        drop(first);
        let mut second = lab.replica().await;
        second.read_to("\r\n\r\n").await;
        // The first has failed, so this one is the last hope, whatever its health.
        lab.busy().set_up(false);
        lab.pass(TICK * 3).await;
        second.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.totals().retries, 1);
    })
    .await;
}
