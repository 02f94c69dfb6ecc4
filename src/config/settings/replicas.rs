//! Settings of the replicas: how many there are, who runs them, and what they are made of.

use std::time::Duration;

use super::{CONTAINERS_ONLY, FIXED_ONLY, HOUR, NOT_FIXED, PROCESS_ONLY};
use crate::config::model::{Entry, Kind, Needs, at};
use crate::config::tree::Config;
use crate::config::types;
use crate::config::types::{OnExit, RuntimeKind, capability, image, network, tmpfs, user, variable, volume};
use crate::runtime::StopSignal;
use crate::runtime::engine::ReadOnly;

pub(super) const REPLICAS: &[Entry<Config>] = &[
    Entry::new(
        "replicas.count",
        "replicas",
        "N",
        at!(Config: control.replicas),
        Kind::integer(0, 65_535, "replicas"),
        "Replicas to start with; at most --max-replicas. If it is changed, there are so many from then on. \
         With --runtime fixed it is the number of upstreams.",
    )
    .on_reload(),
    Entry::new(
        "replicas.max",
        "max-replicas",
        "N",
        at!(Config: control.max_replicas),
        Kind::integer(1, 65_535, "replicas"),
        "Most replicas there may be, those being added included.",
    )
    .on_reload(),
    Entry::new(
        "replicas.runtime",
        "runtime",
        "RUNTIME",
        at!(Config: runtime),
        Kind::choice::<RuntimeKind>(),
        "How replicas come to exist. process: child processes, replaced when they die. fixed: \
         replicas that others run, at the addresses of --upstream or added later with /add. docker: \
         containers of one Docker engine, replaced when they die. swarm: services of a Docker Swarm, \
         which several balancers may share.",
    )
    .by_default("process, or fixed where upstreams are given"),
    Entry::new(
        "replicas.upstreams",
        "upstream",
        "HOST:PORT",
        at!(Config: upstreams),
        types::HOST_PORT,
        "Address of a replica that others run. If the list is changed, the difference is added and removed.",
    )
    .only_with(FIXED_ONLY)
    .on_reload(),
    Entry::new(
        "replicas.command",
        "replica-command",
        "COMMAND",
        at!(Config: command),
        types::COMMAND,
        "Program to run as a replica, with its arguments. It is split into words as a shell does \
         (quotes and backslashes, nothing is expanded), then {port}, {name} and {number} are \
         replaced. As a process it must serve HTTP on 127.0.0.1 or [::1] at {port}, which is also in PORT. In a container it is run \
         in place of what the image runs, and serves on all addresses at --replica-port.",
    )
    .by_default("the built-in replica")
    .of_replicas()
    .only_with(NOT_FIXED),
    Entry::new(
        "replicas.dir",
        "replica-dir",
        "FOLDER",
        at!(Config: process_dir),
        Kind::text("the path of a folder", "/srv/app"),
        "Folder that the program of a replica runs in. Relative paths in --replica-command begin there.",
    )
    .by_default("that of the balancer")
    .of_replicas()
    .only_with(PROCESS_ONLY),
    Entry::new(
        "replicas.stop-signal",
        "stop-signal",
        "SIGNAL",
        at!(Config: containers.stop_signal),
        Kind::choice::<StopSignal>(),
        "Signal that tells the program of a replica to end once its requests have: QUIT for nginx, say. As \
         a process the whole group gets it. The built-in replica knows TERM and INT. \
         With --runtime swarm TERM leaves the choice to the image.",
    )
    .only_with(Needs { strict: false, ..NOT_FIXED }),
    Entry::new(
        "replicas.stop-timeout",
        "stop-timeout",
        "DURATION",
        at!(Config: containers.stop_timeout),
        Kind::duration(Duration::ZERO, HOUR),
        "Time a replica has to end after --stop-signal, before SIGKILL.",
    )
    .only_with(Needs { strict: false, ..NOT_FIXED }),
    Entry::new(
        "replicas.drain-timeout",
        "drain-timeout",
        "DURATION",
        at!(Config: control.drain_timeout),
        Kind::duration(Duration::ZERO, HOUR),
        "Time a replica that is removed has to finish its requests.",
    )
    .on_reload(),
    Entry::new(
        "replicas.on-exit",
        "on-exit",
        "WHAT",
        at!(Config: on_exit),
        Kind::choice::<OnExit>(),
        "What becomes of the replicas when the balancer is told to stop. keep leaves containers running, \
         for the next balancer to take over.",
    )
    .by_default("remove, or keep with --runtime swarm")
    .only_with(NOT_FIXED)
    .on_reload(),
];

