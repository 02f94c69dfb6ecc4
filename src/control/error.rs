//! Why a command was refused or failed, grouped by whose fault it is.

use super::name::NameError;
use crate::names::HostPort;

/// Why nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    // --- the request is wrong
    /// `/add` names more replicas than it adds.
    #[error("Length of hostname list is more than newly added instances")]
    MoreNamesThanAdded,
    /// `/rm` names more replicas than it removes.
    #[error("Length of hostname list is more than removable instances")]
    MoreNamesThanRemoved,
    /// `n` is 0.
    #[error("n must be at least 1")]
    Zero,
    /// A name that is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name is taken.
    #[error("a replica named '{0}' exists already")]
    NameTaken(String),
    /// The same name twice in one request.
    #[error("hostname '{0}' is given twice")]
    NameTwice(String),
    /// No such replica.
    #[error("there is no replica named '{0}'")]
    UnknownName(String),
    /// `/rm` asks for more than there are.
    #[error("cannot remove {asked} replicas: there are {present}")]
    TooFew {
        /// `n`.
        asked: u32,
        /// Replicas there are.
        present: u32,
    },
    /// The cap on replicas.
    #[error("cannot add {asked} replicas: there would be {total}, the limit is {max} (--max-replicas)")]
    TooMany {
        /// `n`.
        asked: u32,
        /// What the total would be.
        total: u64,
        /// The cap.
        max: u32,
    },
    /// Addresses given to a runtime that starts its own replicas.
    #[error("'endpoints' is for --runtime fixed; this balancer starts its replicas itself ({0})")]
    EndpointsNotTaken(&'static str),
    /// The fixed runtime cannot invent replicas.
    #[error("--runtime fixed starts no replicas: give 'endpoints', one host:port for each of the {0}")]
    EndpointsNeeded(u32),
    /// An address that is none.
    #[error("endpoint '{endpoint}' is not host:port{hint}", endpoint = .0, hint = endpoint_hint(.0))]
    BadEndpoint(String),
    /// An address that is a member's, or given twice.
    #[error("endpoint '{0}' is taken")]
    EndpointTaken(String),
    /// An address that the balancer listens on itself.
    #[error("endpoint '{0}' is this balancer's own address: requests would go round in a circle")]
    OwnEndpoint(String),
    /// Somebody has removed some of the replicas of an `/add` while they were starting.
    #[error("nothing was added, because '{}' was removed while it was starting", .0.join("', '"))]
    RemovedMeanwhile(Vec<String>),
    /// It is not ours to add or remove.
    #[error(
        "'{0}' is a container that others run (--discover): it joins and leaves as they start and stop it"
    )]
    Discovered(String),
    /// It is not ours to kill.
    #[error("'{0}' cannot be killed: this balancer does not keep it alive")]
    NotKept(String),
    /// It has not come up, or is down already.
    #[error("'{0}' does not run at the moment")]
    NotRunning(String),
    /// Out of range.
    #[error("weight {0} is out of range: 0 to 100")]
    BadWeight(u64),

    // --- the request is well formed but cannot be done
    /// The ring cannot be built so.
    #[error("{0}")]
    Ring(String),

    /// Other balancers would not know.
    #[error("{0} cannot be set here: other balancers share the pool; configure all of them alike")]
    Shared(&'static str),

    /// A deploy is under way.
    #[error("a deploy of revision '{0}' is under way: wait for its end, or take it back (DELETE /deploy)")]
    Deploying(String),
    /// A deploy cannot begin yet.
    #[error("a deploy cannot begin now: {0}; try again in a moment")]
    DeployNotNow(&'static str),
    /// No deploy is under way.
    #[error("no deploy is under way")]
    NotDeploying,
    /// The deploy under way does not wait to be promoted.
    #[error("the deploy of revision '{0}' does not wait to be promoted")]
    NotWaiting(String),
    /// No such revision.
    #[error("there is no revision '{name}'; there are: {}", .known.join(", "))]
    UnknownRevision {
        /// What was asked for.
        name: String,
        /// All there are.
        known: Vec<String>,
    },
    /// The image must not be deployed.
    #[error("image '{image}' {why}")]
    ImageRefused {
        /// Which.
        image: String,
        /// Why, as the end of a sentence.
        why: &'static str,
    },
    /// All replicas run it.
    #[error("revision '{0}' is deployed already")]
    DeployedAlready(String),
    /// There is nothing to replace.
    #[error("there are no replicas to deploy to")]
    NothingToDeploy,
    /// Another balancer that shares the pool is at it.
    #[error(
        "another balancer of this pool deploys, or what it has deployed is not ready here yet; if it has died in the \
         middle of that, wait for two minutes at most"
    )]
    DeployingElsewhere,
    /// Replicas are not ours to replace number by number.
    #[error("--runtime {0} has no deploys: this balancer does not replace its replicas")]
    NoDeploys(&'static str),
    /// Out of range.
    #[error("canary {0} is out of range: 1 to 99 percent")]
    BadCanary(u32),

    // --- our side
    /// The runtime does not answer.
    #[error("replicas can neither be added nor removed at the moment: {0}")]
    Unavailable(String),
    /// Replicas did not come up.
    #[error("{}", describe_failures(.0))]
    StartFailed(Vec<(String, String)>),
    /// Too many commands wait.
    #[error("too many changes are waiting; try again")]
    Busy,
    /// No changes any more.
    #[error("the balancer is stopping")]
    Stopping,
}

fn endpoint_hint(endpoint: &str) -> String {
    HostPort::hint(endpoint).map_or_else(String::new, |hint| format!("; {hint}"))
}

fn describe_failures(failures: &[(String, String)]) -> String {
    let each: Vec<_> = failures.iter().map(|(name, why)| format!("'{name}': {why}")).collect();
    format!("nothing was added, because of {}", each.join("; "))
}
