//! Arrays of tables, by a model that exists only here: `[[certificates]]` beside a section.

use std::fmt::Write;
use std::time::Duration;

use crate::config::docs::markdown;
use crate::config::example::example;
use crate::config::file::{Content as FileContent, read};
use crate::config::given::Given;
use crate::config::model::{Array, Content, Entry, Kind, Problem, Section, Table, at};
use crate::config::print::print;
use crate::config::schema::schema;

#[derive(Debug, Default, PartialEq)]
struct Tree {
    strict: u32,
    certificates: Vec<Certificate>,
}

#[derive(Debug, PartialEq)]
struct Certificate {
    names: Vec<String>,
    chain: Option<String>,
    renew_before: Duration,
}

impl Table for Certificate {}

impl Default for Certificate {
    fn default() -> Self {
        Self { names: Vec::new(), chain: None, renew_before: Duration::from_secs(3600) }
    }
}

static TLS: [Entry<Tree>; 1] = [Entry::new(
    "tls.strict",
    "tls-strict",
    "N",
    at!(Tree: strict),
    Kind::integer(0, 9, "levels"),
    "How strict it is.",
)];

static CERTIFICATE: [Entry<Certificate>; 3] = [
    Entry::new(
        "certificates.names",
        "",
        "HOST",
        at!(Certificate: names),
        Kind::checked("a host name without port", "www.example.org", crate::config::types::host),
        "Host names it is for.",
    ),
    Entry::new(
        "certificates.chain",
        "",
        "FILE",
        at!(Certificate: chain),
        Kind::text("the path of a file", "chain.pem"),
        "File of the chain.",
    )
    .required(),
    Entry::new(
        "certificates.renew-before",
        "",
        "DURATION",
        at!(Certificate: renew_before),
        Kind::duration(Duration::from_secs(1), Duration::from_secs(86_400)),
        "When it is read again.",
    ),
];

static CERTIFICATES: Array<Tree, Certificate> = Array {
    entries: &CERTIFICATE,
    items: |tree| &tree.certificates,
    items_mut: |tree| &mut tree.certificates,
};

static MODEL: [Section<Tree>; 2] =
    [Section::of("tls", "TLS", &TLS), Section::tables("certificates", "Certificates", &CERTIFICATES)];

fn load(text: &str) -> (Tree, Vec<String>) {
    let (mut tree, mut problems): (_, Vec<Problem>) = (Tree::default(), Vec::new());
    let FileContent { texts, tables, .. } = read(&MODEL, "f", text, &mut problems);
    for (setting, texts) in texts {
        let entry = TLS.iter().find(|entry| entry.setting.path == setting.path).expect("in the section");
        assert!(entry.assign(&mut tree, &texts.values).is_empty());
    }
    for section in &MODEL {
        if let (Content::Tables(array), Some(items)) = (&section.content, tables.get(section.name)) {
            array.load(&mut tree, items, &mut problems);
        }
    }
    (tree, problems.iter().map(ToString::to_string).collect())
}

const FILE: &str = "\
[tls]
strict = 2

[[certificates]]
names = ['a.example', 'B.example']
chain = 'a.pem'

[[certificates]]
chain = 'b.pem'
renew-before = '2h'
";

#[test]
fn each_table_is_an_item_in_the_order_of_the_file() {
    let (tree, problems) = load(FILE);
    assert_eq!(problems, Vec::<String>::new());
    let certificate = |names: &[&str], chain: &str, hours: u64| Certificate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        chain: Some(chain.to_owned()),
        renew_before: Duration::from_secs(3600 * hours),
    };
    let certificates =
        vec![certificate(&["a.example", "b.example"], "a.pem", 1), certificate(&[], "b.pem", 2)];
    assert_eq!(tree, Tree { strict: 2, certificates });
}

#[test]
fn all_problems_have_their_lines() {
    let text = "\
[[certificates]]
chian = 'a.pem'
names = [5]
[[certificates]]
chain = 'b.pem'
renew-before = '2'
names = ['a', 'b:1']
";
    let (_, problems) = load(text);
    let expected = [
        "f:2: certificates.chian: unknown key; did you mean chain?",
        "f:3: certificates.names: must be a host name without port, as a string; put it in quotes",
        "f:1: certificates.chain: is missing; must be the path of a file",
        "f:7: certificates.names = \"b:1\": must be a host name",
        "f:6: certificates.renew-before = \"2\": has no unit",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(expected) {
        assert!(problem.starts_with(start), "{start}\n{problems:#?}");
    }
    for (text, what) in [
        (
            "[certificates]\nchain = 'a'",
            "f:1: certificates: must be an array of tables; write [[certificates]]",
        ),
        ("certificates = [1]", "f:1: certificates: must be an array of tables"),
        ("[[tls]]", "f:1: tls: must be a section; write [tls] above its keys"),
        ("[[certificate]]", "f:1: certificate: unknown key"),
    ] {
        let (_, problems) = load(text);
        assert!(problems.len() == 1 && problems[0].starts_with(what), "{text}: {problems:?}");
    }
}

#[test]
fn what_is_printed_is_what_is_read() {
    let (tree, _) = load(FILE);
    let mut printed = String::new();
    print(&mut printed, &MODEL, &tree, &Given::default(), |_| None).expect("a string takes all");
    assert_eq!(load(&printed), (tree, Vec::new()), "{printed}");
}

#[test]
fn tables_are_in_documentation_example_and_schema() {
    let mut all = String::new();
    let _ = write!(all, "{}{}", markdown(&MODEL), example(&MODEL));
    for text in [
        "### Certificates: `[[certificates]]`\n",
        "| `chain` | – | must be given | the path of a file | no | File of the chain. |\n",
        "| `renew-before` | – | `1h` |",
        "# [[certificates]]\n",
        "# It must be given.\n# Example: chain = \"chain.pem\"\n",
        "# renew-before = \"1h\"\n",
        "[tls]\n",
        "#strict = 0\n",
    ] {
        assert!(all.contains(text), "{text}\n{all}");
    }
    let (tree, problems) = load(&example(&MODEL));
    assert_eq!((tree, problems), (Tree::default(), Vec::new()));
    let table = &schema(&MODEL)["properties"]["certificates"]["items"];
    assert_eq!(table["required"], serde_json::json!(["chain"]));
    assert_eq!(table["properties"]["renew-before"]["default"], "1h");
}
