//! The table, and which floors were missed.

use std::fs;

use crate::samples::Samples;

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Floor {
    AtMost(f64),
    AtLeast(f64),
}

impl Floor {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
        }
    }
}

/// How figures are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    PerSecond,
    Megabytes,
    Kilobytes,
    Times,
}

impl Unit {
    /// `value` is in seconds, a second, or bytes.
    fn shown(self, value: f64) -> String {
        match self {
            Self::Microseconds => format!("{:.1} µs", value * 1e6),
            Self::Milliseconds => format!("{:.1} ms", value * 1e3),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Megabytes => format!("{:.1} MB", value / 1e6),
            Self::Kilobytes => format!("{:.0} kB", value / 1e3),
            Self::Times => format!("{value:.0}"),
        }
    }

    fn of(self, value: f64) -> f64 {
        match self {
            Self::Microseconds => value * 1e6,
            Self::Milliseconds => value * 1e3,
            Self::Megabytes => value / 1e6,
            Self::Kilobytes => value / 1e3,
            Self::PerSecond | Self::Times => value,
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    columns: [String; 5],
    missed: bool,
}

impl Row {
    /// A figure by itself; a floor is in its unit.
    pub(crate) fn of(what: &str, ours: &Samples, unit: Unit, floor: Option<Floor>) -> Self {
        let value = ours.median();
        let (low, high) = ours.spread();
        let spread = if low == high {
            String::new()
        } else {
            format!("{} … {}", unit.shown(low), unit.shown(high))
        };
        Self::new([what.into(), unit.shown(value), String::new(), spread], unit.of(value), floor)
    }

    /// A figure against another; a floor is on ours divided by theirs.
    pub(crate) fn against(
        what: &str,
        ours: &Samples,
        other: &str,
        theirs: &Samples,
        unit: Unit,
        floor: Option<Floor>,
    ) -> Self {
        let ratio = ours.ratio_to(theirs);
        let (low, high) = ratio.spread();
        let other = format!("{other}: {}", unit.shown(theirs.median()));
        let shown = format!("{:.2} ({low:.2} … {high:.2})", ratio.median());
        Self::new([what.into(), unit.shown(ours.median()), other, shown], ratio.median(), floor)
    }

    fn new(columns: [String; 4], value: f64, floor: Option<Floor>) -> Self {
        let missed = floor.is_some_and(|floor| !floor.holds(value));
        let floor = floor.map(Floor::shown).unwrap_or_default();
        let floor = if missed { format!("{floor} MISSED") } else { floor };
        let [what, ours, other, ratio] = columns;
        Self { columns: [what, ours, other, ratio, floor], missed }
    }
}

/// Prints rows as they come.
pub(crate) struct Table;

const WIDTHS: [usize; 5] = [40, 12, 42, 24, 8];

impl Table {
    pub(crate) fn new() -> Self {
        println!("{}", machine());
        println!("Medians; in brackets, between which values eight of ten rounds lie.\n");
        print_line(&["", "ours", "compared with", "ratio, spread", "floor"]);
        println!("|{}", WIDTHS.map(|width| format!("{}|", "-".repeat(width + 2))).concat());
        Self
    }

    /// Returns how many missed their floor.
    pub(crate) fn print(&self, rows: &[Row]) -> usize {
        for row in rows {
            print_line(&row.columns.each_ref().map(String::as_str));
        }
        rows.iter().filter(|row| row.missed).count()
    }
}

fn print_line(columns: &[&str; 5]) {
    let cell = |(text, width): (&&str, usize)| format!(" {text:width$} |");
    println!("|{}", columns.iter().zip(WIDTHS).map(cell).collect::<String>());
}

/// The processors, the system, and how busy it was when this began.
fn machine() -> String {
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let processors = text("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("an unknown processor", |line| line.trim_start_matches(['\t', ':', ' ']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let release = text("/proc/sys/kernel/osrelease");
    let load = text("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} × {model}, Linux {}, load {load}.", release.trim())
}
