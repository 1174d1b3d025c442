//! The doors by which the bench `syscalls` has calls made, and the chart of an operation: a line a door over the size of batches.

use std::{error::Error, path::Path};

use plotters::prelude::*;

/// A way to have system calls made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// The host's, by instruction.
    Call,
    /// The host's io_uring.
    Uring,
    /// The same with a thread of the host's kernel that polls.
    SqPoll,
    /// This kernel's, by a trap in its own process.
    Trap,
    /// By a trap from a process of the guest's own.
    Isolated,
    /// By its ring, which the guest tells it to look at.
    Kicked,
    /// The same, and it keeps no registers while it waits.
    Parked,
    /// By its ring, at which an idle CPU looks.
    Polled,
    /// By its io_uring.
    UringInside,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Call,
        Self::Uring,
        Self::SqPoll,
        Self::Trap,
        Self::Isolated,
        Self::Kicked,
        Self::Parked,
        Self::Polled,
        Self::UringInside,
    ];

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "host, call",
            Self::Uring => "host, io_uring",
            Self::SqPoll => "host, io_uring SQPOLL",
            Self::Trap => "inside, trap in-process",
            Self::Isolated => "inside, trap isolated",
            Self::Kicked => "inside, evering kicked",
            Self::Parked => "inside, evering parked",
            Self::Polled => "inside, evering polled",
            Self::UringInside => "inside, io_uring",
        }
    }

    /// What the guest program calls it.
    pub fn way(self) -> &'static str {
        match self {
            Self::Call | Self::Trap | Self::Isolated => "call",
            Self::Uring | Self::UringInside => "uring",
            Self::SqPoll => "sqpoll",
            Self::Kicked => "evering",
            Self::Parked => "park",
            Self::Polled => "polled",
        }
    }

    /// With which options the kernel runs; `None` on the host.
    pub fn options(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Call | Self::Uring | Self::SqPoll => None,
            Self::Trap | Self::Kicked | Self::Parked | Self::UringInside => Some(&["--cpus", "1"]),
            Self::Isolated => Some(&["--isolation", "always", "--cpus", "2"]),
            Self::Polled => Some(&["--cpus", "2"]),
        }
    }

    /// Whether `operation` can be made by it: there is no call that does nothing, io_uring has no getppid, and what goes from one process to
    /// another waits, so a poller is of no use. How it waits matters to what does nothing else.
    pub fn has(self, operation: &str) -> bool {
        match self.way() {
            "call" => operation != "nop",
            "uring" | "sqpoll" if operation == "getppid" => false,
            "sqpoll" | "polled" => operation != "stream",
            "park" => operation == "wake-up",
            _ => true,
        }
    }

    fn colour(self) -> RGBColor {
        match self {
            Self::Call => RGBColor(90, 90, 90),
            Self::Uring => RGBColor(150, 110, 60),
            Self::SqPoll => RGBColor(205, 165, 110),
            Self::Trap => RGBColor(46, 125, 90),
            Self::Isolated => RGBColor(140, 190, 150),
            Self::Kicked => RGBColor(40, 90, 180),
            Self::Parked => RGBColor(30, 60, 130),
            Self::Polled => RGBColor(120, 170, 240),
            Self::UringInside => RGBColor(150, 80, 160),
        }
    }
}

/// Writes the chart of one operation as an SVG file: ns an operation over the size of batches, both logarithmic.
///
/// # Errors
///
/// What the drawing library or the file system says.
pub fn chart(
    path: &Path,
    what: &str,
    lines: &[(Door, Vec<(usize, f64)>)],
) -> Result<(), Box<dyn Error>> {
    let figures = || lines.iter().flat_map(|(_, points)| points.iter().map(|(_, figure)| *figure));
    let (low, high) = figures()
        .fold((f64::MAX, f64::MIN), |(low, high), figure| (low.min(figure), high.max(figure)));
    let area = SVGBackend::new(path, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{what}: ns an operation, by size of batch"), ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0_f64..256.0).log_scale(), (low / 1.5..high * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|batch| format!("{batch:.0}"))
        .y_label_formatter(&|figure| format!("{figure:.0}"))
        .draw()?;
    for (door, points) in lines {
        let colour = door.colour();
        let points = || points.iter().map(|(batch, figure)| (*batch as f64, *figure));
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(door.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}
