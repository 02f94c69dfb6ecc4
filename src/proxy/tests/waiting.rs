//! Requests that wait: for a replica, or at one that became unhealthy.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn a_request_is_taken_back_from_a_replica_that_became_unhealthy() {
    local(async {
        let mut lab = Lab::of(2, ProxyConfig::default());
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
        lab.worker.starting.store(1, Ordering::Relaxed);
        client.send(GET).await;
        lab.pass(ProxyConfig::default().wait_for_replica / 2).await;
        assert_eq!(lab.worker.waiting.get(), 1);
        lab.endpoints[0].set_up(true);
        // Its pauses are of tokio's clock.
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.worker.waiting.get(), 0);
        // None comes.
        lab.endpoints[0].set_up(false);
        client.send(GET).await;
        lab.pass(ProxyConfig::default().wait_for_replica + TICK * 2).await;
        assert!(client.read_to("}").await.contains("x-ringherd-error: no-replica\r\n"));
    })
    .await;
}
