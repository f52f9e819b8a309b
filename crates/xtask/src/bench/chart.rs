//! Pictures of results, as SVG: bars in groups, and curves of what was bound when. The same figures give the same picture.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figures::{Spread, short};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The picture of a kind of bar or curve: its name and its colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) colour: RGBColor,
}

/// Colours that are told apart by the colour-blind too (Okabe and Ito).
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const GREY: RGBColor = RGBColor(120, 120, 120);

const GRID: RGBColor = RGBColor(225, 225, 225);
const INK: RGBColor = RGBColor(40, 40, 40);

/// How lengths mean values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Twice as long is twice as much.
    Linear,
    /// A step longer is so many times as much.
    Logarithmic,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Logarithmic => value.log10(),
        }
    }

    /// Round values from below the smallest to above the largest.
    fn ticks(self, smallest: f64, largest: f64) -> Vec<f64> {
        match self {
            Scale::Linear => {
                let step = [0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
                let step = step
                    .into_iter()
                    .find(|step| largest <= step * 8.0)
                    .unwrap_or(largest / 4.0);
                let n_steps = (largest / step).ceil() as usize;
                (0..=n_steps).map(|n| n as f64 * step).collect()
            }
            Scale::Logarithmic => {
                let round: Vec<f64> = (-6..9)
                    .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
                    .collect();
                let first = round.iter().rposition(|tick| *tick < smallest).unwrap_or(0);
                let last = round
                    .iter()
                    .position(|tick| *tick >= largest)
                    .unwrap_or(round.len() - 1);
                round[first..=last].to_vec()
            }
        }
    }
}

/// Bars in groups.
pub(super) struct Bars {
    pub(super) title: &'static str,
    pub(super) series: Vec<Series>,
    /// The lines below a group, and its bars in the order of the series; with their extent as a whisker.
    pub(super) groups: Vec<(Vec<String>, Vec<Option<Spread>>)>,
    pub(super) scale: Scale,
}

/// Widths and heights, in pixels.
const GROUP_WIDTH: u32 = 124;
const EDGE: u32 = 56;
const HEIGHT: u32 = 380;

