//! Lists in columns, as wide as their widest cell.

/// Rows under headings; the last column is not padded.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(|h| h.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    push(&mut out, &headings.map(str::to_owned), &widths);
    rows.iter().for_each(|row| push(&mut out, row, &widths));
    out
}

/// Names and values, one pair a line; pairs without a value are left out.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown
        .map(|(name, value)| format!("{name:width$}  {}\n", value.replace('\n', &format!("\n{:width$}  ", ""))))
        .collect()
}

fn push<const N: usize>(out: &mut String, row: &[String; N], widths: &[usize; N]) {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
    }
    out.push_str(line.trim_end());
    out.push('\n');
}
