//! The report as one page: no scripts, nothing to load, light or dark as the reader has it.

use std::fmt::Write;

use super::document::{Document, Section, Table};
use crate::experiment::chart::{Chart, escaped};

const STYLE: &str = include_str!("style.css");

/// The whole page; what scrolls can be focused, so that keys scroll it too. Writing to a string cannot fail.
pub(super) fn page(document: &Document, charts: &[Chart]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>ringherd experiments</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>How evenly requests spread</h1>\n<pre class=\"command\"><code>{}</code></pre>\n<dl>\n",
        escaped(&document.command)
    );
    for (name, fact) in &document.facts {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(fact));
    }
    out.push_str("</dl>\n");
    write_contents(&mut out, &document.sections);
    for (index, section) in document.sections.iter().enumerate() {
        write_section(&mut out, index, section, charts);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn write_contents(out: &mut String, sections: &[Section]) {
    out.push_str("<nav><ul>\n");
    for (index, section) in sections.iter().enumerate() {
        let _ = writeln!(out, "<li><a href=\"#s{index}\">{}</a></li>", escaped(&section.title));
    }
    out.push_str("</ul></nav>\n");
}

fn write_section(out: &mut String, index: usize, section: &Section, charts: &[Chart]) {
    let _ = writeln!(out, "<section id=\"s{index}\">\n<h2>{}</h2>", escaped(&section.title));
    write_paragraphs(out, &section.lead);
    for chart in charts.iter().filter(|chart| section.charts.contains(&chart.file)) {
        let _ = writeln!(out, "<figure tabindex=\"0\">{}</figure>", chart.svg.trim());
    }
    section.tables.iter().for_each(|table| write_table(out, table));
    write_paragraphs(out, &section.remarks);
    out.push_str("</section>\n");
}

fn write_paragraphs(out: &mut String, paragraphs: &[String]) {
    for text in paragraphs {
        let _ = writeln!(out, "<p>{}</p>", escaped(text));
    }
}

fn write_table(out: &mut String, table: &Table) {
    let row = |out: &mut String, tag: &str, cells: &[String]| {
        let attributes = if tag == "th" { " scope=\"col\"" } else { "" };
        let cells = cells.iter().map(|cell| format!("<{tag}{attributes}>{}</{tag}>", escaped(cell)));
        let _ = writeln!(out, "<tr>{}</tr>", cells.collect::<String>());
    };
    out.push_str("<div class=\"table\" tabindex=\"0\"><table>\n<thead>\n");
    row(out, "th", &table.head);
    out.push_str("</thead>\n<tbody>\n");
    table.rows.iter().for_each(|cells| row(out, "td", cells));
    out.push_str("</tbody>\n</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_self_contained_and_escapes_what_it_shows() {
        let section = Section {
            title: "<b>".into(),
            lead: vec!["a & b".into()],
            charts: vec!["a1.svg"],
            tables: vec![Table { head: vec!["\"".into()], rows: vec![vec!["<i>".into()]], bars: vec![] }],
            remarks: Vec::new(),
        };
        let document = Document { command: "a < b".into(), facts: Vec::new(), sections: vec![section] };
        let chart = Chart { file: "a1.svg", alt: String::new(), svg: "<svg>1</svg>".into() };
        let page = page(&document, &[chart]);
        for shown in [
            "a &lt; b",
            "&lt;b&gt;",
            "a &amp; b",
            "&quot;",
            "&lt;i&gt;",
            "<figure tabindex=\"0\"><svg>1</svg></figure>",
        ] {
            assert!(page.contains(shown), "{shown}");
        }
        for foreign in ["<script", "<link", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
