//! From texts to the checked configuration: each setting by itself, then those that must agree.
//!
//! Nothing stops at the first problem. A setting that is refused keeps its default from then on,
//! which nobody sees, because a configuration with problems is not handed out; checks of several
//! settings together are made only where each of them is good.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::given::{ENGINE_VARIABLE, Given, STICKY_VARIABLE, TOKEN_VARIABLE};
use super::inputs::ReadFile;
use super::model::{Entry, Name, Problem, Refusal, Source, entries};
use super::revisions;
use super::settings::{self, MODEL};
use super::tree::{Config, HeaderSettings};
use super::types::header::line;
use super::types::{OnExit, RuntimeKind, no_overlay, sticky_secret, token, without_tls};
use crate::control::HealthCheck;
use crate::proxy::{HeaderChange, HeaderRules, Message, StickySecret, UpstreamHttp, is_host};
use crate::ring::Params;
use crate::runtime::engine::{Host, nano_cpus};
use crate::tls::{CertificateFiles, ClientAuth, ConnectorConfig};

/// The configuration that `given` makes; it counts only if `problems` is empty afterwards.
pub(super) fn agree(given: &mut Given, read_file: ReadFile<'_>, problems: &mut Vec<Problem>) -> Config {
    let mut checker =
        Checker { config: Config::default(), given, read_file, problems, refused: BTreeSet::new() };
    entries(&MODEL).for_each(|entry| checker.assign(entry));
    for section in &MODEL {
        if let (Some(tables), Some(items)) =
            (section.tables_of_any_kind(), checker.given.tables.get(section.name))
        {
            tables.load(&mut checker.config, items, checker.problems);
        }
    }
    checker.runtime();
    checker.engine();
    checker.settings_without_effect();
    checker.upstreams();
    checker.containers();
    checker.on_exit();
    checker.deploys();
    checker.replicas();
    checker.ring();
    checker.tls();
    checker.upstream_protocol();
    checker.listeners();
    checker.headers();
    checker.config.control.health.proxy_protocol = checker.config.proxy.upstream_proxy_protocol;
    checker.config.admin.token = checker.token();
    checker.config.pool.sticky.secret = checker.sticky_secret();
    checker.config
}

struct Checker<'a> {
    /// As far as it is made.
    config: Config,
    given: &'a mut Given,
    read_file: ReadFile<'a>,
    problems: &'a mut Vec<Problem>,
    /// Flags of the settings that were refused so far.
    refused: BTreeSet<&'static str>,
}

