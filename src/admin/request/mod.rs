//! The bodies of requests: pure functions from bytes to commands.
//!
//! Strict on purpose: an unknown or repeated key, a number with a point, or a `null` is more
//! often a mistake than a wish, and a change of the cluster is not the place to guess. Rules
//! that need no knowledge of the cluster are checked here, so that a request which breaks one
//! never reaches the supervisor; the others are the supervisor's.

mod json;

use std::collections::HashSet;

use serde::Deserialize;

use self::json::{Integer, given, object, parsed};
use crate::cluster::KeySource;
use crate::control::{Add, ControlError, DeployRequest, Remove, RingChange, name};
use crate::ring::{Family, Placement, Probing};

/// Longest description of what is wrong with a body, in bytes: it may quote the body.
const MAX_DESCRIPTION: usize = 400;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is not the JSON object that the route takes.
    #[error("bad JSON body: {0}")]
    Json(String),
    /// `PUT /ring` without anything to change.
    #[error("nothing to change: give family, probing, placement, slots, virtual_nodes or key")]
    NoChange,
    /// It breaks a rule that holds for every cluster.
    #[error(transparent)]
    Rule(#[from] ControlError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    n: Integer<{ u32::MAX }>,
    #[serde(default)]
    hostnames: Vec<String>,
    #[serde(default)]
    endpoints: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveBody {
    n: Integer<{ u32::MAX }>,
    #[serde(default)]
    hostnames: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingBody {
    #[serde(default, deserialize_with = "parsed")]
    family: Option<Family>,
    #[serde(default, deserialize_with = "parsed")]
    probing: Option<Probing>,
    #[serde(default, deserialize_with = "parsed")]
    placement: Option<Placement>,
    #[serde(default, deserialize_with = "given")]
    slots: Option<Integer<{ u32::MAX }>>,
    #[serde(default, deserialize_with = "given")]
    virtual_nodes: Option<Integer<{ u32::MAX }>>,
    #[serde(default, deserialize_with = "parsed")]
    key: Option<KeySource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightBody {
    weight: Integer<100>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeployBody {
    revision: String,
    #[serde(default, deserialize_with = "given")]
    canary: Option<Integer<{ u32::MAX }>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoBody {}

/// The body of `POST /add`: `n` (at least 1), and optionally `hostnames` (at most `n`, each a
/// name, none twice) and `endpoints` (any strings; whether they are wanted depends on the
/// runtime).
pub fn parse_add(body: &[u8]) -> Result<Add, BodyError> {
    let AddBody { n: Integer(count), hostnames: names, endpoints } = object(body)?;
    check_names(count, &names, ControlError::MoreNamesThanAdded)?;
    Ok(Add { count, names, endpoints })
}

/// The body of `DELETE /rm`: `n` (at least 1), and optionally `hostnames` (at most `n`, each a
/// name, none twice).
pub fn parse_remove(body: &[u8]) -> Result<Remove, BodyError> {
    let RemoveBody { n: Integer(count), hostnames: names } = object(body)?;
    check_names(count, &names, ControlError::MoreNamesThanRemoved)?;
    Ok(Remove { count, names })
}

/// The body of `PUT /ring`: at least one of `family`, `probing`, `placement`, `slots`,
/// `virtual_nodes` and `key`. Whether they go together is for the ring to say.
pub fn parse_ring_change(body: &[u8]) -> Result<RingChange, BodyError> {
    let body: RingBody = object(body)?;
    let change = RingChange {
        family: body.family,
        probing: body.probing,
        placement: body.placement,
        slots: body.slots.map(|slots| slots.0),
        virtual_nodes: body.virtual_nodes.map(|virtual_nodes| virtual_nodes.0),
        key: body.key,
    };
    if change == RingChange::default() { Err(BodyError::NoChange) } else { Ok(change) }
}

/// The body of `PUT /replicas/{name}`: `weight`, 0 to 100.
pub fn parse_weight(body: &[u8]) -> Result<u8, BodyError> {
    let WeightBody { weight: Integer(weight) } = object(body)?;
    // At most 100 by its type.
    Ok(weight as u8)
}

/// The body of `POST /deploy`: `revision`, and optionally `canary`, 1 to 99 percent. Which revisions there are is for
/// the pool to say.
pub fn parse_deploy(body: &[u8]) -> Result<DeployRequest, BodyError> {
    let DeployBody { revision, canary } = object(body)?;
    let canary = canary.map(|percent| percent.0);
    match canary.filter(|percent| !(1..=99).contains(percent)) {
        Some(percent) => Err(ControlError::BadCanary(percent).into()),
        None => Ok(DeployRequest { revision, canary }),
    }
}

/// The body of a change that needs no more words than its path: an object without members.
pub fn parse_nothing(body: &[u8]) -> Result<(), BodyError> {
    let NoBody {} = object(body)?;
    Ok(())
}

/// The rules for `n` and `hostnames`; `more_names` is the error for more names than `count`.
fn check_names(count: u32, names: &[String], more_names: ControlError) -> Result<(), ControlError> {
    if count == 0 {
        return Err(ControlError::Zero);
    }
    if names.len() as u64 > u64::from(count) {
        return Err(more_names);
    }
    let mut seen = HashSet::with_capacity(names.len());
    for name in names {
        name::check(name)?;
        if !seen.insert(name::fold(name)) {
            return Err(ControlError::NameTwice(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
