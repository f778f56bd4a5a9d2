//! The table on the screen and `docs/PERFORMANCE.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::figures::{Runs, short};
use crate::{Scale, machine};

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Nothing: it is told to be known.
    None,
    /// It should be at most this.
    AtMost(f64),
    /// It should be at least this.
    AtLeast(f64),
    /// It should be at most this many times its floor.
    TimesFloor(f64),
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    runs: Runs,
    floor: Option<f64>,
    target: Target,
}

impl Row {
    /// Tells a figure without floor or target.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, runs: Runs) -> Self {
        Self { what: what.into(), unit, runs, floor: None, target: Target::None }
    }

    /// Sets what the machine itself needs for the same, measured in the same run.
    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Sets what it is held against.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.filter(|floor| *floor > 0.0).map(|floor| self.runs.median() / floor)
    }

    fn cells(&self) -> [String; 6] {
        let value = self.runs.median();
        let (target, met) = match self.target {
            Target::None => (String::new(), None),
            Target::AtMost(most) => (format!("≤ {}", short(most)), Some(value <= most)),
            Target::AtLeast(least) => (format!("≥ {}", short(least)), Some(value >= least)),
            Target::TimesFloor(most) => {
                (format!("≤ {}× floor", short(most)), Some(self.ratio().is_some_and(|ratio| ratio <= most)))
            }
        };
        [
            self.what.clone(),
            format!("{} {}", self.runs, self.unit).trim_end().to_owned(),
            self.floor.map_or_else(String::new, |floor| format!("{} {}", short(floor), self.unit)),
            self.ratio().map_or_else(String::new, |ratio| format!("{}×", short(ratio))),
            target,
            met.map_or("", |met| if met { "yes" } else { "**no**" }).to_owned(),
        ]
    }
}

/// The figures of one part.
#[derive(Debug)]
pub(crate) struct Section {
    name: &'static str,
    title: &'static str,
    how: String,
    rows: Vec<Row>,
}

impl Section {
    /// Begins a section; `how` says how it is measured.
    pub(crate) fn new(name: &'static str, title: &'static str, how: impl Into<String>) -> Self {
        Self { name, title, how: how.into(), rows: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn row(&mut self, row: Row) {
        eprintln!("  {}", row.cells().join(" | "));
        self.rows.push(row);
    }

    fn markdown(&self) -> String {
        const HEAD: [&str; 6] = ["figure", "median (min-max)", "floor", "ratio", "target", "met"];
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let mut widths = HEAD.map(|head| head.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.how);
        let mut line = |cells: &[String]| {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} "));
            text.push_str(&format!("|{}|\n", padded.collect::<Vec<_>>().join("|")));
        };
        line(&HEAD.map(str::to_owned));
        line(&widths.map(|width| "-".repeat(width)));
        rows.iter().for_each(|row| line(row));
        text
    }
}

/// What is written in the end.
#[derive(Debug)]
pub(crate) struct Report {
    scale: Scale,
    file: PathBuf,
    head: String,
    sections: Vec<Section>,
}

impl Report {
    /// Begins a report.
    pub(crate) fn new(scale: Scale) -> anyhow::Result<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).context("the directory for the data")?;
        let machine = machine::describe(env!("CARGO_TARGET_TMPDIR").as_ref());
        let head = format!(
            "Machine: {machine}; server and load share the cores.\n\n\
             A figure is the median of its repetitions, the least and the most in parentheses: their distance is the\n\
             noise. A floor is what the machine itself needs for the same, measured in the same run. The load comes over\n\
             loopback from another process, the data is on the same file system as this repository, and the settings are\n\
             the defaults except where a section says so. Users may make any number of orders, have no default stop-loss\n\
             and merge no signals, so that one signal is one order.\n"
        );
        Ok(Self { scale, file: root.join("docs/PERFORMANCE.md"), head, sections: Vec::new() })
    }

    /// Shows on what all this is measured.
    pub(crate) fn print_head(&self) {
        println!("{}", self.head);
    }

    /// Shows a section, and keeps what is written so far should a later one fail.
    pub(crate) fn add(&mut self, section: Section) -> anyhow::Result<()> {
        println!("{}", section.markdown());
        self.sections.push(section);
        if self.scale.quick { Ok(()) } else { self.write() }
    }

    /// Says where it is.
    pub(crate) fn close(&self) -> anyhow::Result<()> {
        if self.scale.quick {
            println!("A quick run is a first impression: {} was left as it is.", self.file.display());
        } else {
            println!("Written to {}.", self.file.display());
        }
        Ok(())
    }

    /// Replaces the parts that were measured; what people wrote around them, and other parts, stay.
    fn write(&self) -> anyhow::Result<()> {
        let mut text = fs::read_to_string(&self.file).unwrap_or_default();
        if !text.contains(&begin("machine")) {
            text = String::from(
                "# Performance\n\nWritten by `cargo bench --bench load`. Text outside the marks is kept.\n",
            );
        }
        replace(&mut text, "machine", &self.head);
        for section in &self.sections {
            replace(&mut text, section.name, &section.markdown());
        }
        fs::create_dir_all(self.file.parent().context("a folder for the report")?)?;
        fs::write(&self.file, text).with_context(|| format!("{} was not written", self.file.display()))
    }
}

fn begin(name: &str) -> String {
    format!("<!-- begin {name} -->")
}

fn replace(text: &mut String, name: &str, part: &str) {
    let (begin, end) = (begin(name), format!("<!-- end {name} -->"));
    let fresh = format!("{begin}\n{part}{end}");
    let found = text.find(&begin).zip(text.find(&end)).filter(|(from, to)| from < to);
    match found {
        Some((from, to)) => text.replace_range(from..to + end.len(), &fresh),
        None => {
            if write!(text, "\n{fresh}\n").is_err() {
                text.clear();
            }
        }
    }
}
