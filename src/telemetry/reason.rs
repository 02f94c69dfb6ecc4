//! Why a request got no whole response from a replica, in one vocabulary: the header of our own error
//! responses, the metrics and the access log say the same words.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $code:literal,)*) => {
        /// Why a request got no whole response from a replica.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All there are, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code, which clients and dashboards may rely on.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// Framing or head are ambiguous.
    BadRequest => "bad-request",
    /// What came is not HTTP.
    NotHttp => "not-http",
    /// A replica may read the path as that of another route.
    AmbiguousPath => "ambiguous-path",
    /// There is no route for host and path.
    NoRoute => "no-route",
    /// The head is larger than is taken.
    HeadTooLarge => "head-too-large",
    /// A method that is not forwarded.
    MethodNotForwarded => "method-not-forwarded",
    /// The body is larger than is taken.
    BodyTooLarge => "body-too-large",
    /// The client makes more requests than it may.
    RateLimited => "rate-limited",
    /// It has passed this balancer before.
    Loop => "loop",
    /// It is for another host than its TLS session.
    Misdirected => "misdirected",
    /// The client stopped sending its body.
    ClientTimeout => "client-timeout",
    /// The client broke its body off.
    ClientBody => "client-body",
    /// The client left before the end of its response.
    ClientGone => "client-gone",
    /// The balancer stopped before the end of the response.
    Stopped => "stopped",
    /// No replica on the ring is up.
    NoReplica => "no-replica",
    /// All replicas had as many requests as they may, and so had the queue.
    Overloaded => "overloaded",
    /// No replica had room in time.
    QueueTimeout => "queue-timeout",
    /// Every replica tried refused the connection.
    ConnectFailed => "connect-failed",
    /// This machine has run out of what a connection takes.
    Exhausted => "exhausted",
    /// Too many requests were being repeated already.
    RetryBudget => "retry-budget",
    /// No connection to the replica in time.
    ConnectTimeout => "connect-timeout",
    /// The replica became unhealthy before its response.
    Ejected => "ejected",
    /// No response from the replica in time.
    ResponseTimeout => "response-timeout",
    /// The time that its client gave the call of gRPC was over.
    DeadlineExceeded => "deadline-exceeded",
    /// The replica closed the connection before its response.
    UpstreamClosed => "upstream-closed",
    /// The replica refused the request's streams.
    UpstreamRefused => "upstream-refused",
    /// What the replica sent is not HTTP.
    BadResponse => "bad-response",
    /// The head of the replica's response is beyond the limits.
    ResponseHeadTooLarge => "response-head-too-large",
    /// The replica's response broke off in its middle.
    ResponseCut => "response-cut",
    /// Nothing came on its tunnel for too long.
    TunnelIdle => "tunnel-idle",
    /// The replica at the other end of its tunnel was removed.
    TunnelDrained => "tunnel-drained",
    /// The replica reset its tunnel.
    TunnelReset => "tunnel-reset",
}
