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

/// Columns that are left out where there is no room for all, the first one first. Number, name and
/// state are never left out.
const DISPENSABLE: [usize; 6] = [8, 3, 5, 7, 4, 6];

/// The columns with the name and the note.
const NAME: usize = 1;
const NOTE: usize = 9;

/// Room that a note gets before other columns do, if it is as long.
const SHORT_NOTE: usize = 12;

/// Columns between two others, and of the mark of the selected row.
const SPACE: usize = 2;

/// Lines of the page that are not of the table, besides the head: rates, foot, and some events.
const OTHER_LINES: u16 = 4 + 1 + 6;

/// Lines of a table without replicas.
const LEAST_LINES: u16 = 3;

const HELP: &[&str] = &[
    "up, down  select a replica",
    "a         add a replica",
    "d         drain it: weight 0; again: as it was",
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
    let width = usize::from(frame.area().width);
    let mut lines = vec![title(model)];
    lines.extend(folded(&ring(model), ", ", width));
    lines.extend(folded(&figures(model), "  ", width));
    let head_height = lines.len() as u16;
    let left = frame.area().height.saturating_sub(head_height);
    let areas = Layout::vertical([
        Constraint::Length(head_height),
        Constraint::Length(4),
        Constraint::Length(table_height(model, left)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let &[head, rates, replicas, events, foot] = &areas[..] else { return };
    frame.render_widget(Paragraph::new(lines), head);
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

/// `text` on as many lines as it takes, broken between its pieces.
fn folded(text: &str, separator: &str, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![String::new()];
    for piece in text.split_inclusive(separator) {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + piece.trim_end().chars().count() <= width
        });
        match line {
            Some(line) => line.push_str(piece),
            None => lines.push(piece.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::from(line.trim_end().to_owned())).collect()
}

/// As much as the replicas need, if `height` leaves some lines for the events.
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
        Span::raw(model.pool.as_ref().map(|pool| format!("pool {}  ", plain(pool))).unwrap_or_default()),
        Span::styled(state, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
    ])
}

fn ring(model: &Model) -> String {
    let Some(RingReport { family, placement, probing, slots, virtual_nodes, key, bounded_load, .. }) =
        &model.ring
    else {
        return String::new();
    };
    let version = model.stats.as_ref().map(|stats| stats.version).or(model.ring.as_ref().map(|r| r.version));
    let bound = bounded_load.map_or_else(|| "off".to_owned(), |factor| factor.to_string());
    plain(&format!(
        "ring version {}: {family}, {placement}, {probing}, {slots} slots x {virtual_nodes}, key {key}, bounded load {bound}",
        version.unwrap_or(0)
    ))
}

fn figures(model: &Model) -> String {
    let Some(stats) = &model.stats else { return "no figures yet".to_owned() };
    let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.2} ms"));
    format!(
        "req/s {:.0}  errors/s {:.0}  retries/s {:.0}  spills/s {:.0}  p50 {}  p99 {}  in flight {}  connections {}",
        stats.rates.requests_per_second,
        stats.rates.errors_per_second,
        stats.rates.retries_per_second,
        stats.rates.spills_per_second,
        time(stats.rates.p50_ms),
        time(stats.rates.p99_ms),
        stats.rates.in_flight,
        stats.connections
    )
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
    // Within the border, beside the mark.
    let room = usize::from(area.width).saturating_sub(2 + SPACE);
    let columns = columns(&rows, room);
    let title = format!(" replicas: {} ", rows.len());
    let colours = model.replicas.iter().map(|replica| colour(&replica.state));
    let rows = rows.iter().zip(colours).map(|(cells, colour)| {
        Row::new(columns.iter().map(|&(column, width)| match column {
            2 => cell(column, &cells[column], width).style(Style::new().fg(colour)),
            _ => cell(column, &cells[column], width),
        }))
    });
    let header = Row::new(columns.iter().map(|&(column, width)| cell(column, HEADINGS[column], width)))
        .style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, columns.iter().map(|&(_, width)| Constraint::Length(width as u16)))
        .header(header)
        .column_spacing(SPACE as u16)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ")
        .block(Block::bordered().title(title));
    let mut state = TableState::default().with_selected(model.position());
    frame.render_stateful_widget(table, area, &mut state);
}

/// The columns that are shown, each with its width. Names are worth more than figures: a column goes
/// before a name is shortened.
fn columns(rows: &[[String; 10]], room: usize) -> Vec<(usize, usize)> {
    let longest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut widths: Vec<_> =
        (0..HEADINGS.len()).map(|column| (column, longest(column).max(HEADINGS[column].len()))).collect();
    let note = longest(NOTE);
    // It takes what is left, for it can be read in the events.
    widths[NOTE].1 = note.min(SHORT_NOTE);
    if note == 0 {
        widths.truncate(NOTE);
    }
    let used = |widths: &[(usize, usize)]| {
        widths.iter().map(|(_, width)| width + SPACE).sum::<usize>().saturating_sub(SPACE)
    };
    for dispensable in DISPENSABLE {
        if used(&widths) <= room {
            break;
        }
        widths.retain(|(column, _)| *column != dispensable);
    }
    let (mut short, mut left) = (used(&widths).saturating_sub(room), room.saturating_sub(used(&widths)));
    for (column, width) in &mut widths {
        match *column {
            NAME => {
                let less = short.min(width.saturating_sub(HEADINGS[NAME].len()));
                *width -= less;
                short -= less;
            }
            NOTE => {
                let more = left.min(note - *width);
                *width += more;
                left -= more;
            }
            _ => {}
        }
    }
    widths
}

/// `text`, or its beginning and its end: names of one kind often begin alike.
fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width || width == 0 {
        return text.to_owned();
    }
    let end = (width - 1) / 2;
    let begin = width - 1 - end;
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(length - end)).collect()
}

fn cell(column: usize, text: &str, width: usize) -> Cell<'static> {
    let line = Line::from(if column == NAME { shortened(text, width) } else { text.to_owned() });
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
        Action::Restore(name, weight) => format!("give '{}' weight {weight} again?", plain(name)),
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
