//! The page: a model as it looks on a screen of any size. Everything that came over the network
//! is made plain.

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, TableState};

use super::model::{Action, Dialog, Link, Model};
use crate::client::{ReplicaStats, RingReport, plain};

const HEADINGS: [&str; 10] =
    ["#", "name", "state", "weight", "share", "measured", "req/s", "in flight", "requests", "note"];

/// Columns of numbers, which end in line.
const NUMBERS: [usize; 7] = [0, 3, 4, 5, 6, 7, 8];

/// Lines of the page that are not of the table: head, rates, foot, and some events.
const OTHER_LINES: u16 = 3 + 4 + 1 + 6;

/// Lines of a table without replicas.
const LEAST_LINES: u16 = 3;

const HELP: &[&str] = &[
    "up, down  select a replica",
    "a         add a replica",
    "d         drain it: weight 0; again: weight 100",
    "r         remove it, when it has finished",
    "k         kill it, as a crash would",
    "q, Esc    end",
    "",
    "share     its part of the ring",
    "measured  its part of the requests of the last 10 s",
    "p50, p99  how long requests of the last second took",
];

/// Draws the whole page.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let areas = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Length(table_height(model, frame.area().height)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let &[head, rates, replicas, events, foot] = &areas[..] else { return };
    frame.render_widget(Paragraph::new(vec![title(model), ring(model), figures(model)]), head);
    draw_rates(frame, rates, model);
    draw_replicas(frame, replicas, model);
    draw_events(frame, events, model);
    frame.render_widget(Paragraph::new(footer(model)), foot);
    match &model.dialog {
        Some(Dialog::Help) => dialog(frame, "help", HELP.iter().map(|line| (*line).to_owned()).collect()),
        Some(Dialog::Confirm(action)) => {
            let question = format!("{} y: yes, any other key: no", question(action));
            dialog(frame, "sure?", vec![question]);
        }
        None => {}
    }
}

/// As much as the replicas need, if that leaves some lines for the events.
fn table_height(model: &Model, height: u16) -> u16 {
    let left = height.saturating_sub(OTHER_LINES).max(LEAST_LINES);
    (model.replicas.len() as u16).saturating_add(LEAST_LINES).min(left)
}

fn title(model: &Model) -> Line<'_> {
    let (state, colour) = match (&model.link, model.silence()) {
        (Link::Connecting, _) => ("connecting".to_owned(), Color::Yellow),
        (Link::Live, None) => ("live".to_owned(), Color::Green),
        (Link::Live, Some(silence)) => (format!("no figures for {} s", silence.as_secs()), Color::Yellow),
        (Link::Lost(why), _) => (format!("CONNECTION LOST: {why}"), Color::Red),
    };
    Line::from(vec![
        Span::styled("ringherd top", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {}  ", model.url)),
        Span::styled(state, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
    ])
}

fn ring(model: &Model) -> Line<'_> {
    let Some(RingReport { family, placement, probing, slots, virtual_nodes, key, bounded_load, .. }) =
        &model.ring
    else {
        return Line::default();
    };
    let version = model.stats.as_ref().map(|stats| stats.version).or(model.ring.as_ref().map(|r| r.version));
    let bound = bounded_load.map_or_else(|| "off".to_owned(), |factor| factor.to_string());
    Line::from(plain(&format!(
        "ring version {}: {family}, {placement}, {probing}, {slots} slots x {virtual_nodes}, key {key}, bounded load {bound}",
        version.unwrap_or(0)
    )))
}

