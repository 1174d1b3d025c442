//! The charts: time an operation by size, a line a contestant, both axes logarithmic.

use std::{error::Error, path::Path};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    results::{Cell, Results},
    setup::human,
};
use crate::report::duration;

const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(226, 229, 233);

/// A colour a contestant; ours are the strong ones.
fn colour(contestant: &str) -> RGBColor {
    match contestant {
        "evering (processes)" => RGBColor(200, 40, 40),
        "evering (threads)" => RGBColor(240, 140, 60),
        "shmipc" => RGBColor(30, 100, 190),
        "iceoryx2" => RGBColor(20, 150, 150),
        "tokio + UDS" => RGBColor(120, 80, 180),
        "tokio-uring + UDS" => RGBColor(190, 110, 190),
        "monoio + UDS" => RGBColor(80, 150, 60),
        "pipe pair" => RGBColor(150, 120, 70),
        _ => RGBColor(130, 136, 146),
    }
}

/// Writes the chart of some sizes of a group as an SVG file.
///
/// # Errors
///
/// What the drawing library or the file system says.
pub fn write(
    path: &Path,
    results: &Results,
    (one_cpu, concurrency): (bool, usize),
    sizes: &[usize],
) -> Result<(), Box<dyn Error>> {
    let mut lines = Vec::new();
    for contestant in results.contestants() {
        let points: Vec<(f64, f64)> = sizes
            .iter()
            .enumerate()
            .filter_map(|(index, size)| {
                let cell = Cell { one_cpu, concurrency, size: *size };
                Some((index as f64, results.mean(cell, contestant)?))
            })
            .collect();
        if !points.is_empty() {
            lines.push((contestant, points));
        }
    }
    let figures = || lines.iter().flat_map(|(_, points)| points.iter().map(|point| point.1));
    let least = figures().fold(f64::INFINITY, f64::min) / 1.6;
    let most = figures().fold(0.0, f64::max) * 1.6;
    if !least.is_finite() {
        return Ok(());
    }

    let area = SVGBackend::new(path, (1080, 620)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = ("sans-serif", 20).into_font().color(&INK);
    let small = ("sans-serif", 13).into_font().color(&INK);
    area.draw_text("Time an operation, by size of request and response", &title, (24, 16))?;
    let cpus = if one_cpu { "all on one CPU" } else { "client and server on a CPU each" };
    let tasks = if concurrency == 1 { "one task".into() } else { format!("{concurrency} tasks") };
    let subtitle = format!("{tasks}, {cpus}; medians; logarithmic; lower is better");
    area.draw_text(&subtitle, &small, (24, 44))?;
    let last = sizes.len() as f64 - 1.0;
    let mut chart = ChartBuilder::on(&area)
        .margin_top(76)
        .margin_left(12)
        .margin_right(210)
        .margin_bottom(12)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.15..last + 0.1, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .bold_line_style(GRID)
        .light_line_style(WHITE.mix(0.0))
        .axis_style(GRID)
        .y_labels(10)
        .y_label_formatter(&|nanoseconds| short(*nanoseconds))
        .label_style(small.clone())
        .draw()?;

    let below = small.clone().pos(Pos::new(HPos::Center, VPos::Top));
    for (index, size) in sizes.iter().enumerate() {
        chart.draw_series([PathElement::new(
            [(index as f64, least), (index as f64, most)],
            GRID.stroke_width(1),
        )])?;
        let (x, y) = chart.backend_coord(&(index as f64, least));
        area.draw_text(&human(*size), &below, (x, y + 8))?;
    }
    let mut labels = Vec::new();
    for (contestant, points) in &lines {
        let colour = colour(contestant);
        let width = if contestant.starts_with("evering") { 3 } else { 2 };
        if contestant.starts_with("limit") {
            let dashes =
                DashedLineSeries::new(points.iter().copied(), 6, 4, colour.stroke_width(2));
            chart.draw_series(dashes)?;
        } else {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(width)))?;
        }
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        if let Some(end) = points.last() {
            labels.push((chart.backend_coord(end), *contestant, colour, end.1));
        }
    }

    // Each line's name stands at its end; names that would overlap move apart.
    labels.sort_by_key(|((_, y), ..)| *y);
    let heights = apart(&labels.iter().map(|((_, y), ..)| *y).collect::<Vec<_>>(), 17, 590);
    let right = labels.iter().map(|((x, _), ..)| *x).max().unwrap_or(0);
    for (((x, y), contestant, colour, figure), height) in labels.into_iter().zip(heights) {
        let style = ("sans-serif", 13).into_font().color(&colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        let leader = [(x + 5, y), (right + 14, height), (right + 18, height)];
        area.draw(&PathElement::new(leader, colour.mix(0.6).stroke_width(1)))?;
        area.draw_text(
            &format!("{contestant}  {}", duration(figure)),
            &style,
            (right + 22, height),
        )?;
    }
    area.present()?;
    Ok(())
}

/// Moves ascending positions apart so that neighbours are `distance` away and none is below `bottom`.
fn apart(positions: &[i32], distance: i32, bottom: i32) -> Vec<i32> {
    let mut moved = positions.to_vec();
    for index in 1..moved.len() {
        moved[index] = moved[index].max(moved[index - 1] + distance);
    }
    let mut limit = bottom;
    for position in moved.iter_mut().rev() {
        *position = (*position).min(limit);
        limit = *position - distance;
    }
    moved
}

/// A round figure of an axis.
fn short(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.0} µs", n / 1e3),
        n => format!("{:.0} ms", n / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_overlap_or_leave_the_chart() {
        assert_eq!(apart(&[10, 12, 40], 10, 100), [10, 20, 40]);
        assert_eq!(apart(&[90, 95, 99], 10, 100), [80, 90, 100]);
    }
}
