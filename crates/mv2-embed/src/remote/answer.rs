//! The answer of a service, read as vectors of length 1.

use serde::Deserialize;

/// What was found instead of the vectors: the field, what was expected, what was there.
pub(super) type Fault = (String, String, String);

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    /// Which of the texts it is. A service that leaves it out answers in the order of the texts.
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// The vectors of `texts` texts, one behind the other, in the order of the texts and of length 1. All have `dims` numbers;
/// if that is `None`, as many as the first.
pub(super) fn vectors(body: &[u8], texts: usize, dims: Option<usize>) -> Result<Vec<f32>, Fault> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| fault("answer", "JSON with data[].embedding", &error.to_string()))?;
    if answer.data.len() != texts {
        return Err(fault(
            "data",
            &format!("{texts} vectors"),
            &answer.data.len().to_string(),
        ));
    }
    let first = answer.data.first().map_or(0, |item| item.embedding.len());
    let dims = dims.unwrap_or(first);
    let mut places: Vec<Option<Vec<f32>>> = vec![None; texts];
    for (at, item) in answer.data.into_iter().enumerate() {
        let index = item.index.unwrap_or(at);
        let Some(place) = places.get_mut(index).filter(|place| place.is_none()) else {
            let expected = format!("each number below {texts} once");
            return Err(fault(
                &format!("data[{at}].index"),
                &expected,
                &index.to_string(),
            ));
        };
        *place = Some(unit(item.embedding, dims).map_err(|(expected, found)| {
            fault(&format!("data[{at}].embedding"), &expected, &found)
        })?);
    }
    Ok(places.into_iter().flatten().flatten().collect())
}

/// A vector of length 1 in the direction of another.
fn unit(mut vector: Vec<f32>, dims: usize) -> Result<Vec<f32>, (String, String)> {
    if vector.len() != dims || dims == 0 {
        let expected = match dims {
            0 => "numbers".to_owned(),
            _ => format!("{dims} numbers"),
        };
        return Err((expected, vector.len().to_string()));
    }
    let squares: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
    let length = squares.sqrt();
    if length == 0.0 || !length.is_finite() {
        return Err((
            "a direction".to_owned(),
            format!("a vector of length {length}"),
        ));
    }
    for x in &mut vector {
        *x = (f64::from(*x) / length) as f32;
    }
    Ok(vector)
}

fn fault(what: &str, expected: &str, found: &str) -> Fault {
    (what.to_owned(), expected.to_owned(), found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_the_texts_and_have_length_1() {
        let body = br#"{"object":"list","data":[{"index":1,"embedding":[0,2]},{"index":0,"embedding":[3,4]}]}"#;
        assert_eq!(vectors(body, 2, Some(2)).unwrap(), [0.6, 0.8, 0.0, 1.0]);
        let body = br#"{"data":[{"embedding":[5,0,0]},{"embedding":[0,0,-1]}]}"#;
        assert_eq!(
            vectors(body, 2, None).unwrap(),
            [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
        );
    }

    #[test]
    fn what_is_no_answer_names_the_field() {
        let cases: [(&str, usize, &str); 9] = [
            ("", 1, "answer"),
            ("[]", 1, "answer"),
            (r#"{"data":[{"embedding":["a"]}]}"#, 1, "answer"),
            (r#"{"data":[]}"#, 1, "data"),
            (r#"{"data":[{"embedding":[1,1]}]}"#, 1, "data[0].embedding"),
            (
                r#"{"data":[{"embedding":[0,0,0]}]}"#,
                1,
                "data[0].embedding",
            ),
            (
                r#"{"data":[{"embedding":[1e39,0,0]}]}"#,
                1,
                "data[0].embedding",
            ),
            (
                r#"{"data":[{"index":2,"embedding":[1,0,0]},{"embedding":[1,0,0]}]}"#,
                2,
                "data[0].index",
            ),
            (
                r#"{"data":[{"index":1,"embedding":[1,0,0]},{"index":1,"embedding":[1,0,0]}]}"#,
                2,
                "data[1].index",
            ),
        ];
        for (body, texts, what) in cases {
            let (found, _, _) = vectors(body.as_bytes(), texts, Some(3)).unwrap_err();
            assert_eq!(found, what, "{body}");
        }
        assert!(vectors(br#"{"data":[{"embedding":[]}]}"#, 1, None).is_err());
    }
}