/// Draws bars. A line marks the value 1, which is what all ratios are about.
pub(super) fn bars(bars: &Bars) -> Result<String> {
    let mut svg = String::new();
    let width = (EDGE + 20 + GROUP_WIDTH * u32::try_from(bars.groups.len())?).max(860);
    {
        let root = SVGBackend::with_string(&mut svg, (width, HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let extents = bars.groups.iter().flat_map(|(_, values)| values.iter().flatten());
        let smallest = extents.clone().map(|spread| spread.min).fold(1.0, f64::min);
        let largest = extents.map(|spread| spread.max).fold(1.0, f64::max);
        let ticks = bars.scale.ticks(smallest, largest);
        let range = bars.scale.place(ticks[0])..bars.scale.place(ticks[ticks.len() - 1]);
        let plane = Plane {
            area: &root,
            width: f64::from(width),
            groups: bars.groups.len() as f64,
            range,
            scale: bars.scale,
        };
        plane.draw_grid(&ticks)?;
        for (n, (label, values)) in bars.groups.iter().enumerate() {
            plane.draw_group(n, label, values, &bars.series)?;
        }
        plane.line(0.0, bars.groups.len() as f64, 1.0, INK.mix(0.6))?;
        draw_title(&root, bars.title)?;
        draw_legend(&root, &bars.series)?;
        root.present()?;
    }
    Ok(svg)
}

/// Where values and groups are in the picture.
struct Plane<'a, 'b> {
    area: &'a Area<'b>,
    width: f64,
    groups: f64,
    range: Range<f64>,
    scale: Scale,
}

impl Plane<'_, '_> {
    const TOP: f64 = 62.0;
    const BOTTOM: f64 = HEIGHT as f64 - 52.0;

    fn x(&self, group: f64) -> i32 {
        let left = f64::from(EDGE);
        (left + (self.width - left - 20.0) * group / self.groups).round() as i32
    }

    fn y(&self, value: f64) -> i32 {
        let share = (self.scale.place(value) - self.range.start) / (self.range.end - self.range.start);
        (Plane::BOTTOM - share.clamp(0.0, 1.0) * (Plane::BOTTOM - Plane::TOP)).round() as i32
    }

    fn line(&self, from: f64, to: f64, value: f64, colour: impl Color) -> Result<()> {
        let points = vec![(self.x(from), self.y(value)), (self.x(to), self.y(value))];
        Ok(self.area.draw(&PathElement::new(points, colour.stroke_width(1)))?)
    }

    fn draw_grid(&self, ticks: &[f64]) -> Result<()> {
        for tick in ticks {
            self.line(0.0, self.groups, *tick, GRID)?;
            let at = (self.x(0.0) - 6, self.y(*tick));
            text(self.area, &short_tick(*tick), at, 15, HPos::Right, VPos::Center)?;
        }
        Ok(())
    }

    fn draw_group(&self, n: usize, label: &[String], values: &[Option<Spread>], series: &[Series]) -> Result<()> {
        let width = 0.8 / series.len() as f64;
        for (m, (value, series)) in values.iter().zip(series).enumerate() {
            let Some(spread) = value else { continue };
            let left = n as f64 + 0.1 + m as f64 * width;
            let (left, right) = (self.x(left), self.x(left + width * 0.92));
            let top = self.y(spread.median);
            let corners = [(left, top), (right, Plane::BOTTOM as i32)];
            self.area.draw(&Rectangle::new(corners, series.colour.filled()))?;
            let middle = i32::midpoint(left, right);
            let whisker = vec![(middle, self.y(spread.min)), (middle, self.y(spread.max))];
            self.area.draw(&PathElement::new(whisker, INK.stroke_width(1)))?;
            let above = (middle, self.y(spread.max) - 3);
            text(self.area, &short(spread.median), above, 14, HPos::Center, VPos::Bottom)?;
        }
        for (line, words) in label.iter().enumerate() {
            let at = (
                self.x(n as f64 + 0.5),
                Plane::BOTTOM as i32 + 6 + 14 * i32::try_from(line)?,
            );
            text(self.area, words, at, 14, HPos::Center, VPos::Top)?;
        }
        Ok(())
    }
}

fn short_tick(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

fn text(area: &Area<'_>, words: &str, at: (i32, i32), size: i32, h: HPos, v: VPos) -> Result<()> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(h, v));
    Ok(area.draw(&Text::new(words.to_owned(), at, style))?)
}

fn draw_title(area: &Area<'_>, title: &str) -> Result<()> {
    text(area, title, (12, 10), 19, HPos::Left, VPos::Top)
}

fn draw_legend(area: &Area<'_>, series: &[Series]) -> Result<()> {
    let mut left = 12;
    for series in series {
        let square = Rectangle::new([(left, 36), (left + 11, 47)], series.colour.filled());
        area.draw(&square)?;
        text(area, series.name, (left + 16, 42), 15, HPos::Left, VPos::Center)?;
        // No font is asked how wide it is: the pictures are the same on every machine.
        left += 36 + 7 * i32::try_from(series.name.len())?;
    }
    Ok(())
}

/// What was bound when, in one cell.
pub(super) struct Panel {
    pub(super) title: String,
    /// Each with seconds since the start and the number of pods bound until then.
    pub(super) curves: Vec<(Series, Vec<(f64, f64)>)>,
}

const PANEL: (u32, u32) = (430, 250);

/// Draws curves, two panels in a row, over the time on a logarithmic scale.
pub(super) fn curves(title: &str, series: &[Series], panels: &[Panel]) -> Result<String> {
    let mut svg = String::new();
    let n_rows = panels.len().div_ceil(2);
    let height = 60 + PANEL.1 * u32::try_from(n_rows)?;
    {
        let root = SVGBackend::with_string(&mut svg, (2 * PANEL.0, height)).into_drawing_area();
        root.fill(&WHITE)?;
        draw_title(&root, title)?;
        draw_legend(&root, series)?;
        let (_, below) = root.split_vertically(60);
        for (panel, area) in panels.iter().zip(below.split_evenly((n_rows, 2))) {
            draw_panel(panel, &area)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn draw_panel(panel: &Panel, area: &Area<'_>) -> Result<()> {
    let points = panel.curves.iter().flat_map(|(_, points)| points);
    let earliest = points.clone().map(|point| point.0).fold(f64::MAX, f64::min);
    let latest = points.clone().map(|point| point.0).fold(0.0, f64::max);
    let most = points.map(|point| point.1).fold(0.0, f64::max);
    let times = Scale::Logarithmic.ticks(earliest.max(0.001), latest.max(0.01));
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 16).into_font().color(&INK))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d((times[0]..times[times.len() - 1]).log_scale(), 0.0..most * 1.02)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        // Its own ticks lie where the scale begins and ends; ours, below, at round times.
        .x_labels(0)
        .x_label_formatter(&|_| String::new())
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .x_desc("seconds since the start")
        .y_label_formatter(&|pods| format!("{pods:.0}"))
        .y_labels(6)
        .draw()?;
    let style = ("sans-serif", 14).into_font().color(&INK);
    let style = style.pos(Pos::new(HPos::Center, VPos::Top));
    for time in times {
        let line = vec![(time, 0.0), (time, most)];
        chart.draw_series([PathElement::new(line, GRID)])?;
        let label = Text::new(short_tick(time), (0, 4), style.clone());
        chart.draw_series([EmptyElement::at((time, 0.0)) + label])?;
    }
    for (series, points) in &panel.curves {
        let line = LineSeries::new(points.iter().copied(), series.colour.stroke_width(2));
        chart.draw_series(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: [Series; 2] = [
        Series {
            name: "a",
            colour: BLUE,
        },
        Series {
            name: "b",
            colour: ORANGE,
        },
    ];

    #[test]
    fn ticks_enclose_the_values() {
        assert_eq!(
            Scale::Linear.ticks(0.3, 1.1),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0, 1.2000000000000002]
        );
        assert_eq!(
            Scale::Logarithmic.ticks(1.0, 27.0),
            [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
        );
        assert_eq!(Scale::Logarithmic.ticks(0.3, 1.0), [0.2, 0.5, 1.0]);
    }

    #[test]
    fn bars_of_one_group() {
        let spread = |values: [f64; 3]| Spread::of(values);
        let picture = Bars {
            title: "A picture",
            series: SERIES.to_vec(),
            groups: vec![(
                vec!["plain".to_owned()],
                vec![spread([0.8, 0.9, 1.0]), spread([2.0, 2.0, 4.0])],
            )],
            scale: Scale::Logarithmic,
        };
        insta::assert_snapshot!(bars(&picture).unwrap());
    }

    #[test]
    fn curves_are_the_same_each_time_and_name_no_machine() {
        let panel = || Panel {
            title: "plain".to_owned(),
            curves: vec![(SERIES[0], vec![(0.2, 1.0), (1.0, 50.0), (2.0, 100.0)])],
        };
        let picture = curves("Curves", &SERIES, &[panel(), panel(), panel()]).unwrap();
        assert_eq!(
            picture,
            curves("Curves", &SERIES, &[panel(), panel(), panel()]).unwrap()
        );
        assert_eq!(picture.matches("seconds since the start").count(), 3);
    }
}