pub(super) const CONTAINERS: &[Entry<Config>] = &[
    Entry::new(
        "containers.pool",
        "pool",
        "NAME",
        at!(Config: containers.pool),
        types::POOL,
        "Name of the pool, which is part of the names of its containers and services. Balancers of one \
         Swarm share a pool by its name.",
    )
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.image",
        "image",
        "IMAGE",
        at!(Config: containers.image),
        Kind::checked("the name of an image", "registry.example.org/web:2", image),
        "Image that replicas are made from.",
    )
    .by_default("the balancer's own, or ringherd outside of a container")
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.docker-host",
        "docker-host",
        "URL",
        at!(Config: containers.host),
        Kind::text("unix:///PATH or tcp://HOST:PORT", "tcp://proxy:2375"),
        "Where the Docker engine is. TLS and ssh are not spoken.",
    )
    .by_default("DOCKER_HOST, or unix:///var/run/docker.sock")
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.network",
        "network",
        "NAME",
        at!(Config: containers.network),
        Kind::checked("the name of a network", "backend", network),
        "Network that replicas are attached to. The balancer must reach it.",
    )
    .by_default("the balancer's own, or one made for the pool")
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.port",
        "replica-port",
        "PORT",
        at!(Config: containers.port),
        Kind::Port,
        "Port that replicas listen on in their containers. They find it in PORT.",
    )
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.memory",
        "replica-memory",
        "SIZE",
        at!(Config: containers.memory),
        // The least that Docker takes, and more than any machine has.
        Kind::Size { min: 6 << 20, max: 1 << 50 },
        "Memory that a replica may use, such as 64MiB. K, M, G and T count in steps of 1024, with or \
         without iB behind them.",
    )
    .by_default("no limit")
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.cpus",
        "replica-cpus",
        "CORES",
        at!(Config: cpus),
        Kind::Number { min: 0.01, max: 1024.0 },
        "Cores that a replica may use, such as 0.5.",
    )
    .by_default("no limit")
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.env",
        "replica-env",
        "KEY=VALUE",
        at!(Config: containers.env),
        Kind::checked("KEY=VALUE", "LOG_LEVEL=debug", variable),
        "Variable of the replicas' environment, besides PORT, SERVER_ID (the name), SERVER_NUMBER \
         and SERVER_REVISION. Processes have those of the balancer too. Not for secrets: the engine and ringherd check show it.",
    )
    .of_words()
    .of_replicas()
    .only_with(NOT_FIXED),
    Entry::new(
        "containers.read-only",
        "replica-read-only",
        "WHEN",
        at!(Config: containers.read_only),
        Kind::choice::<ReadOnly>(),
        "Whether the root file system of a replica is read-only.",
    )
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.tmpfs",
        "replica-tmpfs",
        "PATH",
        at!(Config: containers.tmpfs),
        Kind::checked(
            "an absolute path, with mount options behind ':' or without",
            "/var/cache/nginx",
            tmpfs,
        ),
        "Folder in memory that a replica may write to: 64 MiB unless there are options, such as \
         /run:size=1m,mode=755, which a Swarm does not take.",
    )
    .of_words()
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.volumes",
        "replica-volume",
        "SOURCE:TARGET",
        at!(Config: containers.volumes),
        Kind::checked(
            "SOURCE:TARGET, with :ro behind it or without",
            "/srv/www:/usr/share/nginx/html:ro",
            volume,
        ),
        "Volume, or absolute path of a folder of the engine's host, that all replicas have at the path \
         TARGET.",
    )
    .of_words()
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.user",
        "replica-user",
        "USER",
        at!(Config: containers.user),
        Kind::checked(
            "a user's name or number, with a group behind ':' or without",
            "www-data:www-data",
            user,
        ),
        "User that a replica's program runs as.",
    )
    .by_default("that of the image")
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.capabilities",
        "replica-cap",
        "CAPABILITY",
        at!(Config: containers.capabilities),
        Kind::checked("the name of a capability", "NET_BIND_SERVICE", capability),
        "Capability that a replica has; all others are dropped. A program that begins as root and changes \
         its user needs CHOWN, SETUID and SETGID.",
    )
    .of_replicas()
    .only_with(CONTAINERS_ONLY),
    Entry::new(
        "containers.discover",
        "discover",
        "KEY=VALUE",
        at!(Config: discover),
        Kind::text("KEY=VALUE", "com.docker.compose.service=app"),
        "Label of containers that others run, which join the ring for as long as they run, at \
         --replica-port. They are never started, stopped or replaced.",
    )
    .only_with(Needs {
        what: "--runtime docker",
        met: |config| config.runtime == RuntimeKind::Docker,
        strict: true,
    }),
];
