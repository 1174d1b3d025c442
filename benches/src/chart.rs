//! The chart of a session: a bar a row on a logarithmic axis of ratios, with the row's target as a line across its bar.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::report::Row;

const GOOD: RGBColor = RGBColor(46, 125, 90);
const BAD: RGBColor = RGBColor(190, 80, 60);
const INK: RGBColor = RGBColor(40, 44, 52);

/// Writes the chart of `rows` as an SVG file.
///
/// # Errors
///
/// What the drawing library or the file system says.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let height = 80 + 26 * rows.len() as u32;
    let area = SVGBackend::new(path, (860, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let count = rows.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption("time inside / time native (log scale; | is the target)", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(230)
        .build_cartesian_2d((0.02_f64..20.0).log_scale(), 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .x_label_formatter(&|ratio| format!("{ratio}"))
        .draw()?;
    chart.draw_series(std::iter::once(PathElement::new(
        [(1.0, 0.0), (1.0, count)],
        INK.mix(0.5).stroke_width(1),
    )))?;
    for (index, row) in rows.iter().enumerate() {
        let y = count - 1.0 - index as f64;
        let ratio = row.ratio();
        if ratio.is_nan() {
            continue;
        }
        let colour = if row.passes() { GOOD } else { BAD };
        chart
            .draw_series([Rectangle::new([(0.02, y + 0.2), (ratio, y + 0.8)], colour.filled())])?;
        chart.draw_series([PathElement::new(
            [(row.highest(), y + 0.1), (row.highest(), y + 0.9)],
            INK.stroke_width(2),
        )])?;
        let style = ("sans-serif", 13).into_font().color(&INK);
        chart.draw_series([Text::new(
            format!("{ratio:.2}"),
            (ratio.max(0.021) * 1.06, y + 0.7),
            style.clone(),
        )])?;
        let (left, middle) = chart.backend_coord(&(0.02, y + 0.7));
        area.draw_text(&row.name, &style, (left - 222, middle))?;
    }
    area.present()?;
    Ok(())
}
