//! The table: a row per figure, a column per size.

use crate::Result;

/// One figure of one size.
#[derive(Debug)]
pub struct Row {
    name: String,
    value: f64,
    unit: String,
}

impl Row {
    /// Prints a row for the process that prints the table.
    pub fn print(name: &str, value: f64, unit: &str) {
        println!("{name}\t{value}\t{unit}");
    }

    /// Parses a line of [`Self::print`].
    pub fn parse(line: &str) -> Result<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().ok_or_else(|| format!("not a row: {line:?}"));
        let name = next()?.to_owned();
        let value = next()?.parse()?;
        let unit = next()?.to_owned();
        Ok(Self { name, value, unit })
    }
}

#[derive(Default)]
pub struct Table {
    columns: Vec<(usize, Vec<Row>)>,
}

impl Table {
    pub fn add(&mut self, size: usize, rows: Vec<Row>) {
        self.columns.push((size, rows));
    }

    /// Prints each figure with its ratio to that of the first size.
    pub fn print(&self) {
        let Some((first_size, first)) = self.columns.first() else {
            return;
        };
        print!("{:<56} {:>6}", "connections", "");
        for (size, _) in &self.columns {
            print!(" {:>18}", thousands(*size));
        }
        println!(
            "\n{:>63} (in brackets: times that of {})",
            "",
            thousands(*first_size)
        );
        for (at, row) in first.iter().enumerate() {
            print!("{:<56} {:>6}", row.name, row.unit);
            for (column, (_, rows)) in self.columns.iter().enumerate() {
                let Some(other) = rows.get(at).filter(|other| other.name == row.name) else {
                    print!(" {:>18}", "-");
                    continue;
                };
                let ratio = match column {
                    0 => String::new(),
                    _ => format!("({:.2})", other.value / row.value),
                };
                print!(" {:>10.1}{ratio:>8}", other.value);
            }
            println!();
        }
    }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
