//! What the tests share: a supervisor that answers by script, and requests to the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::admin::{Admin, AdminConfig, Context, Listener, PoolHandle, Pools};
use crate::cluster::{Endpoint, KeySource, Load, Routing};
use crate::control::request::{Call as ControlCall, Request as Asked};
use crate::control::{Control, ControlError, ReplicaView, State, View};
use crate::ring::{Family, Node, Params, Placement, Probing, Ring};
use crate::runtime::output::Outputs;

pub(super) const CONTEXT: Context = Context {
    listener: Listener::Admin,
    peer: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000),
    is_secure: false,
    flawed_target: false,
};

/// What the supervisor answers to each command.
pub(super) type Script = Result<&'static [&'static str], ControlError>;

/// A service, and what reached the supervisor behind it.
pub(super) struct Bench {
    pub(super) admin: Admin,
    pub(super) view: watch::Sender<Arc<View>>,
    pub(super) outputs: Outputs,
    commands: Arc<Mutex<Vec<Asked>>>,
}

impl Bench {
    /// A service over `S1` and `S2` whose supervisor answers with `script`.
    pub(super) fn new(config: AdminConfig, script: Script) -> Self {
        Self::answering(config, move || script.clone().map(self::view))
    }

    /// The same, whose supervisor answers with what `answer` says.
    pub(super) fn answering(
        config: AdminConfig,
        answer: impl Fn() -> Result<View, ControlError> + Send + 'static,
    ) -> Self {
        let (sender, mut receiver) = mpsc::channel(4);
        let (view, reader) = watch::channel(Arc::new(view(&["S1", "S2"])));
        let commands = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&commands);
        tokio::spawn(async move {
            while let Some(ControlCall { request, reply }) = receiver.recv().await {
                seen.lock().unwrap().push(request);
                // The client may have left.
                let _ = reply.send(answer().map(Arc::new));
            }
        });
        let outputs = Outputs::missing_because("nobody reads it");
        let (name, control) = ("default".to_owned(), Control::new(sender, reader));
        let pools =
            Pools::new(vec![PoolHandle { name, control, outputs: outputs.clone(), upkeep: Arc::default() }]);
        Self { admin: Admin::new(config, pools), view, outputs, commands }
    }

    /// What reached the supervisor since the last call.
    pub(super) fn commands(&self) -> Vec<Asked> {
        std::mem::take(&mut self.commands.lock().unwrap())
    }

    /// Sends `call` and reads the answer.
    pub(super) async fn send(&self, call: Call) -> Got {
        let context = call.context;
        self.send_body(call.request(), context).await
    }

    pub(super) async fn send_body<B: Body<Data = Bytes>>(
        &self,
        request: Request<B>,
        context: Context,
    ) -> Got {
        let (head, body) = self.admin.handle(request, context).await.into_parts();
        let body = body.collect().await.expect("a full body does not fail").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("JSON is UTF-8");
        Got { status: head.status, headers: head.headers, text }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("every answer is JSON")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A request, correct until it is made otherwise.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    context: Context,
}

impl Call {
    pub(super) fn new(method: &'static str, target: &str) -> Self {
        let headers = vec![("host", "127.0.0.1:5001".to_owned())];
        Self { method, target: target.to_owned(), headers, body: Bytes::new(), context: CONTEXT }
    }

    /// With a JSON body.
    pub(super) fn json(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self.with("content-type", "application/json") }
    }

    /// With one more header.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Without the headers called `name`.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    /// Under another host.
    pub(super) fn host(self, host: &str) -> Self {
        self.without("host").with("host", host)
    }

    /// As the connection layer saw it.
    pub(super) fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    fn request(self) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).expect("a well-formed request")
    }
}

/// `POST /add` that is in order.
pub(super) fn add() -> Call {
    Call::new("POST", "/add").json(r#"{"n":1}"#)
}

/// Shows the replica of an index differently.
pub(super) fn change(view: &mut View, index: usize, change: impl FnOnce(&mut ReplicaView)) {
    let mut replicas: Vec<_> = view.replicas.iter().map(|replica| (**replica).clone()).collect();
    change(&mut replicas[index]);
    view.replicas = replicas.into_iter().collect();
}

/// A cluster of ready replicas.
pub(super) fn view(names: &[&str]) -> View {
    let params = Params::new(Family::Modified, Probing::Quadratic, Placement::Ring, 512, 9).unwrap();
    let nodes: Vec<_> = (1..=names.len() as u32).map(|number| Node { number, weight: 100 }).collect();
    let ring = Arc::new(Ring::build(&params, &nodes).unwrap());
    let load = Arc::new(Load::default());
    let replica = |(index, name): (usize, &&str)| {
        let number = index as u32 + 1;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000 + number as u16));
        let endpoint = Endpoint::new((*name).to_owned(), number, address, Arc::clone(&load));
        ReplicaView {
            number,
            name: (*name).to_owned(),
            address: Some(address),
            instance: Some(format!("pid {number}")),
            state: State::Ready,
            note: String::new(),
            failures: 0,
            weight: 100,
            drained_from: None,
            revision: Arc::default(),
            slots: ring.slots_owned()[index],
            share: ring.share(index),
            endpoint: Some(Arc::new(endpoint)),
        }
    };
    let replicas = names.iter().enumerate().map(replica).collect();
    let routing = Routing { key: KeySource::RequestId, bounded_load: Some(1.25), ..Routing::default() };
    let present = names.len();
    View {
        present,
        version: 7,
        ring,
        routing,
        replicas,
        stopping: false,
        load: Arc::default(),
        outage: None,
        deploy: None,
    }
}
