//! The prose of the help.

pub(super) const SHORT: &str = "A load balancer that owns its replicas";

pub(super) const LONG: &str = "\
A load balancer that owns its replicas: it starts them, routes requests to them over a \
consistent-hash ring, watches them with heartbeats, and replaces the ones that die.

Without arguments it takes requests on 127.0.0.1:5000, forwards them to three replicas of its own, \
and is administered on 127.0.0.1:5001. Replicas are listed, added and removed at run time with \
GET /rep, POST /add and DELETE /rm.

Each setting below can be given as a flag, as an environment variable, or in the file named by \
--config, in this order of precedence. `ringherd check` with the same flags shows what holds and where \
it comes from; `ringherd check --example` prints a file with every setting and its default. A configuration with problems is refused as a whole, and all of them are \
reported.";

pub(super) const SERVE: &str = "\
Runs the balancer until SIGTERM or SIGINT. It then takes no more connections, finishes the requests \
in flight (--grace), stops its own replicas and exits with 0; a second signal ends it at once. \
SIGHUP re-reads the file named by --config.";

pub(super) const CHECK: &str = "\
Prints the effective configuration as TOML, with the source of each value, and exits with 0; or \
prints all problems to standard error and exits with 78. What is printed can be given back with \
--config. Nothing is started, and no secret is printed. With --json it prints one JSON document: by \
section and key a value and its source, or the problems. With --example it prints a file with every \
setting, explained and commented out; with --schema a JSON schema of the file.";

pub(super) const AFTER: &str = "\
Exit codes:
   0  success, also after a stop that was asked for
   1  what was asked is not well, the balancer refuses, or an experiment lost a request
   3  a deploy was taken back
  64  the command line cannot be understood
  69  something outside is not available: an address is in use, a balancer does not answer
  70  an error of ringherd itself
  71  the limit on open files is too low
  74  output could not be written
  78  the configuration has problems
 130  a second SIGINT ended it at once
 143  a second SIGTERM ended it at once

Signals:
  SIGTERM, SIGINT  finish what is in flight and stop; a second one ends at once
  SIGHUP           re-read the file named by --config

Other environment variables:
  RINGHERD_ADMIN_TOKEN  the bearer token of admin requests, instead of --admin-token-file
  DOCKER_HOST           where the Docker engine is, unless --docker-host says so
  RUST_LOG              what is logged, such as `debug` (default: info)
  Any other variable that begins with RINGHERD_ and is not that of a setting is refused.

Examples:
  Five replicas of a program of your own, kept together by user:
    ringherd --replicas 5 --replica-command 'python3 -m http.server {port}' \\
        --health-path / --key header:x-user

  In front of servers that others run:
    ringherd --upstream 10.0.0.7:8080 --upstream 10.0.0.8:8080 --health-path /healthz

  A file to begin with:
    ringherd check --example > ringherd.toml

  From a file, after a look at what it amounts to:
    ringherd check --config ringherd.toml && ringherd --config ringherd.toml";
