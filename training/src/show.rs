//! How a tensor looks: text, and an HTML table of its last two dimensions.

use candle_core::{D, DType, Device, Result, Tensor};

/// Larger tables are cut, with a note.
const MOST_ROWS: usize = 20;
const MOST_COLUMNS: usize = 12;
/// Tensors of more than two dimensions are shown as this many tables at most.
const MOST_TABLES: usize = 4;

/// Values, then shape and type; candle leaves out the middle of long dimensions.
pub fn text(tensor: &Tensor) -> String {
    let text = tensor.to_string();
    if text.contains("...") {
        format!("{text}\n({} values, shortened)", tensor.elem_count())
    } else {
        text
    }
}

/// Tables under a line with type, shape and device.
///
/// # Errors
/// When the device is lost.
pub fn html(tensor: &Tensor) -> Result<String> {
    let (outer, rows, columns) = match tensor.dims() {
        [] => (1, 1, 1),
        [columns] => (1, 1, *columns),
        [outer @ .., rows, columns] => (outer.iter().product(), *rows, *columns),
    };
    let mut html = format!("<p><code>{}</code></p>", escape(&headline(tensor)));
    let tables = tensor.reshape((outer, rows, columns))?;
    for index in 0..outer.min(MOST_TABLES) {
        if outer > 1 {
            let place = place(index, &tensor.dims()[..tensor.rank() - 2]);
            html.push_str(&format!("<p>{place}</p>"));
        }
        table(&mut html, &tables.get(index)?)?;
    }
    if outer > MOST_TABLES {
        note(&mut html, &format!("{} more tables", outer - MOST_TABLES));
    }
    Ok(html)
}

fn headline(tensor: &Tensor) -> String {
    let device = match tensor.device() {
        Device::Cpu => "",
        Device::Cuda(_) => " on cuda",
        Device::Metal(_) => " on metal",
    };
    format!("{} {:?}{device}", tensor.dtype().as_str(), tensor.dims())
}

fn table(html: &mut String, matrix: &Tensor) -> Result<()> {
    let (rows, columns) = matrix.dims2()?;
    let shown = matrix.narrow(0, 0, rows.min(MOST_ROWS))?.narrow(
        D::Minus1,
        0,
        columns.min(MOST_COLUMNS),
    )?;
    html.push_str("<table>");
    for row in cells(&shown)? {
        html.push_str("<tr>");
        for value in row {
            html.push_str(&format!("<td>{}</td>", escape(&value)));
        }
        if columns > MOST_COLUMNS {
            html.push_str("<td>…</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
    if rows > MOST_ROWS || columns > MOST_COLUMNS {
        note(
            html,
            &format!(
                "the first {} of {rows} rows, {} of {columns} columns",
                rows.min(MOST_ROWS),
                columns.min(MOST_COLUMNS)
            ),
        );
    }
    Ok(())
}

/// The values as text, copied from their device.
fn cells(matrix: &Tensor) -> Result<Vec<Vec<String>>> {
    let matrix = matrix.to_device(&Device::Cpu)?;
    Ok(match matrix.dtype() {
        DType::F64 => texts(matrix.to_vec2::<f64>()?, number),
        dtype if dtype.is_float() => texts(matrix.to_dtype(DType::F32)?.to_vec2::<f32>()?, number),
        _ => texts(matrix.to_dtype(DType::I64)?.to_vec2::<i64>()?, |value| {
            value.to_string()
        }),
    })
}

fn texts<T>(rows: Vec<Vec<T>>, text: impl Fn(T) -> String) -> Vec<Vec<String>> {
    rows.into_iter()
        .map(|row| row.into_iter().map(&text).collect())
        .collect()
}

/// The shortest text that reads back as the same number.
fn number<T: Copy + Into<f64> + std::fmt::Display + std::fmt::LowerExp>(value: T) -> String {
    let size = value.into().abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) && size.is_finite() {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Where in the outer dimensions the matrix number `index` stands: `[1, 0, .., ..]`.
fn place(mut index: usize, outer: &[usize]) -> String {
    let mut at: Vec<String> = outer
        .iter()
        .rev()
        .map(|length| {
            let position = index % length;
            index /= length;
            position.to_string()
        })
        .collect();
    at.reverse();
    format!("[{}, .., ..]", at.join(", "))
}

fn note(html: &mut String, text: &str) {
    html.push_str(&format!("<p><em>{text}</em></p>"));
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Result, Tensor};

    use super::{html, text};

    #[test]
    fn a_matrix_is_a_table_under_its_type_and_shape() -> Result<()> {
        let tensor = Tensor::new(&[[5f32, 14.5], [14., 50.]], &Device::Cpu)?;
        assert_eq!(
            html(&tensor)?,
            "<p><code>f32 [2, 2]</code></p><table><tr><td>5</td><td>14.5</td></tr>\
             <tr><td>14</td><td>50</td></tr></table>"
        );
        let text = text(&tensor);
        assert!(
            text.contains("14.5000") && text.ends_with("Tensor[[2, 2], f32]"),
            "{text}"
        );
        Ok(())
    }

    #[test]
    fn every_rank_and_type_has_a_table() -> Result<()> {
        for (tensor, cell) in [
            (Tensor::new(0.1f64, &Device::Cpu)?, "<td>0.1</td>"),
            (Tensor::new(&[1u8, 255], &Device::Cpu)?, "<td>255</td>"),
            (
                Tensor::new(&[i64::MAX], &Device::Cpu)?,
                "<td>9223372036854775807</td>",
            ),
            (
                Tensor::new(1e9f32, &Device::Cpu)?.to_dtype(DType::BF16)?,
                "<td>9.9",
            ),
            (Tensor::new(f32::NAN, &Device::Cpu)?, "<td>NaN</td>"),
            (
                Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?,
                "<table></table>",
            ),
        ] {
            let html = html(&tensor)?;
            assert!(html.contains(cell), "{cell} is not in {html}");
        }
        Ok(())
    }

    #[test]
    fn large_tensors_are_cut_with_a_note() -> Result<()> {
        let tensor = Tensor::zeros((100, 50), DType::F32, &Device::Cpu)?;
        let html = html(&tensor)?;
        assert_eq!(html.matches("<tr>").count(), 20);
        assert!(
            html.contains("the first 20 of 100 rows, 12 of 50 columns"),
            "{html}"
        );
        assert!(text(&tensor).ends_with("(5000 values, shortened)"));
        Ok(())
    }

    #[test]
    fn outer_dimensions_become_tables_with_their_place() -> Result<()> {
        let tensor = Tensor::arange(0u32, 24, &Device::Cpu)?.reshape((2, 3, 2, 2))?;
        let html = html(&tensor)?;
        assert_eq!(html.matches("<table>").count(), 4);
        assert!(
            html.contains("<p>[1, 0, .., ..]</p><table><tr><td>12</td>"),
            "{html}"
        );
        assert!(html.ends_with("<p><em>2 more tables</em></p>"), "{html}");
        Ok(())
    }
}
