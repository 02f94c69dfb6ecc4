//! Header rules, in the file alone.

use crate::config::model::{Array, Entry, Kind, Table, at};
use crate::config::tree::{Config, HeaderSettings};
use crate::config::types::{self, header};
use crate::proxy::Message;

const RULES: &[Entry<HeaderSettings>] = &[
    Entry::new(
        "headers.on",
        "",
        "MESSAGE",
        at!(HeaderSettings: on),
        Kind::choice::<Message>(),
        "What is changed: requests on their way to a replica, or responses on their way to the client. In a \
         table fields are removed, then set, then added; tables are applied in the order of the file.",
    )
    .required()
    .on_reload(),
    Entry::new(
        "headers.pool",
        "",
        "POOL",
        at!(HeaderSettings: pool),
        types::POOL,
        "Pool whose requests and responses are changed, behind what is changed for all.",
    )
    .by_default("all")
    .on_reload(),
    Entry::new(
        "headers.route",
        "",
        "NAME",
        at!(HeaderSettings: route),
        types::POOL,
        "Name of the routes whose requests and responses are changed, behind what is changed for all and for their \
         pool.",
    )
    .by_default("all")
    .on_reload(),
    Entry::new(
        "headers.remove",
        "",
        "NAME",
        at!(HeaderSettings: remove),
        Kind::checked("the name of a header field", "X-Powered-By", header::remove),
        "Names of the fields that go.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "headers.set",
        "",
        "LINE",
        at!(HeaderSettings: set),
        Kind::checked("a header field, as in X-Frame-Options: DENY", "X-Frame-Options: DENY", header::set),
        "Fields that replace all others of their names. Host may be set on requests.",
    )
    .of_words()
    .by_default("none")
    .on_reload(),
    Entry::new(
        "headers.add",
        "",
        "LINE",
        at!(HeaderSettings: add),
        Kind::checked("a header field, as in Vary: Origin", "Vary: Origin", header::add),
        "Fields that come besides others of their names.",
    )
    .of_words()
    .by_default("none")
    .on_reload(),
    Entry::new(
        "headers.always",
        "",
        "WHETHER",
        at!(HeaderSettings: always),
        Kind::choice::<bool>(),
        "Whether responses of the balancer itself are changed too: errors and redirects.",
    )
    .on_reload(),
];

pub(super) static HEADERS: Array<Config, HeaderSettings> =
    Array { entries: RULES, items: |config| &config.headers, items_mut: |config| &mut config.headers };

impl Table for HeaderSettings {}
