//! Connections that are idle give up hyper's buffers, and nothing else.

use super::*;

/// So long that an idle connection becomes dormant.
const A_WHILE: Duration = Duration::from_millis(2_100);

impl Lab {
    /// Connections without buffers, after so much time.
    async fn dormant_after(&self, time: Duration) -> usize {
        self.pass(time).await;
        self.worker.clients.free_buffers();
        self.settle().await;
        self.worker.clients.dormant()
    }
}

#[tokio::test]
async fn a_connection_has_buffers_from_its_first_byte_until_it_is_idle() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        assert_eq!(lab.dormant_after(Duration::ZERO).await, 1, "nothing has come");
        client.send("G").await;
        assert_eq!(lab.dormant_after(A_WHILE).await, 0, "a head has begun");
        client.send(&GET[1..]).await;
        let mut replica = lab.replica().await;
        replica.read_to("\r\n\r\n").await;
        assert_eq!(lab.dormant_after(A_WHILE).await, 0, "a request is under way");
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.dormant_after(Duration::from_millis(1_500)).await, 0, "it was in use just now");
        for _ in 0..3 {
            assert_eq!(lab.dormant_after(A_WHILE).await, 1);
            client.send(GET).await;
            replica.read_to("\r\n\r\n").await;
            replica.send(OK).await;
            client.read_to("ok").await;
            assert_eq!(lab.dormant_after(Duration::ZERO).await, 0);
        }
        drop(client);
        serving.await.expect("it ends");
        assert_eq!(lab.worker.clients.dormant(), 0);
    })
    .await;
}

#[tokio::test]
async fn its_time_without_a_request_goes_on() {
    let keep_alive = Duration::from_secs(5);
    local(async {
        let mut lab = Lab::with(ProxyConfig { keep_alive, ..ProxyConfig::default() });
        let (mut client, serving, mut replica) = lab.asked().await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.dormant_after(Duration::from_millis(4_900)).await, 1);
        lab.pass(4 * TICK).await;
        assert_eq!(client.rest().await, "");
        serving.await.expect("it ends");
    })
    .await;
}

#[tokio::test]
async fn a_stop_closes_it() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving, mut replica) = lab.asked().await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.dormant_after(A_WHILE).await, 1);
        lab.worker.begin_close();
        lab.settle().await;
        // A request that is on its way is still served.
        client.send(GET).await;
        replica.read_to("\r\n\r\n").await;
        replica.send(OK).await;
        let response = client.rest().await;
        assert!(response.contains("connection: close") && response.ends_with("ok"), "{response}");
        serving.await.expect("it ends");
        let (mut silent, serving) = lab.client(4096);
        lab.pass(Duration::from_millis(400)).await;
        assert_eq!(silent.rest().await, "");
        serving.await.expect("it ends");
    })
    .await;
}

/// Behind a body in chunks it is not known where the next request begins, and hyper has its first bytes.
#[tokio::test]
async fn what_has_come_of_the_next_request_is_kept() {
    local(async {
        let mut lab = Lab::new();
        let (mut client, serving) = lab.client(4096);
        let chunked = "POST /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(&format!("{chunked}2\r\nhi\r\n0\r\n\r\n{}", &GET[..9])).await;
        let mut replica = lab.replica().await;
        replica.read_to("0\r\n\r\n").await;
        replica.send(OK).await;
        client.read_to("ok").await;
        assert_eq!(lab.dormant_after(A_WHILE).await, 0);
        client.send(&GET[9..]).await;
        let head = replica.read_to("\r\n\r\n").await;
        assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
        replica.send(OK).await;
        client.read_to("ok").await;
        drop(client);
        serving.await.expect("it ends");
    })
    .await;
}
