//! A change of the cluster: from a body to a request, and from the new view to a response.

use std::fmt;

use http::StatusCode;

use super::deploy;
use super::error::{Reason, Refusal};
use super::request::{self, BodyError};
use super::response::{self, AdminResponse};
use super::route::Write;
use crate::control::{Add, DeployRequest, Remove, Request, RingChange, View};
use crate::names::FoldedName;

/// Reads the body of a request for `write`.
pub(super) fn parse(write: &Write, body: &[u8]) -> Result<Request, BodyError> {
    match write {
        Write::Add => request::parse_add(body).map(Request::Add),
        Write::Remove => request::parse_remove(body).map(Request::Remove),
        Write::Ring => request::parse_ring_change(body).map(Request::ChangeRing),
        Write::Kill(name) => request::parse_nothing(body).map(|()| Request::Kill { name: name.clone() }),
        Write::Deploy => request::parse_deploy(body).map(Request::Deploy),
        Write::Promote => request::parse_nothing(body).map(|()| Request::Promote),
        Write::AbortDeploy if body.is_empty() => Ok(Request::AbortDeploy),
        Write::AbortDeploy => request::parse_nothing(body).map(|()| Request::AbortDeploy),
        Write::Weight(name) => {
            let weight = request::parse_weight(body)?;
            Ok(Request::SetWeight { name: name.clone(), weight })
        }
    }
}

/// A request for the audit log, in the words of the API. Names are quoted and escaped.
pub(super) struct InWords<'a>(pub(super) &'a Request);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Add(Add { count, names, endpoints }) => {
                write!(f, "add n={count} hostnames={names:?} endpoints={endpoints:?}")
            }
            Request::Remove(Remove { count, names }) => write!(f, "remove n={count} hostnames={names:?}"),
            Request::ChangeRing(change) => write_ring(change, f),
            Request::Kill { name } => write!(f, "kill {name:?}"),
            Request::SetWeight { name, weight } => write!(f, "weight of {name:?} to {weight}"),
            Request::Deploy(DeployRequest { revision, canary: None }) => write!(f, "deploy {revision:?}"),
            Request::Deploy(DeployRequest { revision, canary: Some(percent) }) => {
                write!(f, "deploy {revision:?} to {percent} %")
            }
            Request::Promote => f.write_str("promote the deploy"),
            Request::AbortDeploy => f.write_str("take the deploy back"),
            Request::Reload(_) => f.write_str("reload"),
            Request::PrepareStop | Request::Stop => f.write_str("stop"),
        }
    }
}

fn write_ring(change: &RingChange, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fn field(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
    }
    f.write_str("ring")?;
    field(f, "family", change.family.as_ref())?;
    field(f, "probing", change.probing.as_ref())?;
    field(f, "placement", change.placement.as_ref())?;
    field(f, "slots", change.slots.as_ref())?;
    field(f, "virtual_nodes", change.virtual_nodes.as_ref())?;
    field(f, "key", change.key.as_ref())
}

/// The response once the change is done.
pub(super) fn response(write: &Write, view: &View) -> Result<AdminResponse, Refusal> {
    match write {
        // It is on its way out; whatever the view says of it is of before.
        Write::Kill(name) => Ok(response::success(&format!("'{name}' is being killed"))),
        Write::Add | Write::Remove => Ok(response::replicas(view)),
        Write::Ring => Ok(response::ring(view)),
        Write::Deploy | Write::Promote | Write::AbortDeploy => {
            let mut response = deploy::response(view)?;
            // It has begun, and its end is to come.
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
        Write::Weight(name) => view
            .replicas
            .iter()
            .find(|replica| FoldedName::of(&replica.name) == FoldedName::of(name))
            .map(|replica| response::replica(replica))
            // It can have died between the change and the view.
            .ok_or_else(|| Refusal::new(Reason::NotFound, format!("there is no replica named '{name}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_in_one_line() {
        let told = |write: &Write, body: &str| InWords(&parse(write, body.as_bytes()).unwrap()).to_string();
        let names = r#"{"n":2,"hostnames":["S4"]}"#;
        assert_eq!(told(&Write::Add, names), r#"add n=2 hostnames=["S4"] endpoints=[]"#);
        assert_eq!(told(&Write::Remove, names), r#"remove n=2 hostnames=["S4"]"#);
        assert_eq!(told(&Write::Ring, r#"{"slots":512,"key":"path"}"#), "ring slots=512 key=path");
        let weight = Write::Weight("a\nb".to_owned());
        assert_eq!(told(&weight, r#"{"weight":7}"#), r#"weight of "a\nb" to 7"#);
        assert_eq!(told(&Write::Deploy, r#"{"revision":"v2"}"#), r#"deploy "v2""#);
        assert_eq!(told(&Write::Deploy, r#"{"revision":"v2","canary":10}"#), r#"deploy "v2" to 10 %"#);
        assert_eq!(told(&Write::Promote, "{}"), "promote the deploy");
        assert_eq!(told(&Write::AbortDeploy, ""), "take the deploy back");
    }
}
