//! Settings of what is told about single requests.

use crate::config::setting::DefaultValue::Value;
use crate::config::setting::{Kind, Setting, Shown};
use crate::proxy::TraceContext;
use crate::telemetry::access::{Destination, Format};

pub(super) const REQUESTS: &[Setting] = &[
    Setting::new(
        "access-log",
        "WHERE",
        Kind::Destination,
        Value("off"),
        "Where each request is logged, in one line. A file is opened anew on SIGUSR1, after it was \
         renamed. Lines that cannot be written in time are dropped and counted.",
        |c| match &c.access.destination {
            None => Shown::text("off"),
            Some(Destination::Stdout) => Shown::text("stdout"),
            Some(Destination::File(path)) => Shown::text(path.display()),
        },
    ),
    Setting::new(
        "access-log-format",
        "FORMAT",
        Kind::Choice(&["json", "common"]),
        Value("json"),
        "What such a line looks like: a JSON object, or the Common Log Format.",
        |c| match c.access.format {
            Format::Json => Shown::text("json"),
            Format::Common => Shown::text("common"),
        },
    ),
    Setting::new(
        "trace-context",
        "HOW",
        Kind::Choice(&["pass", "start"]),
        Value("pass"),
        "What is done with W3C trace context (traceparent). pass: it is passed on as it comes. start: \
         a trace is begun, marked as sampled, where none comes.",
        |c| match c.proxy.trace_context {
            TraceContext::Pass => Shown::text("pass"),
            TraceContext::Start => Shown::text("start"),
        },
    )
    .on_reload(),
];
