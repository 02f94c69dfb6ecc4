//! The report as Markdown.

use std::fmt::Write;

use super::document::{Document, Table};
use crate::experiment::chart::Chart;

/// The whole file. Writing to a string cannot fail.
pub(super) fn text(document: &Document, charts: &[Chart]) -> String {
    let mut out = String::from("# Experiments\n\n");
    let _ = writeln!(out, "```sh\n{}\n```\n", document.command);
    for (name, fact) in &document.facts {
        let _ = writeln!(out, "- {name}: {fact}");
    }
    for section in &document.sections {
        let _ = writeln!(out, "\n## {}", section.title);
        write_paragraphs(&mut out, &section.lead);
        for chart in charts.iter().filter(|chart| section.charts.contains(&chart.file)) {
            let _ = writeln!(out, "\n![{}]({})", chart.alt.replace(['[', ']'], ""), chart.file);
        }
        section.tables.iter().for_each(|table| write_table(&mut out, table));
        write_paragraphs(&mut out, &section.remarks);
    }
    out
}

fn write_paragraphs(out: &mut String, paragraphs: &[String]) {
    for text in paragraphs {
        let _ = writeln!(out, "\n{text}");
    }
}

fn write_table(out: &mut String, table: &Table) {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let _ = writeln!(out, "\n{}", row(&table.head));
    let _ = writeln!(out, "|---{}|", "|---:".repeat(table.head.len().saturating_sub(1)));
    for cells in &table.rows {
        let _ = writeln!(out, "{}", row(cells));
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Section;
    use super::*;

    #[test]
    fn a_section_is_its_text_its_chart_and_its_table() {
        let table = Table {
            head: vec!["N".into(), "x".into()],
            rows: vec![vec!["a|b".into(), "1".into()]],
            bars: vec![],
        };
        let section = Section {
            title: "T".into(),
            lead: vec!["First.".into()],
            charts: vec!["a1.svg"],
            tables: vec![table],
            remarks: vec!["Last.".into()],
        };
        let document =
            Document { command: "cmd".into(), facts: vec![("F", "g".into())], sections: vec![section] };
        let chart = Chart { file: "a1.svg", alt: "Alt".into(), svg: String::new() };
        assert_eq!(
            text(&document, &[chart]),
            "# Experiments\n\n```sh\ncmd\n```\n\n- F: g\n\n## T\n\nFirst.\n\n![Alt](a1.svg)\n\n| N | x |\n|---|---:|\n\
             | a\\|b | 1 |\n\nLast.\n"
        );
    }
}
