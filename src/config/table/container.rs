//! Settings of replicas in containers.

use crate::config::setting::DefaultValue::{Value, Words};
use crate::config::setting::{Kind, Setting, Shown};
use crate::config::{Config, RuntimeConfig, size};
use crate::runtime::engine::Spec;

/// The least that Docker takes, and more than any machine has.
const MEMORY: Kind = Kind::Size { min: 6 << 20, max: 1 << 50 };

pub(super) const CONTAINERS: &[Setting] = &[
    Setting::new(
        "pool",
        "NAME",
        Kind::Pool,
        Value("default"),
        "Name of the pool, which is part of the names of its containers and services. Balancers of one \
         Swarm share a pool by its name. Only with --runtime docker or swarm.",
        |c| of_container(c, |spec| Shown::text(&spec.pool)),
    ),
    Setting::new(
        "image",
        "IMAGE",
        Kind::Image,
        Words("the balancer's own, or ringherd outside of a container"),
        "Image that replicas are made from. Only with --runtime docker or swarm.",
        |c| of_container(c, |spec| optional(spec.image.as_ref())),
    ),
    Setting::new(
        "docker-host",
        "URL",
        Kind::Engine,
        Words("DOCKER_HOST, or unix:///var/run/docker.sock"),
        "Where the Docker engine is. TLS and ssh are not spoken. Only with --runtime docker or swarm.",
        |c| of_container(c, |spec| Shown::text(&spec.host)),
    ),
    Setting::new(
        "network",
        "NAME",
        Kind::Network,
        Words("the balancer's own, or one made for the pool"),
        "Network that replicas are attached to. The balancer must reach it. Only with --runtime docker \
         or swarm.",
        |c| of_container(c, |spec| optional(spec.network.as_ref())),
    ),
    Setting::new(
        "replica-port",
        "PORT",
        Kind::Port,
        Value("5000"),
        "Port that replicas listen on in their containers. They find it in PORT. Only with --runtime \
         docker or swarm.",
        |c| of_container(c, |spec| Shown::Integer(spec.port.into())),
    ),
    Setting::new(
        "replica-memory",
        "SIZE",
        MEMORY,
        Words("no limit"),
        "Memory that a replica may use, such as 64MiB. K, M, G and T count in steps of 1024, with or \
         without iB behind them. Only with --runtime docker or swarm.",
        |c| of_container(c, |spec| optional(spec.memory.map(size::show))),
    ),
    Setting::new(
        "replica-cpus",
        "CORES",
        Kind::Number { min: 0.01, max: 1024.0 },
        Words("no limit"),
        "Cores that a replica may use, such as 0.5. Only with --runtime docker or swarm.",
        |c| {
            let number = |nano_cpus: u64| Shown::Number(nano_cpus as f64 / 1e9);
            of_container(c, |spec| spec.nano_cpus.map_or(Shown::Nothing, number))
        },
    ),
    Setting::new(
        "replica-env",
        "KEY=VALUE",
        Kind::Variables,
        Words("none"),
        "Variable of the replicas' environment, besides PORT, SERVER_ID (the name) and SERVER_NUMBER. \
         Not for secrets: the engine and ringherd check show it. Only with --runtime docker or swarm.",
        |c| of_container(c, |spec| Shown::list(&spec.env)),
    ),
    Setting::new(
        "discover",
        "KEY=VALUE",
        Kind::Label,
        Words("none"),
        "Label of containers that others run, which join the ring for as long as they run, at \
         --replica-port. They are never started, stopped or replaced. Only with --runtime docker.",
        |c| match &c.runtime {
            RuntimeConfig::Docker(docker) => {
                optional(docker.discover.as_ref().map(|(key, value)| format!("{key}={value}")))
            }
            _ => Shown::Nothing,
        },
    ),
];

fn of_container(config: &Config, show: impl FnOnce(&Spec) -> Shown) -> Shown {
    config.runtime.container().map_or(Shown::Nothing, show)
}

fn optional(value: Option<impl std::fmt::Display>) -> Shown {
    value.map_or(Shown::Nothing, Shown::text)
}
