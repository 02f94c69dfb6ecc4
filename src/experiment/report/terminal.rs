//! The report as text for a terminal: tables with bars.

use std::fmt::Write;
use std::path::Path;

use super::document::{Document, Table};

/// Columns that a bar takes at most.
const BAR: f64 = 24.0;

/// Widest a paragraph is.
const WIDTH: usize = 96;

/// All of it. Writing to a string cannot fail.
pub(super) fn text(document: &Document, folder: &Path) -> String {
    let mut out = String::new();
    for section in &document.sections {
        let _ = writeln!(out, "{}", section.title);
        section.tables.iter().for_each(|table| write_table(&mut out, table));
        let text = if section.tables.is_empty() { &section.lead } else { &section.remarks };
        for paragraph in text {
            write_paragraph(&mut out, paragraph);
        }
        out.push('\n');
    }
    for (name, fact) in &document.facts {
        let _ = writeln!(out, "{name:<10}{fact}");
    }
    let _ = writeln!(out, "{:<10}{}", "Report", folder.join("index.html").display());
    out
}

fn write_table(out: &mut String, table: &Table) {
    let width = |column: usize| {
        let cells = std::iter::once(&table.head).chain(&table.rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.head.len()).map(width).collect();
    for (index, row) in std::iter::once(&table.head).chain(&table.rows).enumerate() {
        let mut line = String::from("   ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ =
                if column == 0 { write!(line, " {cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        if let Some(part) = index.checked_sub(1).and_then(|row| table.bars.get(row)) {
            let _ = write!(line, "  {}", "#".repeat((part * BAR).round() as usize));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn write_paragraph(out: &mut String, text: &str) {
    let mut line = String::from("   ");
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            let _ = writeln!(out, "{line}");
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_bars_are_to_scale() {
        let table = Table {
            head: vec!["Replica".into(), "Requests".into()],
            rows: vec![vec!["a".into(), "1,000".into()], vec!["b".into(), "500".into()]],
            bars: vec![1.0, 0.5],
        };
        let mut out = String::new();
        write_table(&mut out, &table);
        let bars = ["#".repeat(24), "#".repeat(12)];
        let expected = format!(
            "    Replica  Requests\n    a           1,000  {}\n    b             500  {}\n",
            bars[0], bars[1]
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn paragraphs_are_wrapped_between_words() {
        let mut out = String::new();
        write_paragraph(&mut out, &"word ".repeat(50));
        assert!(out.lines().all(|line| line.len() <= WIDTH && line.starts_with("    word")), "{out}");
        assert_eq!(out.matches("word").count(), 50);
    }
}