fn figures(model: &Model) -> Line<'_> {
    let Some(stats) = &model.stats else { return Line::from("no figures yet") };
    let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.2} ms"));
    Line::from(format!(
        "req/s {:.0}  errors/s {:.0}  retries/s {:.0}  spills/s {:.0}  p50 {}  p99 {}  in flight {}  connections {}",
        stats.requests_per_second,
        stats.errors_per_second,
        stats.retries_per_second,
        stats.spills_per_second,
        time(stats.p50_ms),
        time(stats.p99_ms),
        stats.in_flight,
        stats.connections
    ))
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let block = Block::bordered();
    let width = usize::from(block.inner(area).width);
    let rates: Vec<u64> = model.rates.iter().skip(model.rates.len().saturating_sub(width)).copied().collect();
    let most = rates.iter().max().copied().unwrap_or(0);
    let title = format!(" requests per second, at most {most} in {} s ", rates.len());
    let picture = Sparkline::default().data(rates).style(Style::new().fg(Color::Cyan));
    frame.render_widget(picture.block(block.title(title)), area);
}

fn draw_replicas(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows: Vec<[String; 10]> = model.replicas.iter().map(|replica| cells(model, replica)).collect();
    let widths = (0..HEADINGS.len()).map(|column| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        Constraint::Length(longest.max(HEADINGS[column].len()) as u16)
    });
    let title = format!(" replicas: {} ", rows.len());
    let colours = model.replicas.iter().map(|replica| colour(&replica.state));
    let rows = rows.iter().zip(colours).map(|(cells, colour)| {
        Row::new(cells.iter().enumerate().map(|(column, text)| match column {
            2 => cell(column, text).style(Style::new().fg(colour)),
            _ => cell(column, text),
        }))
    });
    let header = Row::new(HEADINGS.iter().enumerate().map(|(column, heading)| cell(column, heading)))
        .style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, widths)
        .header(header)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ")
        .block(Block::bordered().title(title));
    let mut state = TableState::default().with_selected(model.position());
    frame.render_stateful_widget(table, area, &mut state);
}

fn cell(column: usize, text: &str) -> Cell<'_> {
    let line = Line::from(text);
    Cell::from(if NUMBERS.contains(&column) { line.right_aligned() } else { line })
}

fn cells(model: &Model, replica: &ReplicaStats) -> [String; 10] {
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    [
        replica.number.to_string(),
        plain(&replica.name),
        plain(&replica.state),
        replica.weight.to_string(),
        percent(replica.share),
        model.part(replica).map_or_else(|| "-".to_owned(), percent),
        format!("{:.0}", replica.requests_per_second),
        replica.in_flight.to_string(),
        replica.requests.to_string(),
        plain(&replica.note),
    ]
}

fn colour(state: &str) -> Color {
    match state {
        "ready" => Color::Green,
        "starting" | "draining" => Color::Yellow,
        "ejected" => Color::Red,
        _ => Color::Reset,
    }
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let lines: Vec<_> =
        model.lines.iter().take(area.height.into()).map(|line| Line::from(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" events (UTC) ")), area);
}

fn footer(model: &Model) -> Line<'_> {
    match &model.told {
        Some(Ok(told)) => Line::styled(told.as_str(), Style::new().fg(Color::Green)),
        Some(Err(told)) => Line::styled(told.as_str(), Style::new().fg(Color::Red)),
        None => Line::from("a add  d drain  r remove  k kill  ? help  q quit"),
    }
}

fn question(action: &Action) -> String {
    match action {
        Action::Add => "add a replica?".to_owned(),
        Action::Drain(name) => format!("drain '{}'?", plain(name)),
        Action::Restore(name) => format!("give '{}' weight 100 again?", plain(name)),
        Action::Remove(name) => format!("remove '{}'?", plain(name)),
        Action::Kill(name) => format!("kill '{}'?", plain(name)),
    }
}

/// A box in the middle of the page.
fn dialog(frame: &mut Frame<'_>, title: &str, lines: Vec<String>) {
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0) as u16 + 4;
    let height = lines.len() as u16 + 2;
    let [across] = Layout::horizontal([Constraint::Length(width)]).flex(Flex::Center).areas(frame.area());
    let [area] = Layout::vertical([Constraint::Length(height)]).flex(Flex::Center).areas(across);
    frame.render_widget(Clear, area);
    let lines: Vec<_> = lines.into_iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(format!(" {title} "))), area);
}
