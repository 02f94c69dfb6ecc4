//! Settings of the process: where it listens, its replicas, who may administer it.

use std::time::Duration;

use super::HOUR;
use crate::config::setting::DefaultValue::{Value, Words};
use crate::config::setting::{Kind, Setting, Shown};
use crate::config::{PublicAdmin, RuntimeConfig, words};
use crate::telemetry::logs::LogFormat;

pub(super) const LISTENING: &[Setting] = &[
    Setting::new(
        "listen",
        "ADDRESS",
        Kind::Address,
        Value("127.0.0.1:5000"),
        "Address that requests are taken on. Port 0 lets the system choose one.",
        |c| Shown::text(c.listen),
    ),
    Setting::new(
        "admin-listen",
        "ADDRESS",
        Kind::Address,
        Value("127.0.0.1:5001"),
        "Address of the admin API. Must differ from --listen.",
        |c| Shown::text(c.admin_listen),
    ),
    Setting::new(
        "public-admin",
        "WHEN",
        Kind::Choice(&["auto", "on", "off"]),
        Value("auto"),
        "Whether /rep, /add and /rm are also served on --listen. With auto, only while that is a \
         loopback address.",
        |c| Shown::text(public_admin(c.public_admin)),
    ),
];

pub(super) const REPLICAS: &[Setting] = &[
    Setting::new(
        "replicas",
        "N",
        Kind::Integer { min: 0, max: 65_535, unit: "replicas" },
        Value("3"),
        "Replicas to start with; at most --max-replicas. With --runtime fixed it is the number of \
         upstreams.",
        |c| Shown::Integer(c.control.replicas.into()),
    ),
    Setting::new(
        "max-replicas",
        "N",
        Kind::Integer { min: 1, max: 65_535, unit: "replicas" },
        Value("64"),
        "Most replicas there may be, those being added included.",
        |c| Shown::Integer(c.control.max_replicas.into()),
    )
    .on_reload(),
    Setting::new(
        "runtime",
        "RUNTIME",
        Kind::Choice(&["process", "fixed", "docker", "swarm"]),
        Words("process, or fixed where upstreams are given"),
        "How replicas come to exist. process: child processes, replaced when they die. fixed: \
         replicas that others run, at the addresses of --upstream or added later with /add. docker: \
         containers of one Docker engine, replaced when they die. swarm: services of a Docker Swarm, \
         which several balancers may share.",
        |c| Shown::text(c.runtime.name()),
    ),
    Setting::new(
        "upstream",
        "HOST:PORT",
        Kind::Endpoints,
        Words("none"),
        "Address of a replica that others run. Only with --runtime fixed.",
        |c| match &c.runtime {
            RuntimeConfig::Fixed(upstreams) => Shown::list(upstreams),
            _ => Shown::Nothing,
        },
    ),
    Setting::new(
        "replica-command",
        "COMMAND",
        Kind::Command,
        Words("the built-in replica"),
        "Program to run as a replica, with its arguments. It is split into words as a shell does \
         (quotes and backslashes, nothing is expanded), then {port}, {name} and {number} are \
         replaced. As a process it must serve HTTP on 127.0.0.1 at {port}. In a container it is run \
         in place of what the image runs, and serves on all addresses at --replica-port. Not with \
         --runtime fixed.",
        |c| {
            let command = match &c.runtime {
                RuntimeConfig::Process(process) => &process.command[..],
                runtime => runtime.container().map_or(&[][..], |spec| &spec.command),
            };
            if command.is_empty() { Shown::Nothing } else { Shown::Text(words::join(command)) }
        },
    ),
    Setting::new(
        "stop-timeout",
        "DURATION",
        Kind::Duration { min: Duration::ZERO, max: HOUR },
        Value("5s"),
        "Time a replica has to end after SIGTERM, before SIGKILL. Not with --runtime fixed.",
        |c| match &c.runtime {
            RuntimeConfig::Process(process) => Shown::duration(process.stop_timeout),
            runtime => runtime.container().map_or(Shown::Nothing, |spec| Shown::duration(spec.stop_timeout)),
        },
    ),
    Setting::new(
        "on-exit",
        "WHAT",
        Kind::Choice(&["remove", "keep"]),
        Words("remove, or keep with --runtime swarm"),
        "What becomes of the replicas when the balancer is told to stop. keep leaves them running, for \
         the next balancer to take over; only with --runtime docker or swarm.",
        |c| match (&c.runtime, c.control.keep_on_stop) {
            (RuntimeConfig::Fixed(_), _) => Shown::Nothing,
            (_, true) => Shown::text("keep"),
            (_, false) => Shown::text("remove"),
        },
    ),
];

pub(super) const ADMIN: &[Setting] = &[
    Setting::new(
        "admin-token-file",
        "FILE",
        Kind::File,
        Words("no token"),
        "File with the bearer token that every admin request must carry: at least 8 visible ASCII \
         characters; one newline at the end is ignored. The token itself may be given in \
         RINGHERD_ADMIN_TOKEN instead.",
        |c| if c.admin.token.is_some() { Shown::AsGiven } else { Shown::Nothing },
    ),
    Setting::new(
        "admin-host",
        "HOST",
        Kind::Hosts,
        Words("none"),
        "Host name that admin requests may be sent to, besides addresses and localhost.",
        |c| Shown::list(&c.admin.hosts),
    ),
];

pub(super) const PROCESS: &[Setting] = &[
    Setting::new(
        "config",
        "FILE",
        Kind::File,
        Words("none"),
        "File to read settings from, in TOML: KEY = VALUE lines with the names of the flags. Flags \
         and environment variables win over it. Re-read on SIGHUP.",
        |_| Shown::Nothing,
    ),
    Setting::new(
        "workers",
        "N",
        Kind::Integer { min: 1, max: 1024, unit: "threads" },
        Words("one per core"),
        "Threads that take and forward requests.",
        |c| Shown::Integer(c.workers as u64),
    ),
    Setting::new(
        "grace",
        "DURATION",
        Kind::Duration { min: Duration::ZERO, max: HOUR },
        Value("10s"),
        "Time requests in flight have to finish after SIGTERM or SIGINT.",
        |c| Shown::duration(c.grace),
    ),
    Setting::new(
        "log-format",
        "FORMAT",
        Kind::Choice(&["auto", "text", "json"]),
        Value("auto"),
        "How log lines look. With auto, text on a terminal and JSON otherwise. RUST_LOG chooses what \
         is logged.",
        |c| Shown::text(log_format(c.log_format)),
    ),
];

fn public_admin(when: PublicAdmin) -> &'static str {
    match when {
        PublicAdmin::Auto => "auto",
        PublicAdmin::On => "on",
        PublicAdmin::Off => "off",
    }
}

fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Auto => "auto",
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}
