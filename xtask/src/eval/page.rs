//! The tables of `docs/quality.md`: written between two marks, so that the text around them is a person's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mv2::Mode;

use super::Row;

const BEGIN: &str = "<!-- Written by `cargo xtask eval --page`; the text around it is not. -->\n";
const END: &str = "<!-- End of what is written. -->\n";

/// Puts the tables of the rows into the page.
pub(super) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let place = || path.display().to_string();
    let page = fs::read_to_string(path).with_context(place)?;
    let marks = "the page has no marks for the tables";
    let (front, rest) = page.split_once(BEGIN).context(marks)?;
    let (_, back) = rest.split_once(END).context(marks)?;
    let page = format!("{front}{BEGIN}\n{}\n{END}{back}", tables(rows));
    fs::write(path, page).with_context(place)
}

fn tables(rows: &[Row]) -> String {
    let mut out = String::from(
        "nDCG@10 of words alone, vectors alone and both. Behind the difference of both from words stands its standard error \
         over the queries: what is less than twice that may be chance.\n\n\
         | set | queries | words | vectors | both | both - words |\n|---|---|---|---|---|---|\n",
    );
    for [lex, vec, hybrid] in sets(rows) {
        let (mean, error) = difference(lex.gains.values().copied(), hybrid.gains.values().copied());
        let _ = writeln!(
            out,
            "| {} | {} | {:.4} | {:.4} | {:.4} | {mean:+.4} ± {error:.4} |",
            name(lex),
            lex.figures.queries,
            lex.figures.ndcg10,
            vec.figures.ndcg10,
            hybrid.figures.ndcg10
        );
    }
    out.push_str(
        "\nThe same by the type of the question, where a set has types.\n\n\
         | set | type | queries | words | vectors | both | both - words |\n|---|---|---|---|---|---|---|\n",
    );
    for [lex, vec, hybrid] in sets(rows) {
        let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (query, kind) in &lex.types {
            types.entry(kind).or_default().push(query);
        }
        for (kind, queries) in types {
            let gains = |row: &Row| -> Vec<f64> {
                let known = queries.iter().filter_map(|query| row.gains.get(*query));
                known.copied().collect()
            };
            let (words, vectors, both) = (gains(lex), gains(vec), gains(hybrid));
            let (mean, error) = difference(words.iter().copied(), both.iter().copied());
            let _ = writeln!(
                out,
                "| {} | {kind} | {} | {:.4} | {:.4} | {:.4} | {mean:+.4} ± {error:.4} |",
                name(lex),
                queries.len(),
                average(&words),
                average(&vectors),
                average(&both)
            );
        }
    }
    out.push_str(
        "\nAll measures.\n\n\
         | set | mode | nDCG@10 | Recall@5 | Recall@10 | MRR@10 |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {} | {:.4} | {:.4} | {:.4} | {:.4} |",
            name(row),
            row.mode,
            row.figures.ndcg10,
            row.figures.recall5,
            row.figures.recall10,
            row.figures.mrr10
        );
    }
    out
}

/// The rows of each set: words, vectors, both.
fn sets(rows: &[Row]) -> impl Iterator<Item = [&Row; 3]> {
    rows.chunks(3).filter_map(|set| match set {
        [lex, vec, hybrid] if hybrid.mode == Mode::Hybrid => Some([lex, vec, hybrid]),
        _ => None,
    })
}

fn name(row: &Row) -> String {
    match row.scope {
        "scoped" => format!("{}, scoped", row.name),
        "pooled" => format!("{}, pooled", row.name.trim_end_matches(":pooled")),
        _ => row.name.clone(),
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Mean and standard error of `after - before`, query by query.
fn difference(before: impl Iterator<Item = f64>, after: impl Iterator<Item = f64>) -> (f64, f64) {
    let steps: Vec<f64> = after
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    let mean = average(&steps);
    let squares: f64 = steps.iter().map(|step| (step - mean).powi(2)).sum();
    let count = steps.len() as f64;
    (
        mean,
        (squares / (count - 1.0).max(1.0) / count.max(1.0)).sqrt(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_the_error_of_pairs() {
        let (mean, error) = difference([0.0, 0.5, 1.0].into_iter(), [0.1, 0.7, 1.3].into_iter());
        assert!((mean - 0.2).abs() < 1e-12);
        assert!((error - 0.1 / 3f64.sqrt()).abs() < 1e-12, "{error}");
    }

    #[test]
    fn what_stands_around_the_tables_stays() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        fs::write(&page, format!("front\n{BEGIN}old\n{END}back\n")).unwrap();
        write(&page, &[]).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert!(
            text.starts_with("front\n") && text.ends_with("back\n"),
            "{text}"
        );
        assert!(
            !text.contains("old") && text.contains("| set | mode |"),
            "{text}"
        );
        fs::write(&page, "no marks").unwrap();
        assert!(write(&page, &[]).is_err());
    }
}