impl Checker<'_> {
    /// Reads what was given for one setting.
    fn assign(&mut self, entry: &'static Entry<Config>) {
        let Some(texts) = self.given.get(entry.setting.flag) else { return };
        for (value, refusal) in entry.assign(&mut self.config, &texts.values.clone()) {
            self.refuse_value(entry.setting.flag, Some(value), refusal);
        }
    }

    /// Whether the setting was given to ringherd at all.
    fn is_given(&self, flag: &str) -> bool {
        !matches!(self.given.source(flag), Source::Default | Source::Foreign(_))
    }

    /// Whether none of the settings was refused so far.
    fn good(&self, flags: &[&str]) -> bool {
        flags.iter().all(|flag| !self.refused.contains(flag))
    }

    /// Refuses what the setting holds.
    fn refuse(&mut self, flag: &str, refusal: Refusal) {
        let given = self.given.get(flag).and_then(|texts| texts.values.first().cloned());
        let value = given.or_else(|| Some(entry(flag).default_text()));
        self.refuse_value(flag, value, refusal);
    }

    /// Refuses `value` of the setting.
    fn refuse_value(&mut self, flag: &str, value: Option<String>, refusal: Refusal) {
        let setting = &entry(flag).setting;
        self.refused.insert(setting.flag);
        self.problems.push(Problem::new(Name::of(setting), self.given.source(flag), value, refusal));
    }

    /// Where the setting's value comes from, for a message about another one.
    fn place(&self, flag: &str) -> String {
        self.given.source(flag).of(&Name::of(&entry(flag).setting))
    }

    /// Without `--runtime` it follows from whether there are upstreams; `fixed` without any is
    /// allowed, because `/add` can bring them.
    fn runtime(&mut self) {
        // What a pool says itself counts more than what holds for all.
        let is_own = |flag| self.is_given(flag) && !self.given.is_for_all(flag);
        let is_fixed = if is_own("upstream") {
            !is_own("runtime")
        } else {
            self.is_given("upstream")
                && !["runtime", "replica-command", "image"].into_iter().any(is_own)
                && !self.is_given("runtime")
        };
        if is_fixed {
            self.config.runtime = RuntimeKind::Fixed;
        }
        // A first task of a Swarm takes long where no registry responds, because Swarm asks for the
        // image before it uses the one that is there.
        if !self.is_given("start-timeout") && self.config.runtime == RuntimeKind::Swarm {
            self.config.control.start_timeout = Duration::from_secs(60);
        }
    }

    /// Where replicas are containers, the engine of other tools is ours too unless we are told of
    /// another.
    fn engine(&mut self) {
        const FLAG: &str = "docker-host";
        if matches!(self.config.runtime, RuntimeKind::Process | RuntimeKind::Fixed) {
            return;
        }
        self.given.use_engine_of_others(FLAG);
        if self.given.source(FLAG) == Source::Foreign(ENGINE_VARIABLE) {
            self.assign(entry(FLAG));
            let tls = self.given.engine_tls && matches!(self.config.containers.host, Host::Tcp(_));
            if tls && self.good(&[FLAG]) {
                self.refuse(FLAG, without_tls("is to be used with TLS (DOCKER_TLS_VERIFY)"));
            }
        }
    }

    /// What was given in vain is refused, since somebody expects it to have an effect; or it is
    /// as if it was not given.
    fn settings_without_effect(&mut self) {
        if !self.good(&["runtime"]) {
            return;
        }
        for entry in entries(&MODEL) {
            let flag = entry.setting.flag;
            let Some(needs) = entry.needs.as_ref() else { continue };
            if !self.is_given(flag) || !self.good(&[flag]) || (needs.met)(&self.config) {
                continue;
            }
            if self.given.is_for_all(flag) {
                entry.reset(&mut self.config);
            } else if needs.strict {
                let runtime = self.config.runtime.name();
                let what = format!("has no effect: --runtime {runtime} has no use for it");
                self.refuse(flag, Refusal::new(what).hint(format!("use {}", needs.what)));
            } else {
                entry.assign(&mut self.config, &[entry.default_text()]);
            }
        }
    }

    fn upstreams(&mut self) {
        let upstreams = self.config.upstreams.clone();
        for (i, upstream) in upstreams.iter().enumerate() {
            if upstreams[..i].contains(upstream) {
                self.refuse_value("upstream", Some(upstream.to_string()), Refusal::new("is given twice"));
            }
        }
    }

    fn containers(&mut self) {
        let bridge = self.config.containers.network.as_deref() == Some("bridge");
        if self.config.runtime == RuntimeKind::Swarm && bridge {
            self.refuse("network", no_overlay());
        }
        if self.config.runtime == RuntimeKind::Swarm && self.good(&["replica-tmpfs"]) {
            let options = self.config.containers.tmpfs.iter().filter(|folder| folder.contains(':'));
            for folder in options.cloned().collect::<Vec<_>>() {
                let refusal = Refusal::new("has mount options, which a Swarm does not take");
                self.refuse_value(
                    "replica-tmpfs",
                    Some(folder),
                    refusal.hint("leave out what follows the ':'"),
                );
            }
        }
        let key = |text: &str| text.split('=').next().map(str::to_owned);
        let variables = self.config.containers.env.clone();
        for (i, variable) in variables.iter().enumerate() {
            if variables[..i].iter().any(|earlier| key(earlier) == key(variable)) {
                let refusal = Refusal::new("sets a variable that is given already");
                self.refuse_value("replica-env", Some(variable.clone()), refusal);
            }
        }
        self.config.containers.command = self.config.command.0.clone();
        self.config.containers.nano_cpus = self.config.cpus.map(nano_cpus);
    }

    /// Whether replicas outlive the balancer. Those of a Swarm do unless told otherwise, because
    /// other balancers may share them; child processes cannot.
    fn on_exit(&mut self) {
        const FLAG: &str = "on-exit";
        let (runtime, on_exit) = (self.config.runtime, self.config.on_exit);
        if runtime == RuntimeKind::Process && on_exit == OnExit::Keep && self.good(&["runtime", FLAG]) {
            let what = "has no effect: with --runtime process replicas end with the balancer";
            self.refuse(FLAG, Refusal::new(what).hint("use --runtime docker or swarm"));
        }
        if runtime == RuntimeKind::Swarm && !self.is_given(FLAG) {
            self.config.on_exit = OnExit::Keep;
        }
        self.config.control.keep_on_stop = self.config.on_exit == OnExit::Keep;
    }

    /// What can be deployed, and when a deploy is taken back.
    fn deploys(&mut self) {
        const FLAG: &str = "deploy-max-slowdown";
        let factor = self.config.control.deploy.max_slowdown;
        if self.good(&[FLAG]) && factor > 0.0 && factor < 1.0 {
            let refusal = Refusal::new("would take back deploys that are faster");
            self.refuse(FLAG, refusal.hint("give 1 or more, or 0 for any"));
        }
        if self.good(&["runtime", "deploy-revision"]) {
            revisions::agree(&mut self.config, self.given, self.problems);
        }
    }

    /// How many replicas there are at first: as set, or as many as there are upstreams.
    fn replicas(&mut self) {
        let (set, max) = (self.config.control.replicas, self.config.control.max_replicas);
        let (count, flag) = match self.config.runtime {
            RuntimeKind::Fixed => (self.config.upstreams.len() as u32, "upstream"),
            _ => (set, "replicas"),
        };
        let comparable = self.good(&["replicas", "upstream", "runtime"]);
        let is_said = self.is_given("replicas") && !self.given.is_for_all("replicas");
        if comparable && is_said && set != count {
            let what = format!("differs from the number of upstreams, {count}");
            self.refuse("replicas", Refusal::new(what).hint("leave it out with --runtime fixed"));
        } else if comparable && self.good(&["max-replicas"]) && count > max {
            let limit = self.place("max-replicas");
            let what = format!("makes {count} replicas, more than max-replicas = {max} ({limit})");
            self.refuse(flag, Refusal::new(what).hint("raise max-replicas or start with fewer"));
        }
        self.config.control.replicas = count;
        self.config.control.upstreams = self.config.upstreams.iter().map(ToString::to_string).collect();
    }

    /// The ring, which must hold the virtual nodes of the replicas it starts with.
    fn ring(&mut self) {
        const PARTS: [&str; 5] = ["family", "probing", "placement", "slots", "virtual-nodes"];
        if !self.good(&PARTS) {
            return;
        }
        let ring = self.config.ring;
        match Params::new(ring.family, ring.probing, ring.placement, ring.slots, ring.virtual_nodes) {
            Ok(params) => self.config.control.ring = params,
            Err(error) => return self.refuse_ring(Refusal::new(error.to_string())),
        }
        let (replicas, capacity) = (self.config.control.replicas, self.config.control.ring.capacity());
        if self.good(&["replicas", "upstream", "max-replicas"]) && replicas > capacity {
            let nodes = ring.virtual_nodes;
            let what =
                format!("{replicas} replicas of {nodes} virtual nodes do not fit: at most {capacity} do");
            self.refuse_ring(Refusal::new(what).hint("raise slots, or lower virtual-nodes or replicas"));
        }
    }

    /// Several settings are to blame: names the first of them that the user chose.
    fn refuse_ring(&mut self, refusal: Refusal) {
        const BLAMED: [&str; 6] = ["slots", "virtual-nodes", "replicas", "upstream", "placement", "probing"];
        let chosen = BLAMED.into_iter().find(|flag| self.is_given(flag));
        self.refuse(chosen.unwrap_or("slots"), refusal);
    }

    /// Two listeners cannot share a port, unless the system chooses it or their addresses differ.
    fn listeners(&mut self) {
        let addresses = [
            ("listen", Some(self.config.listen)),
            ("tls-listen", self.config.tls_listen),
            ("admin-listen", Some(self.config.admin_listen)),
        ];
        for (i, &(flag, address)) in addresses.iter().enumerate() {
            let clashes = |&(other, earlier): &(_, Option<SocketAddr>)| {
                let (earlier, address) = earlier.zip(address)?;
                (self.good(&[flag, other]) && clash(earlier, address)).then_some((other, earlier))
            };
            if let Some((other, earlier)) = addresses[..i].iter().find_map(clashes) {
                let what = format!("clashes with {other} = \"{earlier}\" ({})", self.place(other));
                self.refuse(flag, Refusal::new(what).hint("choose another port"));
            }
        }
    }

    /// The header rules for all pools. What is wrong in one table is refused already.
    fn headers(&mut self) {
        let sources = self.given.tables.get("headers").map_or(&[][..], Vec::as_slice);
        for (table, given) in self.config.headers.iter().zip(sources) {
            let mut refuse = |key: &str, refusal: Refusal| {
                let name = Name::unknown(&format!("headers.{key}"));
                self.problems.push(Problem::new(name, given.source.clone(), None, refusal));
            };
            let sets_host =
                changes_of(table).iter().any(|it| matches!(it, HeaderChange::Set(name, _) if is_host(name)));
            if sets_host && table.on == Some(Message::Response) {
                refuse("set", Refusal::new("sets Host, which no response has"));
            }
            if table.always && table.on == Some(Message::Request) {
                refuse("always", Refusal::new("is about responses").hint("leave it out for requests"));
            }
            let narrower = [("pool", &table.pool), ("route", &table.route)];
            if let Some((key, _)) = narrower.iter().find(|(_, name)| name.is_some()).filter(|_| table.always)
            {
                let what = format!("is about responses of the balancer itself, which are of no {key}");
                refuse("always", Refusal::new(what).hint(format!("leave out one of always and {key}")));
            }
            if table.pool.is_some() && table.route.is_some() {
                let refusal = Refusal::new("is of no use beside pool: a route has its pool already");
                refuse("route", refusal.hint("leave one of them out"));
            }
        }
        self.config.proxy.header_rules =
            header_rules(&self.config.headers, |table| table.pool.is_none() && table.route.is_none());
    }

    /// The certificates, and whether there is a listener for them and the other way round.
    fn tls(&mut self) {
        const CERTIFICATE: [&str; 2] = ["tls-certificate", "tls-key"];
        if !self.good(&[
            "tls-listen",
            "tls-certificate",
            "tls-key",
            "tls-ocsp",
            "tls-self-signed",
            "tls-client-auth",
            "https-redirect",
        ]) {
            return;
        }
        let config = &self.config;
        let mut files = Vec::new();
        match (&config.tls_certificate, &config.tls_key) {
            (Some(cert), Some(key)) => {
                let ocsp = config.tls_ocsp.as_ref().map(Into::into);
                files.push(CertificateFiles { cert: cert.into(), key: key.into(), ocsp });
            }
            (None, None) if config.tls_ocsp.is_some() => {
                let refusal = Refusal::new("is of no use without tls-certificate");
                return self.refuse("tls-ocsp", refusal.hint("give --tls-certificate too"));
            }
            (None, None) => {}
            (given, _) => {
                let [flag, other] =
                    if given.is_some() { CERTIFICATE } else { [CERTIFICATE[1], CERTIFICATE[0]] };
                let refusal = Refusal::new(format!("is of no use without {other}"));
                return self.refuse(flag, refusal.hint(format!("give --{other} too")));
            }
        }
        // What a table lacks is refused already.
        files.extend(config.certificates.iter().filter_map(|table| {
            let (cert, key) = (table.cert.as_ref()?.into(), table.key.as_ref()?.into());
            Some(CertificateFiles { cert, key, ocsp: table.ocsp.as_ref().map(Into::into) })
        }));
        let self_signed = config.tls_self_signed;
        let has_any = !files.is_empty() || self_signed;
        self.config.tls.files = files;
        self.config.tls.self_signed = self_signed;
        self.config.tls.client_auth.authorities = self.config.tls_client_ca.as_ref().map(Into::into);
        if self.config.tls.client_auth.mode != ClientAuth::Off && self.config.tls_client_ca.is_none() {
            let refusal = Refusal::new("needs to know who may have signed certificates of clients");
            return self.refuse("tls-client-auth", refusal.hint("give --tls-client-ca"));
        }
        match self.config.tls_listen {
            Some(_) if !has_any && self.config.certificates.is_empty() => {
                let refusal = Refusal::new("needs a certificate");
                let hint = "give --tls-certificate and --tls-key, or --tls-self-signed to try it out";
                self.refuse("tls-listen", refusal.hint(hint));
            }
            None if self.config.https_redirect => {
                let refusal = Refusal::new("has nowhere to lead without tls-listen");
                self.refuse("https-redirect", refusal.hint("give --tls-listen"));
            }
            None if has_any => {
                let given = |flag: &&&str| self.is_given(flag);
                let flag = ["tls-certificate", "tls-self-signed"].iter().find(given).copied();
                let refusal = Refusal::new("is of no use without tls-listen").hint("give --tls-listen");
                self.refuse(flag.unwrap_or("tls-listen"), refusal);
            }
            listen => {
                let port = listen.filter(|_| self.config.https_redirect).map(|address| address.port());
                self.config.proxy.https_port = port;
            }
        }
    }

    /// How replicas are spoken to.
    fn upstream_protocol(&mut self) {
        const CERTIFICATE: [&str; 2] = ["upstream-certificate", "upstream-key"];
        if !self.good(&["upstream-tls", "upstream-http", "upstream-ca", "upstream-server-name"])
            || !self.good(&CERTIFICATE)
        {
            return;
        }
        let speaks_http2 = self.config.pool.upstream_http == UpstreamHttp::H2;
        if speaks_http2 && self.good(&["runtime", "upstream"]) && self.config.is_of_demo_replicas() {
            let refusal = Refusal::new("is not spoken by the built-in replica");
            self.refuse("upstream-http", refusal.hint("give --replica-command, --image or --upstream"));
        }
        if self.good(&["health"]) && !speaks_http2 && self.config.control.health.check != HealthCheck::Http {
            let refusal = Refusal::new("needs replicas that speak HTTP/2");
            self.refuse("health", refusal.hint("give --upstream-http h2"));
        }
        if self.good(&["upstream-proxy-protocol"])
            && speaks_http2
            && self.config.proxy.upstream_proxy_protocol.is_some()
        {
            let refusal =
                Refusal::new("tells replicas of one client, and connections of upstream-http h2 have many");
            self.refuse("upstream-proxy-protocol", refusal.hint("give one of the two"));
        }
        let of_tls = ["upstream-ca", "upstream-server-name", CERTIFICATE[0], CERTIFICATE[1]];
        if !self.config.upstream.tls
            && let Some(flag) = of_tls.into_iter().find(|flag| self.is_given(flag))
        {
            let refusal = Refusal::new("is of no use without upstream-tls");
            return self.refuse(flag, refusal.hint("give --upstream-tls on"));
        }
        let upstream = &self.config.upstream;
        let identity = match (&upstream.certificate, &upstream.key) {
            (Some(cert), Some(key)) => {
                Some(CertificateFiles { cert: cert.into(), key: key.into(), ocsp: None })
            }
            (None, None) => None,
            (given, _) => {
                let [flag, other] =
                    if given.is_some() { CERTIFICATE } else { [CERTIFICATE[1], CERTIFICATE[0]] };
                let refusal = Refusal::new(format!("is of no use without {other}"));
                return self.refuse(flag, refusal.hint(format!("give --{other} too")));
            }
        };
        self.config.upstream_tls = upstream.tls.then(|| ConnectorConfig {
            authorities: upstream.ca.as_ref().map(Into::into),
            server_name: upstream.server_name.clone(),
            identity,
            http2: speaks_http2,
        });
    }

    /// The bearer token, from its file or its variable. No message repeats it.
    fn token(&mut self) -> Option<String> {
        const FLAG: &str = "admin-token-file";
        let path = self.config.admin_token_file.clone().filter(|_| self.good(&[FLAG]));
        match (path, self.given.token.clone()) {
            (None, None) => None,
            (None, Some(text)) => token(&text).map_err(|refusal| self.refuse_token(refusal)).ok(),
            (Some(_), Some(_)) => {
                let what = format!("is set besides {TOKEN_VARIABLE}");
                self.refuse(FLAG, Refusal::new(what).hint("give the token in one of them"));
                None
            }
            (Some(path), None) => {
                let content = (self.read_file)(path.as_ref())
                    .map_err(|error| Refusal::new(format!("cannot be read: {error}")));
                content
                    .and_then(|content| token(without_newline(&content)))
                    .map_err(|refusal| self.refuse(FLAG, refusal))
                    .ok()
            }
        }
    }

    /// The secret of sticky sessions, from its file or its variable. No message repeats it.
    fn sticky_secret(&mut self) -> Option<StickySecret> {
        const FLAG: &str = "sticky-secret-file";
        let path = self.config.sticky_secret_file.clone().filter(|_| self.good(&[FLAG]));
        match (path, self.given.sticky_secret.clone()) {
            (None, None) => None,
            (None, Some(text)) => {
                let checked = sticky_secret(&text);
                checked.map_err(|refusal| self.refuse_variable(STICKY_VARIABLE, refusal)).ok()
            }
            (Some(_), Some(_)) => {
                let what = format!("is set besides {STICKY_VARIABLE}");
                self.refuse(FLAG, Refusal::new(what).hint("give the secret in one of them"));
                None
            }
            (Some(path), None) => {
                let content = (self.read_file)(path.as_ref())
                    .map_err(|error| Refusal::new(format!("cannot be read: {error}")));
                let checked = content.and_then(|content| sticky_secret(without_newline(&content)));
                checked.map_err(|refusal| self.refuse(FLAG, refusal)).ok()
            }
        }
        .map(|text| StickySecret::new(&text))
    }

    fn refuse_token(&mut self, refusal: Refusal) {
        self.refuse_variable(TOKEN_VARIABLE, refusal);
    }

    fn refuse_variable(&mut self, name: &'static str, refusal: Refusal) {
        let name = Name::unknown(name);
        self.problems.push(Problem::new(name, Source::Environment, None, refusal));
    }
}

fn entry(flag: &str) -> &'static Entry<Config> {
    settings::find(flag).expect("only flags of the model are asked for")
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

/// Editors end a file with a newline that is not part of the token.
fn without_newline(content: &str) -> &str {
    let line = content.strip_suffix('\n').unwrap_or(content);
    line.strip_suffix('\r').unwrap_or(line)
}

/// The header rules of the tables that are wanted, in their order.
pub(super) fn header_rules(
    tables: &[HeaderSettings],
    is_wanted: impl Fn(&HeaderSettings) -> bool,
) -> Option<Arc<HeaderRules>> {
    let mut rules = HeaderRules::default();
    for table in tables.iter().filter(|table| is_wanted(table)) {
        let Some(message) = table.on else { continue };
        for change in changes_of(table) {
            rules.push(message, change, table.always);
        }
    }
    Some(rules).filter(|rules| !rules.is_empty()).map(Arc::new)
}

fn changes_of(table: &HeaderSettings) -> Vec<HeaderChange> {
    let lines = |texts: &[String]| texts.iter().filter_map(|text| line(text).ok()).collect::<Vec<_>>();
    let removed = table.remove.iter().filter_map(|name| name.parse().ok()).map(HeaderChange::Remove);
    let set = lines(&table.set).into_iter().map(|(name, value)| HeaderChange::Set(name, value));
    let added = lines(&table.add).into_iter().map(|(name, value)| HeaderChange::Add(name, value));
    removed.chain(set).chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_clash_on_one_port_only() {
        let clash = |a: &str, b: &str| clash(a.parse().unwrap(), b.parse().unwrap());
        assert!(clash("127.0.0.1:5000", "127.0.0.1:5000"));
        assert!(clash("0.0.0.0:5000", "127.0.0.1:5000"));
        assert!(clash("127.0.0.1:5000", "[::]:5000"));
        assert!(!clash("127.0.0.1:5000", "127.0.0.1:5001"));
        assert!(!clash("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!clash("127.0.0.1:5000", "127.0.0.2:5000"));
    }

    #[test]
    fn one_newline_is_not_part_of_a_token() {
        assert_eq!(without_newline("abc"), "abc");
        assert_eq!(without_newline("abc\n"), "abc");
        assert_eq!(without_newline("abc\r\n"), "abc");
        assert_eq!(without_newline("abc\n\n"), "abc\n");
    }
}
